#!/usr/bin/env bash
# An interval job of APScheduler does not run until a clock that was set back has caught up.
#
# VERSION APScheduler 3.11.3; libfaketime 0.9.10 (Debian 12) sets the clock of its process alone
# GUESS   A job "every second" goes by the time that passes. When the clock is set back by an hour it
#         runs on, at most one run late: the loop's timers do not mind the clock.
# SEEN    No run for as long as the clock was set back: the next time is a moment on the clock, and the
#         timer that wakes too early for it is set anew for the rest. Set forward, the job runs on,
#         every second as before.
# HERE    A machine that boots with a clock ahead, starts its daemon, and is then set right by NTP
#         watches no certificate for hours, and all looks well. Whoever lets it ring has to look after
#         it by a clock that is never set.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
(cd "$box" && apt-get -q download libfaketime=0.9.10-2.1 && dpkg-deb -x ./*.deb .) \
  >"$box/log" 2>&1 || true
library=$(find "$box" -name libfaketime.so.1)
if [ -z "$library" ]; then
  echo "cannot be had: libfaketime 0.9.10 (Debian 12)"
  exit 77
fi
if ! { python3 -m venv "$box/v" && "$box/v/bin/pip" -q --disable-pip-version-check install \
  apscheduler==3.11.3; } >"$box/log" 2>&1; then
  echo "cannot be had: APScheduler 3.11.3 could not be installed"
  exit 77
fi
cat >"$box/job.py" <<'END'
import asyncio
import sys
import time
from datetime import datetime, timezone

from apscheduler.schedulers.asyncio import AsyncIOScheduler

clock, change = sys.argv[1:]
runs = []


async def job():
    runs.append(time.monotonic())


async def main():
    scheduler = AsyncIOScheduler(timezone=timezone.utc)
    scheduler.add_job(job, "interval", seconds=1, coalesce=True, misfire_grace_time=None)
    scheduler.start()
    await asyncio.sleep(3.5)
    before, at = len(runs), datetime.now(timezone.utc)
    with open(clock, "w") as file:
        file.write(change)
    moved = round((datetime.now(timezone.utc) - at).total_seconds())
    await asyncio.sleep(6)
    after = len(runs) - before
    print(f"moved by {moved} s: {'runs' if before > 1 else 'no run'} before", end=", ")
    print("none in the 6 s after" if not after else "runs after" if after > 3 else "few after")
    scheduler.shutdown(wait=False)


asyncio.run(main())
END
seen=$(for change in +0 -3600 +3600; do
  echo +0 >"$box/clock"
  FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_TIMESTAMP_FILE=$box/clock \
    LD_PRELOAD=$library "$box/v/bin/python" "$box/job.py" "$box/clock" "$change"
done)
expected="moved by 0 s: runs before, runs after
moved by -3600 s: runs before, none in the 6 s after
moved by 3600 s: runs before, runs after"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
