"""A simulated year of renewals and their troubles: what the daemon makes of it, two scripts in cron, and an oracle.

What was recovered of what could be, how late, and what it cost people and authorities.

``docs/recovery.md`` has the method and the results. Prints what was assumed, then the table; the same for a seed every
time. ``--packs`` and ``--days`` make a smaller world.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from recovery_assumptions import DAY, HOUR, Assumptions, read
from recovery_daemon import daemon
from recovery_fate import Fate
from recovery_others import oracle, script
from recovery_pack import Outcome, Pack, Tally, day_of

from watchdog.simulator.scenario import ZoneStart

HERE = Path(__file__).parent
NAMES = {
    "daemon": "the daemon",
    "script": "script, every 15 min",
    "script24": "script, 24 h backoff",
    "oracle": "oracle",
}
CUT = 30 * DAY
"""Renewals that begin so shortly before the end are not counted: what becomes of them is not in the year."""


def live(strategy: str, assumed: Assumptions, seed: int, days: float, account: int) -> Tally:
    """One account's year with one strategy."""
    fate = Fate(assumed, seed, days)
    if strategy == "daemon":
        return daemon(fate, account)
    tally, zones = Tally(), dict[str, ZoneStart]()
    for drawn in fate.of(account):
        zone = zones.setdefault(drawn.zone, ZoneStart(name=drawn.zone, packs=()))
        pack, refusals = Pack(fate, drawn, zone, tally), fate.refusals(drawn.zone)
        if strategy == "oracle":
            oracle(pack, fate, refusals)
        else:
            script(pack, fate, refusals, DAY if strategy == "script24" else 0.0)
    return tally


def run(assumed: Assumptions, seed: int, days: float, workers: int, strategies: list[str]) -> dict[str, Tally]:
    """Every strategy's year."""
    jobs = [(strategy, account) for strategy in strategies for account in range(assumed.accounts)]
    found = {strategy: Tally() for strategy in strategies}
    one = partial(_live, assumed, seed, days)
    if workers == 1:
        lived = list(map(one, jobs))
    else:
        with ProcessPoolExecutor(workers) as pool:
            lived = list(pool.map(one, jobs))
    for (strategy, _), tally in zip(jobs, lived, strict=True):
        found[strategy].add(tally)
    return found


def _live(assumed: Assumptions, seed: int, days: float, job: tuple[str, int]) -> Tally:
    return live(job[0], assumed, seed, days, job[1])


class Result:
    """One strategy's year beside the oracle's."""

    def __init__(self, tally: Tally, best: Tally, assumed: Assumptions, end: float) -> None:
        self.counts = tally.counts
        last = end - min(CUT, end / 4)
        never = {name for name, kind in assumed.troubles.items() if kind.when == "never"}

        def counted(lived: Tally) -> dict[tuple[int, int], Outcome]:
            return {key: each for key, each in lived.renewals.items() if each.opened < last}

        mine, theirs = counted(tally), counted(best)
        mendable = {key for key in mine.keys() | theirs.keys() if _trouble(key, mine, theirs) not in never}
        self.recoverable = len(mendable)
        self.recovered = sum(1 for key in mendable if key not in mine or mine[key].became == "recovered")
        self.late = sum(mine[key].late for key in mendable if key in mine) / HOUR
        self.by_trouble: Counter[str] = Counter()
        for key in mendable & mine.keys():
            self.by_trouble[mine[key].trouble] += mine[key].late / HOUR
        self.expired = sum(each.expired for each in mine.values())
        saved = (key for key, each in mine.items() if each.expired and not (key in theirs and theirs[key].expired))
        self.saved_by_oracle = Counter(mine[key].trouble for key in saved)
        mails = tally.mails.values()
        self.mails, self.cause_days, self.most = sum(mails), len(mails), max(mails, default=0)
        self.over_one = sum(1 for each in mails if each > 1)


def _trouble(key: tuple[int, int], mine: dict[tuple[int, int], Outcome], theirs: dict[tuple[int, int], Outcome]) -> str:
    return (mine.get(key) or theirs[key]).trouble


ROWS: tuple[tuple[str, Callable[[Result, Result], str]], ...] = (
    ("renewals in trouble that can be recovered", lambda mine, _: f"{mine.recoverable:,}"),
    ("recovered", lambda mine, _: f"{100 * mine.recovered / max(1, mine.recoverable):.1f} %"),
    ("pack-hours late", lambda mine, _: f"{mine.late:,.0f}"),
    ("the same, of the oracle's", lambda mine, best: f"{mine.late / best.late:.3f} x" if best.late else "-"),
    ("certificates expired", lambda mine, _: f"{mine.expired:,}"),
    ("of them saved by the oracle", lambda mine, _: f"{sum(mine.saved_by_oracle.values()):,}"),
    ("restarts sent", lambda mine, _: f"{mine.counts['restarts']:,}"),
    ("restarts that failed", lambda mine, _: f"{mine.counts['restarts that failed']:,}"),
    ("rechecks asked for", lambda mine, _: f"{mine.counts['rechecks']:,}"),
    ("authority limits run into", lambda mine, _: f"{mine.counts['authority limits run into']:,}"),
    ("TXT records to place again", lambda mine, _: f"{mine.counts['TXT records placed again']:,}"),
    ("of them spent before they were placed", lambda mine, _: f"{mine.counts['TXT records placed in vain']:,}"),
    ("messages about one cause on one day, most", lambda mine, _: f"{mine.most}"),
    ("days with more than one about a cause", lambda mine, _: f"{mine.over_one:,} of {mine.cause_days:,}"),
)


def table(found: dict[str, Tally], assumed: Assumptions, end: float) -> list[str]:
    """The results as lines of a table."""
    results = {name: Result(tally, found["oracle"], assumed, end) for name, tally in found.items()}
    best = results["oracle"]
    lines = ["| | " + " | ".join(NAMES[name] for name in found) + " |", "|---|" + "--:|" * len(found)]
    lines += [f"| {row} | " + " | ".join(show(each, best) for each in results.values()) + " |" for row, show in ROWS]
    return lines


def details(found: dict[str, Tally], assumed: Assumptions, end: float) -> list[str]:
    """By trouble: hours late, and what expired that the oracle saved; all that was counted; what was said too often."""
    lines = []
    for name, tally in found.items():
        result = Result(tally, found["oracle"], assumed, end)
        lines += [f"\n{NAMES[name]}"]
        lines += [f"  hours late: {trouble:24}{hours:10,.1f}" for trouble, hours in sorted(result.by_trouble.items())]
        lines += [f"  expired, not with the oracle: {each}" for each in result.saved_by_oracle.items()]
        lines += [f"  {what}: {count:,}" for what, count in sorted(tally.counts.items())]
        lines += [f"  days with more than one message, by the hour (UTC) in which they begin: {_by_hour(tally)}"]
        many = {key: said for key, said in tally.said.items() if len(said) > 1 and name in ("daemon", "oracle")}
        for (pack, renewal, day), said in sorted(many.items()):
            lines += [f"  more than one message about renewal {pack}/{renewal} on day {day}:"]
            lines += [f"    {at:.0f} {text}" for at, text in said]
    return lines


def _by_hour(tally: Tally) -> str:
    """How many days have more than one message about a cause, were they to begin at each hour."""
    told = [(pack, renewal, at) for (pack, renewal, _), said in tally.said.items() for at, _ in said]
    days = [Counter((pack, renewal, day_of(at, hour * HOUR)) for pack, renewal, at in told) for hour in range(24)]
    return " ".join(str(sum(1 for each in counted.values() if each > 1)) for counted in days)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, default=HERE / "recovery-world.yaml", help="the assumptions")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--packs", type=int, help="fewer than the file says")
    parser.add_argument("--days", type=float, default=365)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--strategies", default=",".join(NAMES), help="some of them; the oracle is always there")
    parser.add_argument("--details", action="store_true", help="all that was counted")
    options: Any = parser.parse_args()
    assumed = read(options.world, options.packs)
    strategies = [name for name in NAMES if name in options.strategies.split(",") or name == "oracle"]
    found = run(assumed, options.seed, options.days, options.workers, strategies)
    end = options.days * DAY
    print(f"Assumed ({options.world.name}):\n\n{assumed.text}")
    print(f"Seed {options.seed}: {options.days:g} days of {assumed.packs:,} packs in {assumed.zones:,} zones\n")
    print("\n".join(table(found, assumed, end)))
    if options.details:
        print("\n".join(details(found, assumed, end)))


if __name__ == "__main__":
    main()
