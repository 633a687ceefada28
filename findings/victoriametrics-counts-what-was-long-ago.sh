#!/usr/bin/env bash
# VictoriaMetrics: a counter that was not seen for a while has risen by all that it ever counted, if
# that is little; and a series that appears is a change.
#
# VERSION VictoriaMetrics 1.79.5 (Debian 12)
# GUESS   Rules written for Prometheus give the same but for a counter's first samples: there
#         increase() counts from 0. After a gap in the scrapes a counter that stood still has not
#         risen, and changes() is as in Prometheus.
# SEEN    A counter of 7 that stands still rises by 7 when it is first seen, and again after each gap
#         longer than the window: increase(x[30m]) is 7 for half an hour after an outage of two hours.
#         One of 70 rises by nothing, both times. changes() is 1 for a value that never changed.
#         increase_prometheus() and changes_prometheus() are 0.
# HERE    Counts of refused restarts and of dropped alerts are small: what was told weeks ago is told
#         again, as if it were new, whenever the scrapes come back. "Started more than five times in an
#         hour" counts one start too many of what was just added.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
if ! (cd "$box" && apt-get -q download victoria-metrics && dpkg-deb -x ./*.deb . &&
  dpkg-deb -f ./*.deb Version | grep "^1\.79\.5") >"$box/log" 2>&1; then
  echo "cannot be had: VictoriaMetrics 1.79.5 (Debian 12: victoria-metrics)"
  exit 77
fi
seen=$(python3 - "$box" <<'END'
import json
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

[box] = sys.argv[1:]
MINUTE = 60
BEGIN = (int(time.time()) // MINUTE - 300) * MINUTE  # five hours ago
# The scrapes of an hour, two hours without any, and an hour of them again.
SCRAPES = [*range(60), *range(180, 240)]
SERIES = {"seven": 7, "seventy": 70, "started_at": 1_700_000_000}  # none of them ever changes
with socket.create_server(("127.0.0.1", 0)) as free:
    at = f"127.0.0.1:{free.getsockname()[1]}"


def ask(path, body=None):
    with urllib.request.urlopen(f"http://{at}{path}", data=body, timeout=10) as answer:
        return answer.read()


def value(query, minute):
    asked = {"query": query, "time": BEGIN + minute * MINUTE, "nocache": 1}
    found = json.loads(ask(f"/api/v1/query?{urllib.parse.urlencode(asked)}"))["data"]["result"]
    return " ".join(each["value"][1] for each in found) or "nothing"


command = [f"{box}/usr/bin/victoria-metrics", f"-storageDataPath={box}/data", f"-httpListenAddr={at}"]
with open(f"{box}/log", "w") as log:
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        for _ in range(100):
            try:
                ask("/health")
                break
            except OSError:
                time.sleep(0.1)
        times = [(BEGIN + minute * MINUTE) * 1000 for minute in SCRAPES]
        for name, always in SERIES.items():
            row = {"metric": {"__name__": name}, "values": [always] * len(times), "timestamps": times}
            ask("/api/v1/import", json.dumps(row).encode())
        for _ in range(100):
            ask("/internal/force_flush")
            if len(json.loads(ask(f"/api/v1/series?match[]=%7B__name__!=%22%22%7D&start={BEGIN}"))["data"]) == 3:
                break
            time.sleep(0.1)
        for query in (
            "increase(seven[30m])",
            "increase_prometheus(seven[30m])",
            "increase(seventy[30m])",
            "changes(started_at[30m])",
            "changes_prometheus(started_at[30m])",
        ):
            moments = {"first seen": 5, "an hour on": 59, "after the gap": 185, "an hour after it": 239}
            print(f"{query}:", ", ".join(f"{value(query, minute)} {name}" for name, minute in moments.items()))
    finally:
        process.terminate()
        process.wait(20)
END
)
expected="increase(seven[30m]): 7 first seen, 0 an hour on, 7 after the gap, 0 an hour after it
increase_prometheus(seven[30m]): 0 first seen, 0 an hour on, 0 after the gap, 0 an hour after it
increase(seventy[30m]): 0 first seen, 0 an hour on, 0 after the gap, 0 an hour after it
changes(started_at[30m]): 1 first seen, 0 an hour on, 1 after the gap, 0 an hour after it
changes_prometheus(started_at[30m]): 0 first seen, 0 an hour on, 0 after the gap, 0 an hour after it"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
