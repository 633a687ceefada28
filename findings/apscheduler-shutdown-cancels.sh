#!/usr/bin/env bash
# AsyncIOScheduler.shutdown(wait=True) does not wait: it cancels the coroutine job that runs.
#
# VERSION APScheduler 3.11.3
# GUESS   shutdown(wait=True), the default, lets running jobs end, as it does with a
#         BackgroundScheduler; wait=False leaves them alone.
# SEEN    Both return at once, and the running coroutine gets a CancelledError. With jobs in
#         threads (BackgroundScheduler), wait=True waits.
# HERE    A scheduled pass that has a PATCH under way is cut off by an orderly stop, between the
#         request and the note of its outcome. So the scheduler may only ring; it must not run the
#         work.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
if ! { python3 -m venv "$box/v" && "$box/v/bin/pip" -q --disable-pip-version-check install \
  apscheduler==3.11.3; } >"$box/log" 2>&1; then
  echo "cannot be had: APScheduler 3.11.3 could not be installed"
  exit 77
fi
seen=$("$box/v/bin/python" - 2>"$box/errors" <<'END'
import asyncio
import threading
import time

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.schedulers.background import BackgroundScheduler


async def with_coroutines(wait):
    log, begun = [], asyncio.Event()

    async def job():
        begun.set()
        try:
            await asyncio.sleep(0.5)
            log.append("the job ended")
        except asyncio.CancelledError:
            log.append("the job was cancelled")

    scheduler = AsyncIOScheduler(timezone="UTC")
    scheduler.start()
    scheduler.add_job(job, misfire_grace_time=None)
    await asyncio.wait_for(begun.wait(), 10)
    scheduler.shutdown(wait=wait)
    log.append("shutdown returned")
    await asyncio.sleep(1)
    print(f"asyncio, wait={wait}: {', '.join(log)}")


def with_threads():
    log, begun = [], threading.Event()

    def job():
        begun.set()
        time.sleep(0.5)
        log.append("the job ended")

    scheduler = BackgroundScheduler(timezone="UTC")
    scheduler.start()
    scheduler.add_job(job, misfire_grace_time=None)
    begun.wait(10)
    scheduler.shutdown(wait=True)
    log.append("shutdown returned")
    print(f"threads, wait=True: {', '.join(log)}")


asyncio.run(with_coroutines(True))
asyncio.run(with_coroutines(False))
with_threads()
END
)
expected="asyncio, wait=True: shutdown returned, the job was cancelled
asyncio, wait=False: shutdown returned, the job was cancelled
threads, wait=True: the job ended, shutdown returned"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
