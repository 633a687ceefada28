#!/usr/bin/env bash
# After a restart Alertmanager tells what had been inhibited, without waiting for what inhibits it.
#
# VERSION Alertmanager 0.25.0 (Debian 12)
# GUESS   What is known of alerts is kept in --storage.path, as silences are. If not, group_wait
#         holds the first message of a group from when it was first heard of: a group_wait longer
#         than everybody's interval of telling is enough for all to be there again.
# SEEN    No alert outlives a restart. And group_wait counts from when an alert *began*: one that
#         began before that is told at once. An inhibited alert is told if its sender is the first.
# HERE    Alerts of certificates last for hours or days. Where a daemon's alert inhibits the rule
#         about the same pack, each restart of Alertmanager may page for the rule, whatever
#         group_wait is.
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
heard = []


class Receiver(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["content-length"])))
        heard.extend(f"{each['labels']['alertname']} {each['status']}" for each in told["alerts"])
        self.send_response(200)
        self.end_headers()


receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=receiver.serve_forever, daemon=True).start()
with open(f"{box}/config.yml", "w") as config:
    config.write(f"""route:
  {{receiver: people, group_by: [alertname], group_wait: 10m, group_interval: 1s}}
receivers:
  - {{name: people, webhook_configs: [{{url: "http://127.0.0.1:{receiver.server_port}/"}}]}}
inhibit_rules:
  - {{source_matchers: ['alertname="Daemon"'], target_matchers: ['alertname="Rule"']}}
""")
with socket.create_server(("127.0.0.1", 0)) as free:
    at = f"127.0.0.1:{free.getsockname()[1]}"
command = [server, f"--config.file={box}/config.yml", f"--storage.path={box}/data"]
command += [f"--web.listen-address={at}", "--cluster.listen-address="]
log = open(f"{box}/alertmanager.log", "w")


def start():
    started = subprocess.Popen(command, stdout=log, stderr=log)
    last = time.monotonic() + 20
    while time.monotonic() < last:
        try:
            urllib.request.urlopen(f"http://{at}/-/ready", timeout=5).close()
            return started
        except OSError:
            time.sleep(0.05)
    raise SystemExit("Alertmanager did not start")


def moment(seconds):
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat()


def tell(name, began):
    alert = {"labels": {"alertname": name}, "startsAt": moment(began), "endsAt": moment(300)}
    headers = {"content-type": "application/json"}
    body = json.dumps([alert]).encode()
    request = urllib.request.Request(f"http://{at}/api/v2/alerts", body, headers)
    urllib.request.urlopen(request, timeout=5).close()
    time.sleep(0.5)


def show(what):
    time.sleep(4)
    with urllib.request.urlopen(f"http://{at}/api/v2/alerts", timeout=5) as answer:
        known = {each["labels"]["alertname"]: each["status"]["state"] for each in json.load(answer)}
    known = ", ".join(f"{name} {state}" for name, state in sorted(known.items()))
    print(f"{what}: knows {known or 'none'}; told {', '.join(heard) or 'none'}", flush=True)
    heard.clear()


process = start()
try:
    tell("Daemon", began=-7200)
    tell("Rule", began=-3600)
    tell("Young", began=-1)
    show("all are sent")
    process.terminate()
    process.wait(10)
    process = start()
    show("after a restart")
    tell("Rule", began=-3600)
    show("the inhibited one is sent first")
    tell("Daemon", began=-7200)
    show("then what inhibits it")
finally:
    process.terminate()
    process.wait(10)
END
)
expected="all are sent: knows Daemon active, Rule suppressed, Young active; told Daemon firing
after a restart: knows none; told none
the inhibited one is sent first: knows Rule active; told Rule firing
then what inhibits it: knows Daemon active, Rule suppressed; told none"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
