#!/usr/bin/env bash
# A Prometheus that gets its series by federation goes on showing those that have ended, while it
# shows at once that their target is down.
#
# VERSION Prometheus 2.42.0 (Debian 12)
# GUESS   A series that its target no longer has, or whose target is down, ends at the next scrape at
#         the one that federates, as at the one that scrapes: it is in the answer no more.
# SEEN    It ends at once at the one that scrapes. At the other it stays for --query.lookback-delta, 5
#         minutes as it comes (here set to 15 s), since a sample that carries its own time is followed
#         by no mark that the series has ended. `up` of the dead target is 0 there at once.
# HERE    Where a state is a label, the old state and the new one are both there for 5 minutes: a
#         certificate is in trouble and well, and alerts end that much later. Rules belong to the
#         Prometheus that scrapes.
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
packs = [b'pack{state="troubled"} 1\n']


class Exporter(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b"".join(packs))

    def log_message(self, *_):
        pass


exporter = ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
threading.Thread(target=exporter.serve_forever, daemon=True).start()


def free():
    with socket.create_server(("127.0.0.1", 0)) as place:
        return f"127.0.0.1:{place.getsockname()[1]}"


AT = {"scrapes": free(), "federates": free()}
JOBS = {
    "scrapes": f"job_name: daemon\n    static_configs: [{{targets: ['127.0.0.1:{exporter.server_port}']}}]\n",
    "federates": "job_name: federate\n    honor_labels: true\n    metrics_path: /federate\n"
    "    params: {'match[]': ['{job=\"daemon\"}']}\n"
    f"    static_configs: [{{targets: ['{AT['scrapes']}']}}]\n",
}


def found(name):
    query = "pack+or+up%7Bjob=%22daemon%22%7D"
    with urllib.request.urlopen(f"http://{AT[name]}/api/v1/query?query={query}", timeout=5) as answer:
        rows = json.load(answer)["data"]["result"]
    return sorted(row["metric"].get("state") or f"up {row['value'][1]}" for row in rows)


def show(what):
    for name in AT:
        print(f"{what}: {name}: {', '.join(found(name))}")


running = []
with open(f"{box}/log", "w") as log:
    try:
        for name, job in JOBS.items():
            with open(f"{box}/{name}.yml", "w") as config:
                config.write(f"global: {{scrape_interval: 1s}}\nscrape_configs:\n  - {job}")
            command = [server, f"--config.file={box}/{name}.yml", f"--storage.tsdb.path={box}/{name}"]
            command += [f"--web.listen-address={AT[name]}", "--query.lookback-delta=15s"]
            running.append(subprocess.Popen(command, stdout=log, stderr=log))
        last = time.monotonic() + 30
        while time.monotonic() < last:
            time.sleep(0.5)
            try:
                if found("federates") == ["troubled", "up 1"]:
                    break
            except OSError:
                continue
        time.sleep(2)
        packs[:] = [b'pack{state="well"} 1\n']
        time.sleep(5)
        show("it is well")
        time.sleep(16)
        show("16 s later")
        exporter.shutdown()
        exporter.server_close()
        time.sleep(5)
        show("the daemon is dead")
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(20)
END
)
expected="it is well: scrapes: up 1, well
it is well: federates: troubled, up 1, well
16 s later: scrapes: up 1, well
16 s later: federates: up 1, well
the daemon is dead: scrapes: up 0
the daemon is dead: federates: up 0, well"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
