#!/usr/bin/env bash
# Prometheus forgets over a restart for how long an alert has held, if its `for` is short.
#
# VERSION Prometheus 2.42.0 (Debian 12), flags as they come
# GUESS   Pending alerts go on where they were: that state is kept in the series ALERTS_FOR_STATE
#         for just this purpose.
# SEEN    Only alerts with a `for` of at least ten minutes are restored (that is what
#         --rules.alert.for-grace-period means by default). One with `for: 5m` begins anew at each
#         restart; one with `for: 20m` keeps its moment.
# HERE    Alerts on certificates with `for: 5m` never fire on a Prometheus that restarts more often
#         than that, and each deployment of it delays them.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
server=$(command -v prometheus || true)
if [ -z "$server" ]; then
  (cd "$box" && apt-get -q download prometheus && dpkg-deb -x ./*.deb .) >"$box/log" 2>&1 || true
  server=$box/usr/bin/prometheus
fi
if ! "$server" --version 2>&1 | grep -q "version 2\.42\.0"; then
  echo "cannot be had: Prometheus 2.42.0 (Debian 12: prometheus)"
  exit 77
fi
seen=$(python3 - "$server" "$box" <<'END'
import json
import socket
import subprocess
import sys
import time
import urllib.request
from datetime import datetime, timezone

server, box = sys.argv[1:]
RULES = """groups:
  - name: certificates
    interval: 1s
    rules:
      - {alert: Short, expr: vector(1), for: 5m}
      - {alert: Long, expr: vector(1), for: 20m}
"""
with open(f"{box}/rules.yml", "w") as rules:
    rules.write(RULES)
with open(f"{box}/config.yml", "w") as config:
    config.write("rule_files: [rules.yml]\n")
with socket.create_server(("127.0.0.1", 0)) as free:
    at = f"127.0.0.1:{free.getsockname()[1]}"
command = [server, f"--config.file={box}/config.yml", f"--storage.tsdb.path={box}/data"]
command += [f"--web.listen-address={at}"]


def since():
    with urllib.request.urlopen(f"http://{at}/api/v1/alerts", timeout=5) as answer:
        alerts = json.load(answer)["data"]["alerts"]
    read = datetime.fromisoformat
    return {a["labels"]["alertname"]: read(a["activeAt"][:19] + "+00:00") for a in alerts}


def life(log):
    """Run it until both alerts have been evaluated for some seconds; tell since when they hold."""
    process = subprocess.Popen(command, stdout=log, stderr=log)
    last, seen = time.monotonic() + 25, 0
    try:
        while seen < 8 and time.monotonic() < last:
            time.sleep(0.5)
            try:
                held = since()
            except OSError:
                continue
            seen += len(held) == 2
        return held
    finally:
        process.terminate()
        process.wait(20)


with open(f"{box}/prometheus.log", "w") as log:
    life(log)
    restarted = datetime.now(timezone.utc)
    for name, moment in sorted(life(log).items()):
        print(f"{name}: holds since {'before' if moment < restarted else 'after'} the restart")
END
)
expected="Long: holds since before the restart
Short: holds since after the restart"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
