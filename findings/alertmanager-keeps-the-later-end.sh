#!/usr/bin/env bash
# Alertmanager: an alert that is sent again with an earlier end keeps the later one.
#
# VERSION Alertmanager 0.25.0 (Debian 12)
# GUESS   Each post replaces what was known of the alert, so that an endsAt that is nearer than the
#         last one shortens it; the newest word counts.
# SEEN    An endsAt still to come is taken only if it is later than the one before; the nearer one
#         is answered 200 and forgotten, and the alert is still active after it. An endsAt that has
#         passed resolves it at once.
# HERE    Whoever lets alerts end by themselves ("valid for 4 minutes") cannot take that back by a
#         shorter validity. And an end that lies ahead of Alertmanager's clock, which runs behind,
#         is such an end: the recovery is not taken until it is told again after that moment.
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
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone

server, box = sys.argv[1:]
with open(f"{box}/config.yml", "w") as config:
    config.write("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
with socket.create_server(("127.0.0.1", 0)) as free:
    at = f"127.0.0.1:{free.getsockname()[1]}"
command = [server, f"--config.file={box}/config.yml", f"--storage.path={box}/data"]
command += [f"--web.listen-address={at}", "--cluster.listen-address="]
log = open(f"{box}/alertmanager.log", "w")
process = subprocess.Popen(command, stdout=log, stderr=log)


def fetch(path, body=None):
    headers = {"content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{at}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read()


def until_ready():
    last = time.monotonic() + 20
    while time.monotonic() < last:
        try:
            return fetch("/-/ready")
        except OSError:
            time.sleep(0.05)
    raise SystemExit("Alertmanager did not start")


def moment(seconds):
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat()


def active():
    listed = json.loads(fetch("/api/v2/alerts")[1])
    return {each["labels"]["alertname"]: each["endsAt"] for each in listed}


def post(ends):
    alert = {"labels": {"alertname": "CertificateTimedOut"}, "startsAt": begun, "endsAt": ends}
    return fetch("/api/v2/alerts", [alert])[0]


try:
    until_ready()
    begun = moment(-60)
    print(f"ends in 60 s: {post(moment(60))}")
    before = active()
    print(f"ends in 2 s: {post(moment(2))}, its end changed: {active() != before}")
    time.sleep(4)
    print(f"4 s later: active {len(active())}")
    print(f"ends in 90 s: {post(moment(90))}, its end changed: {active() != before}")
    print(f"ended 1 s ago: {post(moment(-1))}, active {len(active())}")
finally:
    process.terminate()
    process.wait(10)
END
)
expected="ends in 60 s: 200
ends in 2 s: 200, its end changed: False
4 s later: active 1
ends in 90 s: 200, its end changed: True
ended 1 s ago: 200, active 0"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
