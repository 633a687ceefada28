#!/usr/bin/env bash
# Alertmanager: of an alert that ends while it is silenced or inhibited, nobody is told the end.
#
# VERSION Alertmanager 0.25.0 (Debian 12)
# GUESS   Whoever was told that an alert fires is told its end too, at the latest when the silence,
#         or what inhibits it, is over.
# SEEN    The end is dropped with the silence: the receiver hears nothing more of that alert. Only
#         an end that is sent again once the silence is over arrives; Prometheus sends each for 15
#         minutes.
# HERE    "Silence it for a week" after the page went out, and the certificate is mended on the
#         second day: the incident of the service on call stays open until somebody closes it. So it
#         does where one alert inhibits another that was told before and ends first.
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
  {{receiver: people, group_by: [alertname], group_wait: 0s, group_interval: 1s}}
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
process = subprocess.Popen(command, stdout=log, stderr=log)


def moment(seconds):
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat()


def send(path, body):
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://{at}{path}", json.dumps(body).encode(), headers)
    urllib.request.urlopen(request, timeout=5).close()


def tell(name, ends):
    alert = {"labels": {"alertname": name}, "startsAt": moment(-60), "endsAt": moment(ends)}
    send("/api/v2/alerts", [alert])


def show(what, seconds=4):
    """What the receiver hears within so many seconds: more than two intervals of the group."""
    time.sleep(seconds)
    print(f"{what}: {', '.join(heard) or 'nothing'}", flush=True)
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
    tell("Expiring", 300)
    show("it fires")
    silence("Expiring", 6)
    time.sleep(1)
    tell("Expiring", -1)
    show("it is silenced, and ends")
    show("the silence is over")
    tell("Expiring", -1)
    show("its end is sent again")
    tell("Rule", 300)
    show("another fires")
    tell("Daemon", 300)
    show("what inhibits it fires")
    tell("Rule", -1)
    show("the inhibited one ends")
    tell("Daemon", -1)
    show("what inhibited it ends")
finally:
    process.terminate()
    process.wait(10)
END
)
expected="it fires: Expiring firing
it is silenced, and ends: nothing
the silence is over: nothing
its end is sent again: Expiring resolved
another fires: Rule firing
what inhibits it fires: Daemon firing
the inhibited one ends: nothing
what inhibited it ends: Daemon resolved"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
