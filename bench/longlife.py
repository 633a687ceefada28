"""10,000 passes of the whole daemon in simulated time, and whether anything of what it holds has grown.

Passes of half an hour: 208 days. What is kept for 90 days is compared between the passes 5,000 and 10,000, everything
else between 2,000 and 10,000. Exit code 1 when something grew beyond its bound (``tests/harness/long_life.py``).
"""

import argparse
import sys
import tempfile
import time
from contextlib import redirect_stderr
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.harness.long_life import KEPT_LONG, grown, live
from tests.harness.time import simulated
from watchdog.state.memory import KEEP_JOURNAL


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passes", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=30, help="length of a pass")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    marks = (options.passes // 5, options.passes // 2, options.passes)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder, Path("/dev/null").open("w") as nowhere, redirect_stderr(nowhere):
        held = simulated(lambda: live(Path(folder), marks, timedelta(minutes=options.minutes), options.seed))
    early, middle, late = held
    print(f"{options.passes} passes, seed {options.seed}, {time.process_time() - began:.0f} s of CPU")
    print(f"{'':45}" + "".join(f"{f'pass {mark}':>14}" for mark in marks))
    shown = sorted(late, key=lambda name: (-abs(late[name] - early[name]), name))
    for name in shown[:40]:
        print(f"{name:45}{early[name]:14,}{middle[name]:14,}{late[name]:14,}")
    found = grown(early, late, set(late) - set(KEPT_LONG))
    if timedelta(minutes=options.minutes) * marks[1] > KEEP_JOURNAL:
        found |= grown(middle, late, KEPT_LONG)
    for name, (before, after) in sorted(found.items()):
        print(f"GREW {name}: {before:,} → {after:,}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
