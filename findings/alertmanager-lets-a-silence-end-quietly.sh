#!/usr/bin/env bash
# Alertmanager: when a silence ends and its alert still fires, nobody is told, if they were before.
#
# VERSION Alertmanager 0.25.0 (Debian 12)
# GUESS   The end of a silence is a reminder: what still fires is told again within a group_interval.
# SEEN    Only what was never told, since it began under the silence, is told then. What was told
#         before waits for the repeat_interval, counted from when it was last told: four hours if
#         nothing is set, and days where somebody has set that. Another alert of the group brings it
#         along.
# HERE    "Silence it until Monday, then we place the records": on Monday nothing comes. Silence for
#         longer than the repeat_interval, or silence at the daemon, which tells what still holds.
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
  receiver: people
  group_by: [zone]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - {{name: people, webhook_configs: [{{url: "http://127.0.0.1:{receiver.server_port}/"}}]}}
""")
with socket.create_server(("127.0.0.1", 0)) as free:
    at = f"127.0.0.1:{free.getsockname()[1]}"
command = [server, f"--config.file={box}/config.yml", f"--storage.path={box}/data"]
command += [f"--web.listen-address={at}", "--cluster.listen-address="]
log = open(f"{box}/alertmanager.log", "w")
process = subprocess.Popen(command, stdout=log, stderr=log)


def moment(seconds):
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat()


def send(path, body):
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://{at}{path}", json.dumps(body).encode(), headers)
    urllib.request.urlopen(request, timeout=5).close()


def tell(name, zone):
    labels = {"alertname": name, "zone": zone}
    alert = {"labels": labels, "startsAt": moment(-60), "endsAt": moment(300)}
    send("/api/v2/alerts", [alert])


def show(what, seconds=4):
    """What the receiver hears within so many seconds: more than two intervals of the group."""
    time.sleep(seconds)
    print(f"{what}: {', '.join(sorted(heard)) or 'nothing'}", flush=True)
    heard.clear()


def silence(name, seconds):
    matcher = {"name": "alertname", "value": name, "isRegex": False}
    body = {"matchers": [matcher], "startsAt": moment(0), "endsAt": moment(seconds)}
    send("/api/v2/silences", {**body, "createdBy": "somebody", "comment": "is being mended"})


try:
    last = time.monotonic() + 20
    while time.monotonic() < last:
        try:
            urllib.request.urlopen(f"http://{at}/-/ready", timeout=5).close()
            break
        except OSError:
            time.sleep(0.05)
    silence("New", 10)
    tell("Known", "one.test")
    tell("New", "two.test")
    show("one fires, the other is silenced from the start")
    silence("Known", 9)
    show("both are silenced")
    show("the silence of the one that was not told is over")
    show("the other silence is over too")
    tell("Joins", "one.test")
    show("another of its group fires")
finally:
    process.terminate()
    process.wait(10)
END
)
expected="one fires, the other is silenced from the start: Known firing
both are silenced: nothing
the silence of the one that was not told is over: New firing
the other silence is over too: nothing
another of its group fires: Joins firing, Known firing"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
