"""One pass over a whole fleet, as an operator runs it (diagnosis on, ``--output json``): now, before, the official SDK.

All of them in turn in each round, so that they meet the same moments of the machine, each as a whole process with its
start. CPU is compared pair by pair within a round. The SDK does the same job: it lists every zone, reads what timed
out again, and restarts it; it diagnoses nothing.

Give it the interpreter of an environment that has the SDK and nothing else of ours (``--sdk``), as its users have it,
and an earlier version (``--before``): the interpreter of an environment with its wheel, or the directory of its tree.
"""

import argparse
import math
import statistics
import sys
import tempfile
from pathlib import Path

from measure import HERE, Cost, Version, resolving, run, serving, stats, write_config
from server import zone_id

SDKS = {"sdk": "cloudflare SDK, sync", "sdk-async": "cloudflare SDK, async, 16 at once"}


def measure(name: str, versions: dict[str, Version], sdk: str, address: str, resolver: str, zones: int) -> Cost:
    if name in versions:
        with tempfile.TemporaryDirectory() as folder:
            plenty = "{requests: 1000000, per: 5m, share: 1.0}"
            config = write_config(Path(folder), address, zones, plenty, resolver)
            return versions[name].run("once", "--config", str(config), "--output", "json")
    ids = "\n".join(zone_id(zone) for zone in range(zones))
    script = {"sdk": "sdk_sync.py", "sdk-async": "sdk_async.py"}[name]
    return run([sdk, str(HERE / script), f"{address}/client/v4"], ids)


def compare(zones: int, packs: int, rounds: int, names: list[str], versions: dict[str, Version], sdk: str) -> None:
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    requests: dict[str, int] = {}
    with serving("--zones", zones, "--packs", packs) as address, resolving() as resolver:
        first = stats(address)
        timed_out, troubled = first["timed_out"], first["troubled"]
        for _ in range(rounds):
            for name in names:
                cost = measure(name, versions, sdk, address, resolver, zones)
                seen = stats(address)
                if seen["restarted"] != timed_out:
                    print(f"{name}: {seen['restarted']} of {timed_out} restarted", file=sys.stderr)
                costs[name].append(cost)
                requests[name] = sum(seen["requests"].values())
    floor = zones * max(1, math.ceil(packs / 50)) + 2 * timed_out
    print(f"\n**{zones:,} zones × {packs} packs**, {timed_out:,} timed out; medians of {rounds}.")
    print(f"The floor: {floor:,} requests, and {troubled:,} for what a diagnosis asks of as many zones.\n")
    print("| | CPU s | wall s | RSS MB | requests | CPU, × before | CPU, × SDK |\n|---|--:|--:|--:|--:|--:|--:|")

    def ratio(name: str, other: str) -> str:
        if other not in costs:
            return ""
        pairs = zip(costs[name], costs[other], strict=True)
        return f"{statistics.median(one.cpu / two.cpu for one, two in pairs):.2f}"

    for name in names:
        middle = {
            field: statistics.median(getattr(cost, field) for cost in costs[name]) for field in ("cpu", "wall", "rss")
        }
        print(
            f"| {SDKS.get(name, f'certpack-watchdog once, {name}')} | {middle['cpu']:.2f} | {middle['wall']:.1f} "
            f"| {middle['rss']:.0f} | {requests[name]:,} | {ratio(name, 'before')} | {ratio(name, 'sdk')} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="5,000 zones of 20 packs, in place of 1,000 of 5")
    parser.add_argument("--before", type=Path, help="an earlier version: an interpreter that has it, or its tree")
    parser.add_argument("--sdk", default=sys.executable, help="the interpreter that has the SDK")
    parser.add_argument("--only", action="append", choices=["now", "before", *SDKS], help="leave the others out")
    options = parser.parse_args()
    versions = {"now": Version()} | ({"before": Version(options.before)} if options.before else {})
    chosen = [name for name in (*versions, *SDKS) if name in (options.only or (*versions, "sdk"))]
    compare(*(5000, 20) if options.large else (1000, 5), options.rounds, chosen, versions, options.sdk)
