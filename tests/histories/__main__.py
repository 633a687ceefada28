"""Many histories, one after the other: ``python -m tests.histories --seeds 300 [--first 0] [--replicas 3]``.

With ``--replicas`` so many daemons share one state in each of them. Prints what was lived through, and each seed that
broke a law with the way to live it again. Exits with 1 if any did.
"""

import argparse
import gc
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tests.harness.simulation import deployment
from tests.harness.simulation.invariants import Broken
from tests.harness.simulation.run import play

MEMORY = Path("/dev/shm")  # noqa: S108 - states of histories need no disk: a power cut is not among the faults


def prepare():
    """A worker holds what it imported for ever, and each history is thrown away whole: little is to be found in it."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def one(replicas, seed):
    """What a seed came to, and why it broke, if it did."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        try:
            history = deployment.play(seed, replicas, Path(folder)) if replicas else play(seed, Path(folder))
        except Broken as broken:
            return seed, Counter(), str(broken)
        return seed, history.tally, ""


def main():
    options = argparse.ArgumentParser(prog="python -m tests.histories", description=__doc__)
    options.add_argument("--seeds", type=int, default=300, help="how many")
    options.add_argument("--first", type=int, default=0, help="the first of them")
    options.add_argument("--replicas", type=int, default=0, help="how many daemons share one state; one has it alone")
    chosen = options.parse_args()
    began, total, broken = time.monotonic(), Counter(), 0
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    with ProcessPoolExecutor(os.cpu_count(), initializer=prepare) as workers:
        for seed, tally, why in workers.map(partial(one, chosen.replicas), seeds, chunksize=5):
            total.update(tally)
            if why:
                broken += 1
                again = f"--first {seed} --seeds 1" + (f" --replicas {chosen.replicas}" if chosen.replicas else "")
                print(f"{why}\n  again: python -m tests.histories {again}", flush=True)
    lived = ", ".join(f"{count:,} {what}" for what, count in total.items())
    print(f"{len(seeds)} histories in {time.monotonic() - began:.0f} s, {broken} broke a law: {lived}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
