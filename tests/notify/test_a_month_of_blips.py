"""A month in which Cloudflare refuses now and then what is right, beside zones that it refuses for ever.

A blip of 10000 for every 250 requests, a slow-down in an HTTP 200 now and then, and a fifth of the zones gone.
"""

from itertools import pairwise

import pytest

from tests.harness.alerting import chain
from tests.harness.fleet import timed_out
from tests.harness.time import in_simulated_time

INTERVAL, ATTENTION = 4 * 60, 20
"""Minutes. A month at the defaults says the same and takes sixteen times as long."""

LIVING = [f"living{number}.example" for number in range(8)]
DEAD = ["dead0.example", "dead1.example"]
FAULTS = [
    {"kind": "json_error", "status": 403, "code": 10000, "message": "Authentication error", "every": 250},
    {"kind": "json_error", "status": 200, "code": 971, "message": "Please wait and slow down", "every": 351},
]


@pytest.fixture
def month(tmp_path):
    packs = {name: [{"status": "active", "story": {"renews_after": "9d"}}] for name in LIVING}
    packs[LIVING[0]] = [timed_out("times_out", "succeeds", story={"renews_after": "9d"})]
    token = {"name": "main", "value": "token-of-main", "zones": LIVING}
    return chain(
        tmp_path,
        packs | {name: [{}] for name in DEAD},
        scenario={"tokens": [token], "faults": FAULTS},
        config={"schedule": {"interval": f"{INTERVAL}m", "attention_interval": f"{ATTENTION}m"}},
    )


@pytest.mark.repeats
@in_simulated_time
async def test_no_living_zone_misses_a_look_and_the_credential_is_never_told_of(month):
    async with month as people:
        fleet = people.fleet
        await people.watch(days=30)
        asked = [request.status for request in fleet.world.ledger]
        assert asked.count(403) > len(asked) / 250  # the blips, and the dead zones'
        slowed = [event for event in fleet.events("zone_unseen") if event.zone.label in LIVING]
        assert all("971" in dict(event.facts)["error"] for event in slowed)  # asked again at the next attention
        for zone in LIVING:
            unseen = {fleet.minute(event.at) for event in slowed if event.zone.label == zone}
            looks = [(at - fleet.telemetry.looks[0][0]) / 60 for at, label in fleet.telemetry.looks if label == zone]
            seen = [at for at in looks if not any(abs(at - each) < 1 for each in unseen)]
            assert max(after - before for before, after in pairwise(seen)) <= INTERVAL + 2 * ATTENTION
            assert seen[-1] >= 30 * 24 * 60 - INTERVAL - 2 * ATTENTION
        assert "credential_refused" not in {event.reason for event in fleet.events("zone_unseen")}
        assert fleet.events("restart_sent", LIVING[0])  # the blips kept nobody from the one pack that timed out
    assert not [
        title for title in people.network.titles() if "credential" in title and not any(d in title for d in DEAD)
    ]
