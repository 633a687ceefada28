#!/usr/bin/env bash
# Two Alertmanagers of a cluster do not tell each other of alerts, and what one inhibits the other
# tells.
#
# VERSION Alertmanager 0.25.0 (Debian 12)
# GUESS   An alert that one of a cluster was sent is known to both, as silences are; or at least
#         what is inhibited at the one that knows better is told by neither.
# SEEN    Only silences and what was already told are shared. The peer that was not sent the alert
#         knows nothing of it; it tells the alert that the first one inhibits. Sent to both, an
#         alert is told once.
# HERE    Prometheus sends to every peer. A daemon that sends to one of them, or to a balancer in
#         front, inhibits nothing at the other, and its own alerts end there whenever the balancer
#         changes its mind for longer than they are valid.
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


def free():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


def moment(seconds):
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat()


def fetch(at, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://{at}{path}", data, headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.loads(answer.read() or "null")


def tell(at, name):
    alert = {"labels": {"alertname": name}, "startsAt": moment(-60), "endsAt": moment(300)}
    fetch(at, "/api/v2/alerts", [alert])


def until(what, right):
    last = time.monotonic() + 40
    while time.monotonic() < last:
        try:
            if right():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"{what} did not come")


def known(at):
    alerts = fetch(at, "/api/v2/alerts")
    named = sorted(f"{each['labels']['alertname']} {each['status']['state']}" for each in alerts)
    return ", ".join(named) or "nothing"


def show(what, seconds):
    time.sleep(seconds)
    told = ", ".join(heard) or "nothing"
    print(f"{what}: first knows {known(first)}; second knows {known(second)}; told: {told}")
    heard.clear()


first, second = free(), free()
gossip = [free(), free()]
log = open(f"{box}/alertmanager.log", "w")
processes = []
try:
    for number, at in enumerate((first, second)):
        command = [server, f"--config.file={box}/config.yml", f"--storage.path={box}/{number}"]
        command += [f"--web.listen-address={at}", f"--cluster.listen-address={gossip[number]}"]
        command += [f"--cluster.peer={gossip[1 - number]}", "--cluster.peer-timeout=2s"]
        processes.append(subprocess.Popen(command, stdout=log, stderr=log))
    for at in (first, second):
        until("the cluster", lambda: len(fetch(at, "/api/v2/status")["cluster"]["peers"]) == 2)
        until("its quiet", lambda: fetch(at, "/api/v2/status")["cluster"]["status"] == "ready")
    matcher = {"name": "alertname", "value": "Other", "isRegex": False}
    silence = {"matchers": [matcher], "startsAt": moment(0), "endsAt": moment(300)}
    fetch(first, "/api/v2/silences", {**silence, "createdBy": "somebody", "comment": "test"})
    until("the silence", lambda: fetch(second, "/api/v2/silences"))
    print("a silence of the first: the second has it")
    tell(first, "Daemon")
    show("sent to the first", seconds=5)
    for at in (first, second):
        tell(at, "Rule")
    show("the inhibited one sent to both", seconds=8)
    tell(second, "Daemon")
    show("what inhibits it sent to the second too", seconds=8)
finally:
    for process in processes:
        process.terminate()
        process.wait(10)
END
)
both="Daemon active, Rule suppressed"
expected="a silence of the first: the second has it
sent to the first: first knows Daemon active; second knows nothing; told: Daemon firing
the inhibited one sent to both: first knows $both; second knows Rule active; told: Rule firing
what inhibits it sent to the second too: first knows $both; second knows $both; told: nothing"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
