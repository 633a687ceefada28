"""Many histories: ``python -m tests.histories --seeds 300 [--first 0] [--replicas 3] [--shared 20]``.

With ``--replicas`` so many daemons share one state in each of them; ``--shared`` are lived through besides, by three.
Prints what was lived through, and each seed that broke a law with the way to live it again. Exits with 1 if any did.
"""

import argparse
import gc
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.harness.simulation import deployment
from tests.harness.simulation.invariants import Broken
from tests.harness.simulation.run import play

BESIDES = 3
MEMORY = Path("/dev/shm")  # noqa: S108 - states of histories need no disk: a power cut is not among the faults


def prepare():
    """A worker holds for ever what it imported, and each history is thrown away whole: garbage is sought in between."""
    gc.freeze()
    gc.disable()


def one(replicas, seed):
    """What a seed came to, and why it broke, if it did."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        try:
            history = deployment.play(seed, replicas, Path(folder)) if replicas else play(seed, Path(folder))
        except Broken as broken:
            return Counter(), str(broken)
        return history.tally, ""


def lived(job):
    """The same of one of several, with nothing left behind of it."""
    try:
        return one(*job)
    finally:
        gc.collect()


def main():
    options = argparse.ArgumentParser(prog="python -m tests.histories", description=__doc__)
    options.add_argument("--seeds", type=int, default=300, help="how many")
    options.add_argument("--first", type=int, default=0, help="the first of them")
    options.add_argument("--replicas", type=int, default=0, help="how many daemons share one state; one has it alone")
    options.add_argument("--shared", type=int, default=0, help=f"how many besides of {BESIDES} daemons that share one")
    chosen = options.parse_args()
    began, total, broken = time.monotonic(), defaultdict(Counter), Counter()
    kinds = {BESIDES: chosen.shared, chosen.replicas: chosen.seeds}  # in one pool, the longer ones first
    jobs = [(kind, chosen.first + number) for kind, many in kinds.items() for number in range(many)]
    with ProcessPoolExecutor(os.cpu_count(), initializer=prepare) as workers:
        for (kind, seed), (tally, why) in zip(jobs, workers.map(lived, jobs), strict=True):
            total[kind].update(tally)
            if why:
                broken[kind] += 1
                again = f"--first {seed} --seeds 1" + (f" --replicas {kind}" if kind else "")
                print(f"{why}\n  again: python -m tests.histories {again}", flush=True)
    for kind, tally in total.items():
        what = f"histories of {kind} replicas" if kind else "histories"
        counted = ", ".join(f"{count:,} {each}" for each, count in tally.items())
        print(f"{kinds[kind]} {what}, {broken[kind]} broke a law: {counted}")
    print(f"in {time.monotonic() - began:.0f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
