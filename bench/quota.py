"""How much of the rate limit one pass uses while there is work, and whether it ever goes over.

The real limit is 1,200 requests per 300 s, with a block as long; here: a tenth of that, in a hundredth of the time.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from measure import OURS, run, serving, stats, write_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zones", type=int, default=800)
    parser.add_argument("--limit", type=int, default=120, help="requests per window")
    parser.add_argument("--window", type=int, default=3, help="seconds")
    options = parser.parse_args()
    asked = ("--zones", options.zones, "--limit", options.limit, "--window", options.window)
    with serving(*asked) as address, tempfile.TemporaryDirectory() as folder:
        stats(address)
        allowance = f"{{requests: {options.limit}, per: {options.window}s, share: 1.0}}"
        cost = run([*OURS, "once", "--config", str(write_config(Path(folder), address, options.zones, allowance))])
        seen = stats(address)
    full = seen["windows"][:-1]  # in the last one the work ran out
    if not full:
        sys.exit(f"the pass was over within one window: more zones are needed ({seen})")
    used = 100 * sum(full) / (options.limit * len(full))
    print(f"{options.zones} zones, {options.limit} requests per {options.window} s")
    print(f"exit {cost.code} after {cost.wall:.1f} s")
    print(f"requests per window: {seen['windows']}")
    print(f"used while there was work: {used:.1f} % of the allowance; refused with 429: {seen['requests']['refused']}")


if __name__ == "__main__":
    main()
