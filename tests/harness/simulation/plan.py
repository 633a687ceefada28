"""What a seed means: a fleet, a configuration, and everything that will happen to both. Plain values; nothing runs.

``draw(seed)`` gives the same for ever. Times are seconds from the beginning. From ``calm`` on nothing goes wrong any
more, and ``end`` lies as far behind it as a healthy world may need to put everything right: then it must be.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

MINUTE, HOUR, DAY = 60, 3600, 86400
HOOK, ALERTMANAGER, HEARTBEAT = "hook.test", "am.test", "hc.test"
ERRORS = (
    "SERVFAIL looking up CAA",
    "CAA records block issuance for this domain",
    "Internal error with Certificate Authority",
    "The authority has rate limited these domains",
    "The authority will not issue for this domain",
    "multiple perspective validation failed",
    "dnssec: bogus",
    "<b>something</b> \x1b[31mnew\n",
)
STATUSES = (
    "validation_timed_out",
    "active",
    "pending_validation",
    "initializing",
    "deployment_timed_out",
    "expired",
    "pending_deletion",
)


@dataclass(frozen=True)
class Happening:
    """Something that happens at a moment; ``lasts`` seconds where it is undone again."""

    at: float
    what: str
    with_: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Fate:
    """One history before it is lived."""

    seed: int
    scenario: dict[str, Any]
    config: dict[str, Any]
    happenings: tuple[Happening, ...]
    calm: float
    end: float

    @property
    def may_end(self):
        """From when on it ends as soon as everything is put right. Every fourth lives through the whole bound."""
        quiet = HOUR + 2 * seconds(self.config["schedule"]["interval"])
        return self.end if self.seed % 4 == 0 else min(self.end, self.calm + quiet)

    @property
    def backoff(self):
        """initial, factor and max, in seconds."""
        backoff = self.config["restart"]["backoff"]
        return seconds(backoff["initial"]), backoff["factor"], seconds(backoff["max"])


def _s(seconds):
    return f"{int(seconds)}s"


def seconds(text):
    return float(text.removesuffix("s"))


def draw(seed):
    """The fate of a seed."""
    dice = Random(seed)  # noqa: S311 - a history must be repeatable
    kind = dice.choices(["a day", "some days", "a month"], [6, 3, 1])[0]
    if kind == "a day":
        length, attention, interval = dice.uniform(0.2, 1), dice.uniform(3, 10), dice.uniform(15, 45)
    elif kind == "some days":
        length, attention, interval = dice.uniform(1, 3), dice.uniform(15, 40), dice.uniform(40, 120)
    else:
        length, attention, interval = dice.uniform(5, 31), dice.uniform(60, 120), dice.uniform(120, 480)
    length, attention, interval = length * DAY, attention * MINUTE, interval * MINUTE
    scenario = scenario_of(dice, length)
    config = config_of(dice, scenario, interval, attention, minutely=kind == "a day")
    config["config"] = {"auto_reload": kind == "a day" and seed % 8 == 0}
    happenings = _happenings(dice, scenario, config, length)
    packs = sum(len(zone["packs"]) for zone in scenario["zones"])
    edits = [each.with_["restart"] for each in happenings if each.what == "edited file"]
    bound = _bound([config["restart"], *edits], config["schedule"], packs)
    return Fate(seed, scenario, config, tuple(happenings), length, length + bound)


def _bound(restarts, schedule, packs):
    """How long after the last fault every pack that can be restarted is restarted, and everybody told.

    The longest wait with its jitter, under whichever configuration it was drawn; an hour for each ``max_per_hour``
    packs; a zone's turn; the probe of a credential that was refused (15 min); a block of the rate limit (5 min); the
    next try of a destination (15 min).
    """
    longest = max(seconds(each["backoff"]["max"]) * (1 + each["backoff"]["jitter"]) for each in restarts)
    hours = 1 + packs // min(each["max_per_hour"] for each in restarts)
    return longest + hours * HOUR + 2 * seconds(schedule["interval"]) + 2 * HOUR


# ── Cloudflare ───────────────────────────────────────────────────────────────────────────────────────────────────


def scenario_of(dice, length):
    names = dice.choices(["main", "other"], k=dice.choice([1, 1, 2]))
    names = list(dict.fromkeys(names))
    zones = [_zone(dice, number, length) for number in range(dice.randint(1, 4))]
    gone = {
        zone["name"] for zone in zones[1:] if dice.random() < 0.1
    }  # it has left the account, and is refused for ever
    seen = [zone["name"] for zone in zones if zone["name"] not in gone]
    new_for = _s(dice.uniform(0, 20)) if dice.random() < 0.1 else "0s"
    tokens = [
        {"name": name, "value": f"token-of-{name}", "new_for": new_for, **({"zones": seen} if gone else {})}
        for name in names
    ]
    limit = {
        "requests": dice.choice([60, 200, 1200]),
        "per": "5m",
        "retry_after": dice.random() < 0.7,
        "others": 0,
    }
    if dice.random() < 0.2:
        limit["list_zones"] = dice.choice([1, 5])
    if dice.random() < 0.3:
        limit["others"] = int(limit["requests"] * dice.uniform(0.2, 1.1))
    unknowns = {
        "restart_when_not_timed_out": dice.choice(["unchanged", "refused"]),
        "status_after_restart": dice.choice(["initializing", "pending_validation"]),
        "restart_changes_id": dice.random() < 0.25,
        "errors_outlive_timeout": dice.random() < 0.5,
        "failed_renewal": dice.choice(["same_pack", "second_pack"]),
        "page_ignored": dice.random() < 0.2,
        "result_info": dice.random() < 0.8,
        "authentication_error_status": dice.choice([400, 401, 403]),
        "ratelimit_resets_in": dice.choice(["second", "window"]),
        "internal_zones_listed": dice.random() < 0.3,
    }
    if dice.random() < 0.15:  # an Internal DNS zone that bears the name of a public one
        zones.append({"name": zones[0]["name"], "id": "f" * 32, "type": "internal", "packs": []})
    return {"tokens": tokens, "zones": zones, "rate_limit": limit, "unknowns": unknowns, "faults": []}


def _zone(dice, number, length):
    packs = [pack_of(dice, number, each, length) for each in range(dice.choice([0, 1, 1, 2, 3]))]
    return {"name": f"z{number}.example", "packs": packs, "acm": dice.random() < 0.95}


def pack_of(dice, zone, number, length):
    outcomes = dice.choices(["times_out", "succeeds"], [3, 1], k=dice.randint(1, 6))
    story = {
        "outcomes": outcomes,
        "errors": dice.sample(ERRORS, dice.choice([0, 1, 1, 2])),
        "stages": {
            "pending_validation": _s(dice.uniform(1, 30) * MINUTE),
            "timing_out": _s(dice.uniform(2, 300) * MINUTE),
        },
    }
    if dice.random() < 0.15:
        story["stuck_in"] = dice.choice(["pending_validation", "pending_deployment", "initializing"])
    if dice.random() < 0.3:
        story["renews_after"] = _s(dice.uniform(0.1, 0.8) * length)
    if dice.random() < 0.1:
        story["deleted_after"] = _s(dice.uniform(0, 1) * length)
    pack = {
        "hosts": [f"h{number}.z{zone}.example"],
        "type": "advanced" if dice.random() < 0.9 else dice.choice(["universal", "total_tls", "from_the_future"]),
        "status": dice.choices(STATUSES, [8, 4, 2, 1, 1, 1, 1])[0],
        "certificate_authority": dice.choice(["google", "lets_encrypt", "ssl_com"]),
        "validation_method": dice.choice(["txt", "http"]),
        "validity_days": dice.choice([14, 30, 90]),
        "story": story,
    }
    if dice.random() < 0.3:
        pack["expires_in"] = _s(dice.uniform(0.2, 2) * length)
    return pack


def restless(host):
    """A pack that times out five minutes after every restart."""
    story = {"outcomes": ["times_out"], "stages": {"timing_out": _s(5 * MINUTE)}, "errors": []}
    return {"hosts": [host], "status": "validation_timed_out", "story": story}


# ── the configuration ────────────────────────────────────────────────────────────────────────────────────────────


def config_of(dice, scenario, interval, attention, *, minutely):
    limit = scenario["rate_limit"]
    share = dice.choice([0.3, 0.5, 0.5, 1.0])
    accounts = {
        token["name"]: {
            "api_token": token["value"],
            "rate_limit": {"requests": limit["requests"], "per": limit["per"], "share": share},
        }
        for token in scenario["tokens"]
    }
    if dice.random() < 0.3:
        accounts[next(iter(accounts))]["discover"] = {"include": ["*"]}
    destinations = [{"name": "hook", "webhook": f"http://{HOOK}/"}]
    if minutely and dice.random() < 0.3:  # an Alertmanager is told every minute
        destinations.append({"name": "am", "alertmanager": f"http://{ALERTMANAGER}"})
    alerts = {"destinations": destinations, "repeat_every": _s(dice.choice([6, 24, 72]) * HOUR)}
    if dice.random() < 0.3:
        alerts["heartbeat_url"] = f"http://{HEARTBEAT}/ping"
    return {
        "accounts": accounts,
        "zones": [
            {"name": zone["name"], "account": dice.choice(list(accounts))}
            for zone in scenario["zones"]
            if zone.get("type") != "internal"
            if "discover" not in accounts[next(iter(accounts))] or dice.random() < 0.5
        ],
        "schedule": {"interval": _s(interval), "attention_interval": _s(attention)},
        "restart": _restart(dice),
        "diagnosis": {"enabled": dice.random() < 0.35, "resolvers": ["127.0.0.53"], "timeout": "2s"},
        "alerts": alerts,
        "web": {"listen": ""},
        "config": {"auto_reload": False},  # two looks a minute at the files would be most of what a history costs
        "log": {"level": "info", "format": "json"},
        "api": {"base_url": "http://127.0.0.1:9/client/v4"},
    }


def _restart(dice):
    initial = dice.uniform(10, 60) * MINUTE
    return {
        "backoff": {
            "initial": _s(initial),
            "factor": dice.choice([1.0, 1.5, 2.0, 3.0]),
            "max": _s(initial * dice.choice([1, 4, 12])),
            "jitter": dice.choice([0.0, 0.1, 0.3]),
        },
        "max_attempts": dice.choice([1, 2, 3, 8]),
        "max_per_hour": dice.choice([1, 2, 60]),
    }


# ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────

REFUSALS = (
    {"kind": "json_error", "status": 400, "code": 1406},
    {"kind": "json_error", "status": 403, "code": 10000, "message": "Authentication error"},
    {"kind": "json_error", "status": 400, "code": 1499, "message": "no\nway \x1b[1m"},
    {"kind": "json_error", "status": 404, "code": 1408},
    {"kind": "json_error", "status": 500, "code": 0},
    {"kind": "json_error", "status": 200, "code": 971, "message": "Please wait and consider throttling your requests"},
    {"kind": "json_error", "status": 403, "code": 10001, "message": "Unable to authenticate request"},
    {"kind": "json_error", "status": 400, "code": 1000, "message": "Request timeout"},
    {"kind": "json_error", "status": 400, "code": 10500, "message": "More than 4 requests per 1 seconds reached"},
    {"kind": "null_body", "status": 429},
    {"kind": "empty_body", "status": 429},
    {"kind": "edge_error", "status": 429, "code": 1015, "message": "You are being rate limited", "retry_after": 30},
    {"kind": "edge_error", "status": 502, "code": 1033, "message": "Tunnel error"},
    {"kind": "html_error", "status": 502},
    {"kind": "html_error", "status": 200},
    {"kind": "text_error", "status": 522},
    {"kind": "rate_limited", "retry_after": 30},
    {"kind": "rate_limited"},
    {"kind": "reset"},
    {"kind": "truncated"},
    {"kind": "missing_fields"},
    {"kind": "nulls"},
    {"kind": "unknown_words"},
    {"kind": "odd_primary"},
)

TURNED_AWAY = frozenset({971, 1000, 6003, 9103, 9106, 9109, 10000, 10001, 10500})
"""Codes with which Cloudflare says no before it looks at the pack: such a restart spends nothing."""


def _happenings(dice, scenario, config, length):
    """In the order of their moments. Most histories have some of each kind, some have none."""
    packs = [(zone["name"], number) for zone in scenario["zones"] for number in range(len(zone["packs"]))]
    found = []

    def some(most, what, make=dict):
        count = dice.choice([0, 0, dice.randint(1, most), dice.randint(1, most)])
        found.extend(Happening(dice.uniform(0, length), what, make()) for _ in range(count))

    def lasting(**more):
        return {"lasts": dice.choice([dice.uniform(1, 30) * MINUTE, dice.uniform(0.5, 8) * HOUR]), **more}

    def a_pack():
        return dict(zip(("zone", "number"), dice.choice(packs), strict=True))

    some(6, "fault", lambda: {"fault": fault_of(dice)})
    some(8, "kill", lambda: {"turns": dice.randint(0, 60), "down": _downtime(dice)})
    some(8, "kill at a patch", lambda: {"turns": dice.randint(0, 40), "down": _downtime(dice)})
    some(3, "stop", lambda: {"down": _downtime(dice)})
    some(3, "clock", lambda: {"by": dice.choice([-1, 1]) * dice.uniform(1, 10 * HOUR)})
    some(2, "disk", lambda: lasting(how=dice.choice(["full", "read-only", "locked"])))
    some(2, "unreachable", lasting)
    some(3, "down", lambda: lasting(host=dice.choice([HOOK, ALERTMANAGER, HEARTBEAT])))
    some(2, "forgetful", lambda: lasting(host=HOOK))
    some(2, "slow", lambda: lasting(host=HOOK, seconds=dice.uniform(1, 100)))
    some(2, "revoked", lambda: lasting(token=dice.choice(scenario["tokens"])["name"]))
    some(3, "broken file")
    some(3, "edited file", lambda: {"restart": _restart(dice), "share": dice.choice([0.2, 0.5, 1.0])})
    if not any(each.what == "clock" for each in found):  # a loss is dated by the clock
        some(2, "damaged", lambda: {"how": dice.choice(["cut", "its head", "its body"])})
    if config["diagnosis"]["enabled"]:
        some(4, "dns", lambda: lasting(odd=dice.choice(["drop", "servfail", "refused", "garbage", "caa", "dead"])))
    if packs:
        some(3, "set status", lambda: {**a_pack(), "status": dice.choice(STATUSES)})
        some(2, "deleted", a_pack)
        some(2, "recreated", a_pack)
        some(2, "another tool restarts", a_pack)
    return sorted(found, key=lambda each: each.at)


def _downtime(dice):
    return dice.choice([1, dice.uniform(1, 60), dice.uniform(0.1, 4) * HOUR])


def fault_of(dice):
    fault = dict(dice.choice(REFUSALS))
    fault["method"] = dice.choice(["*", "GET", "PATCH", "PATCH"])
    if dice.random() < 0.3:
        fault = {"kind": "slow", "delay": _s(dice.choice([5, 29, 31, 300])), "method": fault["method"]}
    if dice.random() < 0.5:
        fault["probability"] = dice.uniform(0.1, 0.9)
    if dice.random() < 0.4:
        fault["times"] = dice.randint(1, 5)
    turned_away = fault["kind"] == "rate_limited" or fault.get("status") == 429 or fault.get("code") in TURNED_AWAY
    if fault["method"] == "PATCH" and not turned_away:
        fault["takes_effect"] = dice.random() < 0.5
    fault["lasts"] = dice.choice([dice.uniform(1, 30) * MINUTE, dice.uniform(1, 6) * HOUR])
    return fault


def until(fate, at):
    """The happenings that are still to come after ``at``."""
    return [each for each in fate.happenings if each.at > at]


def delta(seconds):
    return timedelta(seconds=seconds)
