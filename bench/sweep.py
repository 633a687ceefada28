"""One pass over a whole fleet: ours, the official SDK one at a time, the official SDK sixteen at once, in turn.

Each is measured as a whole process, its start included: CPU, wall time, memory, and requests as the server counts them.
"""

import argparse
import math
import statistics
import sys
import tempfile
from pathlib import Path

from measure import HERE, OURS, Cost, run, serving, stats, write_config
from server import zone_id

NAMES = {"ours": "certpack-watchdog once", "sync": "cloudflare SDK, sync", "async": "cloudflare SDK, async, 16 at once"}


def measure(name: str, address: str, zones: int) -> Cost:
    if name == "ours":
        with tempfile.TemporaryDirectory() as folder:
            plenty = "{requests: 1000000, per: 5m, share: 1.0}"
            return run([*OURS, "once", "--config", str(write_config(Path(folder), address, zones, plenty))])
    ids = "\n".join(zone_id(zone) for zone in range(zones))
    return run([sys.executable, str(HERE / f"sdk_{name}.py"), f"{address}/client/v4"], ids)


def compare(zones: int, packs: int, rounds: int, names: list[str]) -> None:
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    requests: dict[str, int] = {}
    with serving("--zones", zones, "--packs", packs) as address:
        timed_out = stats(address)["timed_out"]
        for _ in range(rounds):
            for name in names:
                cost = measure(name, address, zones)
                seen = stats(address)
                if seen["restarted"] != timed_out or cost.code:
                    print(
                        f"{NAMES[name]}: exit {cost.code}, {seen['restarted']} of {timed_out} restarted",
                        file=sys.stderr,
                    )
                costs[name].append(cost)
                requests[name] = sum(seen["requests"].values())
    floor = zones * max(1, math.ceil(packs / 50)) + 2 * timed_out
    print(f"\n**{zones:,} zones × {packs} packs**, {timed_out:,} timed out; medians of {rounds}")
    print(f"(the floor: {floor:,} requests)\n")
    print("| | CPU s | wall s | RSS MB | requests | × the floor | CPU, × ours |\n|---|--:|--:|--:|--:|--:|--:|")

    def middle(name: str, field: str) -> float:
        return statistics.median(getattr(cost, field) for cost in costs[name])

    first = middle(names[0], "cpu")
    for name in names:
        cpu, count = middle(name, "cpu"), requests[name]
        print(
            f"| {NAMES[name]} | {cpu:.2f} | {middle(name, 'wall'):.2f} | {middle(name, 'rss'):.0f} "
            f"| {count:,} | {count / floor:.2f} | {cpu / first:.1f} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="also 5,000 zones of 20 packs")
    parser.add_argument("--only", choices=NAMES, action="append", help="leave the others out")
    options = parser.parse_args()
    chosen = [name for name in NAMES if name in (options.only or NAMES)]
    compare(1000, 5, options.rounds, chosen)
    if options.large:
        compare(5000, 20, options.rounds, chosen)
