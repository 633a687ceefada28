"""What a world file says, as values. Nothing is drawn here; ``recovery_fate`` does that."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import yaml

DAY, HOUR, MINUTE = 86_400.0, 3_600.0, 60.0
WINDOWS = {90: 30 * DAY, 30: 7 * DAY, 14: 3 * DAY}
"""How long before its end a certificate is renewed, by the days it is ordered for (as ``watchdog.model.renewal``)."""
CLOSES = DAY
"""In its last 24 hours no more."""

ASKED = frozenset(
    {
        "authority_hiccup",
        "dns_outage",
        "dnssec_bogus",
        "caa_forbids",
        "http_blocked",
        "authority_refuses",
        "authority_rate_limited",
    }
)
"""Troubles in which the authority is asked and says no. In all others Cloudflare sees that there is nothing to ask."""

_SECONDS = {"s": 1.0, "m": MINUTE, "h": HOUR, "d": DAY}
_Z95 = 1.6448536269514722


@dataclass(frozen=True, slots=True)
class Lasts:
    """A log-normal law of durations, in seconds."""

    median: float
    p95: float

    def drawn(self, dice: Random) -> float:
        """One of them."""
        return self.median * math.exp(dice.gauss(0.0, 1.0) * math.log(self.p95 / self.median) / _Z95)

    @property
    def mean(self) -> float:
        """Their mean."""
        sigma = math.log(self.p95 / self.median) / _Z95
        return self.median * math.exp(sigma * sigma / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class TroubleKind:
    """One kind of trouble.

    ``heals`` is how long it lasts where it heals by itself, else ``when`` is ``told`` or ``never``. ``whole`` is the
    part of them that befalls a whole authority.
    """

    name: str
    share: float
    heals: Lasts | None
    when: str
    only: str
    whole: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """A world file."""

    packs: int
    zones: int
    accounts: int
    validity: dict[int, float]
    authorities: dict[str, float]
    validation: dict[str, float]
    times_out: dict[str, float]
    refused_times_out: float
    troubles: dict[str, TroubleKind]
    react: Lasts
    slower: float
    ignore_after: int
    ignore_for: float
    failed_per_hour: int
    others: int
    blip_every: int
    slow_down_every: int
    outages: float
    outage: Lasts
    text: str


def seconds(value: object) -> float:
    """A duration: ``40m``, or a number of seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", str(value).strip())
    return float(match[1]) * _SECONDS[match[2]] if match else float(str(value))


def read(path: Path, packs: int | None = None) -> Assumptions:
    """The assumptions of a file; with another number of ``packs``, zones and accounts shrink with it."""
    text = path.read_text()
    told: dict[str, Any] = yaml.safe_load(text)
    if "like" in told:  # another world file, and what differs from it
        other = (path.parent / told["like"]).read_text()
        told, text = yaml.safe_load(other) | told, f"{text}\n{other}"
    people, limits, cloudflare = told["people"], told["limits"], told["cloudflare"]
    part = 1.0 if packs is None else packs / told["packs"]
    return Assumptions(
        packs=round(told["packs"] * part),
        zones=max(1, round(told["zones"] * part)),
        accounts=max(1, min(told["accounts"], math.ceil(told["accounts"] * 2 * part))),
        validity=told["validity_days"],
        authorities=told["authorities"],
        validation=told["validation"],
        times_out={name: seconds(value) for name, value in told["validation_times_out_after"].items()},
        refused_times_out=seconds(told["refused_validation_times_out_after"]),
        troubles={name: _trouble(name, said) for name, said in told["troubles"].items()},
        react=_lasts(people["react_after"]),
        slower=people["slower"],
        ignore_after=people["ignore_after"],
        ignore_for=seconds(people["ignore_for"]),
        failed_per_hour=limits["lets_encrypt_failed_validations_per_name_and_hour"],
        others=limits["other_tools_requests_per_5m"],
        blip_every=cloudflare["blip_10000_every"],
        slow_down_every=cloudflare["slow_down_971_every"],
        outages=cloudflare["outage"]["per_year"],
        outage=_lasts(cloudflare["outage"]["lasts"]),
        text=text,
    )


def _lasts(said: dict[str, str]) -> Lasts:
    return Lasts(seconds(said["median"]), seconds(said["p95"]))


def _trouble(name: str, said: dict[str, Any]) -> TroubleKind:
    heals = said.get("heals_after")
    return TroubleKind(
        name=name,
        share=said["share"],
        heals=_lasts(heals) if heals else None,
        when=said.get("heals_when", ""),
        only=said.get("only", ""),
        whole=said.get("whole_authority", 0.0),
    )
