"""What a seed means for several replicas: a fleet, a configuration, and what befalls each machine. Plain values.

``draw(seed, replicas)`` gives the same for ever. In most histories Cloudflare and the people are well and only the
replicas, their ways and their clocks are not: there it is also known how soon every account must be worked again.
"""

from dataclasses import dataclass
from random import Random

from tests.harness.simulation import plan
from tests.harness.simulation.plan import HOUR, MINUTE, Fate, Happening

NAMES = ("main", "other", "third", "fourth", "fifth")
VERSIONS = ("2.0.0", "2.1.0")


@dataclass(frozen=True)
class Deployment:
    """One history of several replicas before it is lived. ``wrong`` are seconds by which clocks are off; the last is
    the database's."""

    fate: Fate
    replicas: int
    lease: float
    wrong: tuple[float, ...]
    stormy: bool
    """Whether Cloudflare and the people have troubles of their own."""


def draw(seed, replicas):
    """The fate of a seed."""
    dice = Random(seed * 8 + replicas)  # noqa: S311 - a history must be repeatable
    stormy = dice.random() < 0.35
    lease = dice.choice([30, 120, 300])
    length = min(max(lease * dice.uniform(20, 60), 0.5 * HOUR), 3 * HOUR)
    attention = dice.uniform(1, 3) * MINUTE
    interval = attention * dice.uniform(1, 4)
    scenario = _scenario(dice, length, stormy=stormy)
    config = _config(dice, scenario, interval, attention, lease)
    happenings = sorted(_happenings(dice, scenario, config, length, replicas, stormy=stormy), key=lambda each: each.at)
    packs = sum(len(zone["packs"]) for zone in scenario["zones"])
    edits = [each.with_["restart"] for each in happenings if "restart" in each.with_]
    bound = _bound([config["restart"], *edits], config["schedule"], packs, lease, stormy=stormy)
    fate = Fate(seed, scenario, config, tuple(happenings), length, length + bound)
    far = dice.random() < 0.5
    wrong = tuple(dice.uniform(-6, 6) * HOUR if far else dice.uniform(-0.2, 0.2) for _ in range(replicas + 1))
    return Deployment(fate, replicas, lease, wrong, stormy)


def _bound(restarts, schedule, packs, lease, *, stormy):
    """As ``plan`` has it, and a takeover; where all was well outside there is no probe and no block to wait for."""
    longest = max(plan.seconds(each["backoff"]["max"]) * (1 + each["backoff"]["jitter"]) for each in restarts)
    hours = packs // min(each["max_per_hour"] for each in restarts)
    again = 100 * MINUTE if stormy else 25 * MINUTE
    return longest + hours * HOUR + 3 * plan.seconds(schedule["interval"]) + 3 * lease + again


# ── Cloudflare ───────────────────────────────────────────────────────────────────────────────────────────────────


def _scenario(dice, length, *, stormy):
    names = NAMES[: dice.choice([1, 2, 2, 3, 3, 4, 5])]
    if stormy:
        scenario = plan.scenario_of(dice, length)
        limit, unknowns = scenario["rate_limit"], scenario["unknowns"]
    else:
        limit = {"requests": dice.choice([200, 1200]), "per": "5m", "retry_after": True, "others": 0}
        unknowns = {
            "restart_changes_id": dice.random() < 0.25,
            "failed_renewal": dice.choice(["same_pack", "second_pack"]),
        }
    tokens = [{"name": name, "value": f"token-of-{name}"} for name in names]
    zones = [_zone(dice, number, length) for number in range(len(names) + dice.choice([0, 0, 1, 2]))]
    return {"tokens": tokens, "zones": zones, "rate_limit": limit, "unknowns": unknowns, "faults": []}


def _zone(dice, number, length):
    packs = [_pack(dice, number, each, length) for each in range(dice.choice([1, 1, 2, 3]))]
    return {"name": f"z{number}.example", "packs": packs}


def _pack(dice, zone, number, length):
    pack = plan.pack_of(dice, zone, number, length)
    story = pack["story"]
    story["stages"] = {
        "pending_validation": f"{dice.uniform(1, 5) * MINUTE:.0f}s",
        "timing_out": f"{dice.uniform(0.5, 12) * MINUTE:.0f}s",
    }
    if dice.random() < 0.5:
        pack["status"] = "validation_timed_out"
    return pack


# ── the configuration ────────────────────────────────────────────────────────────────────────────────────────────


def _config(dice, scenario, interval, attention, lease):
    names = [token["name"] for token in scenario["tokens"]]
    config = plan.config_of(dice, scenario, interval, attention, minutely=dice.random() < 0.2)
    for account in config["accounts"].values():
        account.pop("discover", None)
    zones = [
        {"name": zone["name"], "account": names[number % len(names)]} for number, zone in enumerate(scenario["zones"])
    ]
    return {
        **config,
        "zones": zones,
        "restart": _restart(dice),
        "replica": {"lease": f"{lease:.0f}s"},
    }


def _restart(dice):
    initial = dice.uniform(2, 8) * MINUTE
    return {
        "backoff": {
            "initial": f"{initial:.0f}s",
            "factor": dice.choice([1.0, 1.5, 2.0]),
            "max": f"{initial * dice.choice([1, 2]):.0f}s",
            "jitter": dice.choice([0.0, 0.1, 0.3]),
        },
        "max_attempts": dice.choice([2, 3, 8, 20]),
        "max_per_hour": dice.choice([4, 8, 60, 60]),
    }


# ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────


def _happenings(dice, scenario, config, length, replicas, *, stormy):
    draws = _Draws(dice, length, replicas)
    some, one, lasting, turns, down = draws.some, draws.one, draws.lasting, draws.turns, draws.down
    some(4, "kill", lambda: one() | turns() | down())
    some(4, "kill at an intent", lambda: turns() | down())
    some(3, "kill at a patch", lambda: turns() | down())
    some(4, "pause", lambda: one() | turns() | lasting(asleep=dice.random() < 0.3))
    some(4, "pause at an intent", lambda: turns() | lasting(asleep=dice.random() < 0.3))
    some(3, "pause at a read", lambda: turns() | lasting(asleep=dice.random() < 0.3))
    some(3, "pause at a patch", lambda: turns() | lasting(asleep=dice.random() < 0.3))
    some(4, "cut off", lambda: one() | lasting())
    some(2, "cut off at an intent", lambda: turns() | lasting())
    some(3, "slow way", lambda: one() | lasting(seconds=dice.choice([0.2, 2, 6, 12])))
    some(3, "no Cloudflare", lambda: one() | lasting())
    some(3, "stop", lambda: one() | down())
    some(2, "rolling", lambda: {"gap": dice.uniform(1, 90), "down": dice.uniform(1, 30)})
    some(2, "clock", lambda: one() | {"by": dice.choice([-1, 1]) * dice.uniform(1, 5 * HOUR)})
    some(1, "database", lambda: lasting(trouble=dice.choice(["is being shut down", "is read-only", "full"])))
    if dice.random() < 0.2:
        some(1, "database clock", lambda: {"by": dice.choice([-1, 1]) * dice.uniform(0.01, 3) * HOUR})
    some(1, "slow database", lambda: lasting(seconds=dice.choice([0.2, 2, 6])))
    if dice.random() < 0.25:
        some(2, "differing", lambda: one() | lasting(restart=_restart(dice), share=dice.choice([0.2, 0.5, 1.0])))
    if dice.random() < 0.25 and len(scenario["tokens"]) > 1:
        some(2, "without an account", lambda: one() | lasting(account=dice.choice(scenario["tokens"])["name"]))
    packs = [(zone["name"], number) for zone in scenario["zones"] for number in range(len(zone["packs"]))]

    def a_pack():
        return dict(zip(("zone", "number"), dice.choice(packs), strict=True))

    some(3, "set status", lambda: a_pack() | {"status": dice.choice(plan.STATUSES)})
    some(1, "another tool restarts", a_pack)
    if stormy:
        _outside(dice, draws, scenario, config, a_pack)
    return draws.found


def _outside(dice, draws, scenario, config, a_pack):
    some, lasting = draws.some, draws.lasting
    host = dice.choice([plan.HOOK, plan.ALERTMANAGER, plan.HEARTBEAT])
    some(5, "fault", lambda: {"fault": plan.fault_of(dice)})
    some(3, "down", lambda: lasting(host=host))
    some(2, "forgetful", lambda: lasting(host=plan.HOOK))
    some(2, "slow", lambda: lasting(host=plan.HOOK, seconds=dice.uniform(1, 100)))
    some(2, "revoked", lambda: lasting(token=dice.choice(scenario["tokens"])["name"]))
    some(2, "deleted", a_pack)
    some(2, "recreated", a_pack)
    if config["diagnosis"]["enabled"]:
        some(3, "dns", lambda: lasting(odd=dice.choice(["drop", "servfail", "refused", "garbage", "caa", "dead"])))


class _Draws:
    """What the dice give, gathered in ``found``."""

    def __init__(self, dice, length, replicas):
        self._dice, self._length, self._replicas = dice, length, replicas
        self.found = []

    def some(self, most, what, make):
        dice = self._dice
        count = dice.choice([0, dice.randint(1, most), dice.randint(1, most)])
        self.found.extend(Happening(dice.uniform(0, self._length), what, make()) for _ in range(count))

    def one(self):
        return {"replica": self._dice.randrange(self._replicas)}

    def lasting(self, **more):
        dice = self._dice
        lengths = [dice.uniform(2, 60), dice.uniform(1, 10) * MINUTE, dice.uniform(10, 40) * MINUTE]
        return {"lasts": dice.choice(lengths), **more}

    def turns(self):
        dice = self._dice
        return {"turns": dice.choice([0, dice.randint(0, 8), dice.randint(0, 40)])}

    def down(self):
        dice = self._dice
        return {"down": dice.choice([1, dice.uniform(1, 60), dice.uniform(1, 30) * MINUTE])}
