"""What is drawn of a world before anybody lives in it: the same for every strategy, and for a seed always the same.

Zones and packs, what each renewal meets and how long that lasts, how fast people would react, when whole authorities
and Cloudflare are out, and which requests are refused for no reason. Renewals begin at times that are fixed from the
start: one that was late does not move those after it, so every strategy meets the same ones.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from random import Random

from recovery_assumptions import DAY, MINUTE, WINDOWS, Assumptions, TroubleKind

MOST_REACTIONS = 40
"""Reactions drawn for one renewal; more are as the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackFate:
    """One pack. ``first`` is when its first renewal begins; the next one follows every ``period``."""

    number: int
    zone: str
    account: int
    validation: str
    authority: str
    validity: int
    first: float

    @property
    def window(self) -> float:
        """How long before its end it is renewed."""
        return WINDOWS[self.validity]

    @property
    def period(self) -> float:
        """From one renewal to the next."""
        return self.validity * DAY - self.window

    @property
    def by_hand(self) -> bool:
        """Whether a person places its tokens."""
        return self.validation == "txt_manual"


@dataclass(frozen=True, slots=True)
class RenewalFate:
    """What one renewal meets (``""``: nothing), how long that lasts, and how long people take each time."""

    trouble: str
    lasts: float
    reactions: tuple[float, ...]


CALM = RenewalFate("", 0.0, ())


class Fate:
    """A seed's world, for so many days."""

    def __init__(self, assumed: Assumptions, seed: int, days: float) -> None:
        self.assumed, self.seed, self.end = assumed, seed, days * DAY
        self.packs = self._packs()
        held = [pack.validation for pack in self.packs]
        self._shares = {name: held.count(name) / len(held) for name in assumed.validation}
        sizes = [pack.zone for pack in self.packs]
        self._alone = {pack.number for pack in self.packs if sizes.count(pack.zone) == 1}
        self.outages = tuple(self._outages())
        self._renewals: dict[tuple[int, int], RenewalFate] = {}

    def of(self, account: int) -> list[PackFate]:
        """The packs of an account."""
        return [pack for pack in self.packs if pack.account == account]

    def renewal(self, pack: PackFate, number: int) -> RenewalFate:
        """What the pack's renewal of that number meets."""
        known = self._renewals.get((pack.number, number))
        if known is None:
            known = self._renewals[pack.number, number] = self._renewal(pack, number)
        return known

    def _renewal(self, pack: PackFate, number: int) -> RenewalFate:
        dice = Random(f"{self.seed}/{pack.number}/{number}")  # noqa: S311  a simulation must be repeatable
        drawn, kind = dice.random(), None
        for each in self.assumed.troubles.values():
            drawn -= self._probability(each, pack)
            if drawn < 0:
                kind = each
                break
        lasts = kind.heals.drawn(dice) if kind is not None and kind.heals is not None else math.inf
        reactions = tuple(self.assumed.react.drawn(dice) for _ in range(MOST_REACTIONS))
        return RenewalFate(kind.name if kind is not None else "", lasts if kind is not None else 0.0, reactions)

    def _probability(self, kind: TroubleKind, pack: PackFate) -> float:
        """Of a kind for one renewal of this pack, so that all renewals together have the share that is assumed."""
        if kind.only:
            return kind.share / self._shares[kind.only] if pack.validation == kind.only else 0.0
        if kind.name == "zone_moved_away":  # else it would take other packs with it, which drew nothing
            return kind.share * len(self.packs) / len(self._alone) if pack.number in self._alone else 0.0
        return kind.share * (1 - kind.whole)

    def _packs(self) -> list[PackFate]:
        assumed, dice = self.assumed, Random(f"{self.seed}/packs")  # noqa: S311  a year repeats
        zones = [f"z{number:03}.example" for number in range(assumed.zones)]
        kinds = dict(zip(zones, _dealt(assumed.validation, len(zones), dice), strict=True))
        shared = zones[: max(1, len(zones) * 2 // 3)]
        homes = [*zones, *(dice.choice(shared) for _ in range(assumed.packs - len(zones)))]
        validities = _dealt(assumed.validity, len(homes), dice)
        long = sum(share for days, share in assumed.validity.items() if days == 90)
        found = []
        for number, (zone, validity) in enumerate(zip(homes, validities, strict=True)):
            weights = dict(assumed.authorities)
            free = weights.pop("lets_encrypt", 0.0)
            theirs = min(free / long, 1.0) if validity == 90 and long else 0.0
            authority = "lets_encrypt" if dice.random() < theirs else dice.choices([*weights], [*weights.values()])[0]
            period = validity * DAY - WINDOWS[validity]
            found.append(
                PackFate(
                    number=number,
                    zone=zone,
                    account=zones.index(zone) % assumed.accounts,
                    validation=kinds[zone],
                    authority=authority,
                    validity=validity,
                    first=dice.random() * period,
                )
            )
        return found

    # ── what befalls many at once ────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def authority_outages(self) -> dict[str, tuple[tuple[float, float], ...]]:
        """When a whole authority fails: as often as it takes for the part of the hiccups that is assumed to be such."""
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in self.assumed.authorities}
        for kind in self.assumed.troubles.values():
            if not kind.whole or kind.heals is None:
                continue
            dice = Random(f"{self.seed}/{kind.name}")  # noqa: S311  a year repeats
            for authority, outages in found.items():
                rate = sum(1 / pack.period for pack in self.packs if pack.authority == authority)
                wanted = kind.share * kind.whole * rate  # renewals a second that meet one
                often = wanted / (rate * kind.heals.mean) if rate else 0.0
                at = dice.expovariate(often) if often else math.inf
                while at < self.end:
                    outages.append((at, at + kind.heals.drawn(dice)))
                    at += dice.expovariate(often)
        return {name: tuple(_merged(outages)) for name, outages in found.items()}

    def authority_out(self, authority: str, at: float) -> float:
        """Until when the whole authority fails; 0 where it does not."""
        spans = self.authority_outages[authority]
        place = bisect_right(spans, (at, math.inf)) - 1
        return spans[place][1] if place >= 0 and at < spans[place][1] else 0.0

    def out(self, at: float) -> bool:
        """Whether Cloudflare's API fails altogether."""
        return any(begins <= at < ends for begins, ends in self.outages)

    def _outages(self) -> Iterator[tuple[float, float]]:
        dice = Random(f"{self.seed}/outages")  # noqa: S311  a year repeats
        for _ in range(round(self.assumed.outages * self.end / (365 * DAY))):
            begins = dice.random() * self.end
            yield begins, begins + self.assumed.outage.drawn(dice)

    def refusals(self, zone: str) -> dict[int, tuple[str, int]]:
        """Minutes in which a request about a zone is refused for no reason: which code, and which request of it.

        By the minute and not by a count of requests, so that who asks more often does not change what others meet.
        """
        dice = Random(f"{self.seed}/{zone}/refusals")  # noqa: S311  a year repeats
        blip, slow = 1 / self.assumed.blip_every, 1 / self.assumed.slow_down_every
        minutes, found = self.end / MINUTE, dict[int, tuple[str, int]]()
        at = dice.expovariate(blip + slow)
        while at < minutes:
            code = "971" if dice.random() < slow / (blip + slow) else "10000"
            found[int(at)] = (code, dice.choice((0, 0, 0, 1, 2, 3)))
            at += dice.expovariate(blip + slow)
        return found


def _dealt(shares: dict, number: int, dice: Random) -> list:  # type: ignore[type-arg]  of whatever is dealt
    """So many of each as its share says, shuffled."""
    kinds = list(shares)
    dealt: list = []  # type: ignore[type-arg]  of whatever is dealt
    for place in range(number):
        wanting = [shares[kind] * (place + 1) - dealt.count(kind) for kind in kinds]
        dealt.append(kinds[wanting.index(max(wanting))])
    dice.shuffle(dealt)
    return dealt


def _merged(spans: list[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    begins, ends = math.inf, -math.inf
    for span in sorted(spans):
        if span[0] > ends:
            if ends > begins:
                yield begins, ends
            begins, ends = span
        ends = max(ends, span[1])
    if ends > begins:
        yield begins, ends
