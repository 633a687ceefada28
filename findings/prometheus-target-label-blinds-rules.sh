#!/usr/bin/env bash
# A label that a scrape job gives its targets takes the place of the metric's own label of that name,
# and rules that match by it go on, without an error, with wrong results.
#
# VERSION Prometheus 2.42.0 (Debian 12)
# GUESS   With `zone: eu-1` on the target, a metric's own zone is exported_zone, and each rule that
#         says `on (instance, zone)` fails, "many-to-many matching", seen in its health and in
#         prometheus_rule_evaluation_failures_total.
# SEEN    It is exported_zone. But `and` and `unless` match many to many by design: now all series
#         have one zone, so that what holds of one holds for all. A site that was never seen is not
#         told, as another was; one whose restarts were refused is told for the trouble of another.
#         Each rule's health is "ok". With honor_labels: true both are right.
# HERE    Many clouds label their targets with zone or account; so do metrics of DNS zones and
#         certificates. Half of the rules then never fire. honor_labels costs nothing where a metric
#         has no job and no instance of its own.
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
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

server, box = sys.argv[1:]
METRICS = b"""watched{zone="one"} 1
watched{zone="two"} 1
seen{zone="one"} 1
refused{zone="one"} 5
refused{zone="two"} 0
timed_out{zone="one"} 0
timed_out{zone="two"} 3
"""
RULES = """groups:
  - name: sites
    rules:
      - alert: NeverSeen
        expr: watched unless on (instance, job, zone) seen
      - alert: Refused
        expr: refused > 1 and on (instance, job, zone) timed_out > 0
"""


class Exporter(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(METRICS)))
        self.end_headers()
        self.wfile.write(METRICS)

    def log_message(self, *_):
        pass


exporter = ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
threading.Thread(target=exporter.serve_forever, daemon=True).start()
target = f'targets: ["127.0.0.1:{exporter.server_port}"]'
CONFIG = f"""global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: plain
    static_configs: [{{{target}}}]
  - job_name: with a zone
    static_configs: [{{{target}, labels: {{zone: eu-1}}}}]
  - job_name: with a zone, honor_labels
    honor_labels: true
    static_configs: [{{{target}, labels: {{zone: eu-1}}}}]
"""
for name, text in {"rules": RULES, "config": CONFIG}.items():
    with open(f"{box}/{name}.yml", "w") as file:
        file.write(text)
with socket.create_server(("127.0.0.1", 0)) as free:
    at = f"127.0.0.1:{free.getsockname()[1]}"


def ask(path):
    with urllib.request.urlopen(f"http://{at}/api/v1/{path}", timeout=5) as answer:
        return json.load(answer)["data"]


command = [server, f"--config.file={box}/config.yml", f"--storage.tsdb.path={box}/data"]
with open(f"{box}/log", "w") as log:
    process = subprocess.Popen([*command, f"--web.listen-address={at}"], stdout=log, stderr=log)
    last = time.monotonic() + 30
    try:
        scraped = 0
        while scraped < 6 and time.monotonic() < last:
            time.sleep(0.5)
            try:
                scraped = len(ask("query?query=timed_out")["result"])
            except OSError:
                continue
        time.sleep(3)  # an evaluation after all were scraped
        rules = ask("rules")["groups"][0]["rules"]
    finally:
        process.terminate()
        process.wait(20)
for job in ("plain", "with a zone", "with a zone, honor_labels"):
    for rule in rules:
        told = [each["labels"] for each in rule["alerts"] if each["labels"]["job"] == job]
        names = sorted(each.get("exported_zone") or each["zone"] for each in told)
        print(f"{job}: {rule['name']} ({rule['health']}) {' '.join(names) or 'nobody'}")
END
)
expected="plain: NeverSeen (ok) two
plain: Refused (ok) nobody
with a zone: NeverSeen (ok) nobody
with a zone: Refused (ok) one
with a zone, honor_labels: NeverSeen (ok) two
with a zone, honor_labels: Refused (ok) nobody"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
