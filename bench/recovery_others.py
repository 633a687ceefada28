"""Those the daemon is compared with: two scripts, as one would write them, and an oracle, as nobody can.

The scripts list a zone's packs every 15 minutes and restart what has timed out; the second waits 24 h between two
restarts of one pack. Neither knows why anything fails. What they did is printed, so cron mails it: those mails are the
only messages people get before a site is down, and they name neither the cause nor a remedy.

The oracle knows the future. It looks as often as the daemon does (every 15 min, every minute once something is under
way), restarts only what will then be validated, asks for a check the moment one will succeed, and tells people of
whatever needs them at the first look, once. Packs do not influence each other here, so each is lived through alone.
"""

import math

from recovery_assumptions import MINUTE
from recovery_fate import Fate
from recovery_pack import PENDING, TIMED_OUT, Pack

EVERY = 15 * MINUTE


def _look_after(at: float, every: float = EVERY) -> float:
    """The first look that is not before ``at``."""
    return math.ceil(at / every - 1e-9) * every


def script(pack: Pack, fate: Fate, refusals: dict[int, tuple[str, int]], backoff: float) -> None:
    """A year of the script in cron."""
    now, sent = 0.0, -math.inf
    while now < fate.end:
        coming = pack.next()
        look = _look_after(max(now, sent + backoff)) if pack.status == TIMED_OUT else math.inf
        if look >= min(coming, fate.end):
            if coming >= fate.end:
                break
            pack.live(coming)
            now = coming
            continue
        now = look
        pack.live(now)
        refused = refusals.get(int(now // MINUTE), ("", 9))[1] <= 1 or fate.out(now)
        if not refused and pack.status == TIMED_OUT:
            sent = now
            pack.restart(now)
            pack.told(now, well=False)
        now += 1.0
    pack.end(fate.end)


def oracle(pack: Pack, fate: Fate, refusals: dict[int, tuple[str, int]]) -> None:
    """A year of the oracle."""
    now, told = 0.0, (-1, 0, False)
    while now < fate.end:
        if not pack.open:
            now = max(pack.next(), now)
            if now >= fate.end:
                break
            pack.live(now)
            now = _look_after(now)
            continue
        pack.live(now)
        refused = refusals.get(int(now // MINUTE), ("", 9))[1] <= 1 or fate.out(now)
        if not refused:
            if pack.status == PENDING and now <= pack.closes and not pack.blocked(now):
                pack.recheck_at(now)
                pack.live(now)
            elif pack.status == TIMED_OUT and pack.would_work(now):
                pack.restart(now)
            elif pack.status == TIMED_OUT and pack.people_come_too_late(now):
                pack.restart_wanted = True  # they find it too late for that, and order anew: the sooner they hear of it
            need = (pack.number, pack.serial if pack.drawn.by_hand else 0, now >= pack.closes)
            if pack.needs_people and need != told:
                told = need
                pack.told(now, well=True, serial=pack.serial)
        now = _next_look(pack, now, told)
    pack.end(fate.end)


def _next_look(pack: Pack, now: float, told: tuple[int, int, bool]) -> float:
    """The next minute, or, where nothing can change before, the minute of the next change."""
    fresh = MINUTE + now
    if pack.status == TIMED_OUT and not math.isinf(pack.clear_at):
        return fresh
    coming = min(pack.next(), pack.clear_at if pack.clear_at > now else math.inf)
    out = pack.fate.authority_out(pack.authority, now)
    if out:
        coming = min(coming, out)
    if told[0] != pack.number:
        return fresh
    return max(fresh, _look_after(coming, MINUTE))
