#!/usr/bin/env bash
# Alertmanager answers 400 to a batch of alerts and takes some of them all the same.
#
# VERSION Alertmanager 0.25.0 (Debian 12)
# GUESS   POST /api/v2/alerts is all or nothing: after a 400 none of the alerts was taken.
# SEEN    One alert whose start is after its end, or whose label has a name Prometheus does not
#         allow, is answered 400, and the others of the batch are active. One with a generatorURL
#         that is no URI is answered 422, and none is taken.
# HERE    "Not accepted" is not "not seen": a sender that then tells the alerts another way tells
#         them twice, and one bad alert does not silence the rest in the one case, and does in the
#         other.
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


def alert(name, starts=-1, ends=60, labels=(), **more):
    named = {"alertname": name, **dict(labels)}
    return {"labels": named, "startsAt": moment(starts), "endsAt": moment(ends), **more}


def story(name, odd):
    status, _ = fetch("/api/v2/alerts", [alert(f"{name}-first"), odd, alert(f"{name}-last")])
    taken = sorted(each for each in active() if each.startswith(name))
    print(f"{name}: {status}, active: {', '.join(taken) or 'none'}")


try:
    until_ready()
    story("start", alert("start-odd", starts=10, ends=5))
    story("label", alert("label-odd", labels={"zone.name": "shop.example"}))
    story("link", alert("link-odd", generatorURL="the runbook"))
finally:
    process.terminate()
    process.wait(10)
END
)
expected="start: 400, active: start-first, start-last
label: 400, active: label-first, label-last
link: 422, active: none"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
