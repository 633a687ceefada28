#!/usr/bin/env bash
# Alertmanager: an alert to be repeated at each group_interval is repeated at some of them, and its
# end is one message more.
#
# VERSION Alertmanager 0.25.0 (Debian 12)
# GUESS   With repeat_interval equal to group_interval a message goes out at each interval; at worst
#         at each second one, always.
# SEEN    Either, by chance: whether the repeat_interval is over is a matter of milliseconds, as it is
#         counted from when the last message was sent, a little after the interval began. With a
#         repeat_interval a bit shorter, each interval sends; with one a bit longer, each second one.
#         The end is posted to the same address, unless send_resolved is false.
# HERE    An alert that always fires keeps a dead man's switch quiet. One that is set to 5 minutes and
#         gets some of its calls after 10 raises false alarms at night, or is set to wait so long that
#         it says little. And the call that tells of the end keeps it quiet for once more.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
server=$(command -v prometheus-alertmanager || true)
if [ -z "$server" ]; then
  (cd "$box" && apt-get -q download prometheus-alertmanager && dpkg-deb -x ./*.deb .) \
    >"$box/log" 2>&1 || true
  server=$box/usr/bin/prometheus-alertmanager
fi
if ! "$server" --version 2>&1 | grep -q "version 0\.25\.0"; then
  echo "cannot be had: Alertmanager 0.25.0 (Debian 12: prometheus-alertmanager)"
  exit 77
fi
seen=$(python3 - "$server" "$box" <<'END'
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

server, box = sys.argv[1:]
REPEAT = {"shorter": "1500ms", "equal": "2s", "longer": "2500ms"}
told = []


class Switch(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        told.append((self.path.strip("/"), body["status"], time.monotonic()))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


switch = ThreadingHTTPServer(("127.0.0.1", 0), Switch)
threading.Thread(target=switch.serve_forever, daemon=True).start()
config = "route:\n  receiver: shorter\n  group_by: [alertname]\n  routes:\n"
for name, repeat in REPEAT.items():
    config += f"  - {{receiver: {name}, matchers: ['alertname=\"{name}\"'], group_wait: 0s,\n"
    config += f"     group_interval: 2s, repeat_interval: {repeat}}}\n"
config += "receivers:\n"
for name in REPEAT:
    quiet = ", send_resolved: false" if name == "shorter" else ""
    config += f"- name: {name}\n  webhook_configs:\n"
    config += f"  - {{url: 'http://127.0.0.1:{switch.server_port}/{name}'{quiet}}}\n"
with open(f"{box}/config.yml", "w") as file:
    file.write(config)
with socket.create_server(("127.0.0.1", 0)) as free:
    at = f"127.0.0.1:{free.getsockname()[1]}"


def post(start):
    ends = datetime.now(timezone.utc) + timedelta(seconds=4)
    alerts = [{"labels": {"alertname": name}, "startsAt": start, "endsAt": ends.isoformat()} for name in REPEAT]
    request = urllib.request.Request(f"http://{at}/api/v2/alerts", json.dumps(alerts).encode())
    request.add_header("Content-Type", "application/json")
    urllib.request.urlopen(request, timeout=5).close()


command = [server, f"--config.file={box}/config.yml", f"--storage.path={box}/data", "--cluster.listen-address="]
with open(f"{box}/log", "w") as log:
    process = subprocess.Popen([*command, f"--web.listen-address={at}"], stdout=log, stderr=log)
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://{at}/-/ready", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        start = datetime.now(timezone.utc).isoformat()
        for _ in range(40):  # what always fires is told again and again
            post(start)
            time.sleep(1)
        time.sleep(10)
    finally:
        process.terminate()
        process.wait(20)
for name in REPEAT:
    fired = [moment for path, status, moment in told if (path, status) == (name, "firing")]
    gaps = {round((later - earlier) / 2) * 2 for earlier, later in zip(fired, fired[1:])}
    ends = sum((path, status) == (name, "resolved") for path, status, _ in told)
    print(f"repeat_interval {name}: longest wait {max(gaps)} s, told of the end {ends} times")
END
)
expected="repeat_interval shorter: longest wait 2 s, told of the end 0 times
repeat_interval equal: longest wait 4 s, told of the end 1 times
repeat_interval longer: longest wait 4 s, told of the end 1 times"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
