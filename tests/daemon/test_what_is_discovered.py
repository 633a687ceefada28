"""What the log says of zones that are found through the API, and of how many are watched."""

import json

from tests.harness.fleet import as_a_daemon
from tests.harness.time import in_simulated_time
from watchdog.model.history import JournalQuery
from watchdog.simulator.scenario import ZoneStart, zone_id

SOON = {"schedule": {"interval": "5m", "attention_interval": "1m"}, "accounts": {"main": {"discover": {}}}}


def said(capfd, event):
    found = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    fixed = ("timestamp", "level", "event", "version", "state")
    return [{name: line[name] for name in line if name not in fixed} for line in found if line["event"] == event]


@in_simulated_time
async def test_what_is_found_is_counted_once_and_what_comes_and_goes_is_named(start, capfd):
    scenario = {"zones": [{"name": "a.example"}, {"name": "b.example"}]}
    async with start({}, scenario=scenario, config=SOON) as fleet, as_a_daemon(fleet):
        await fleet.sleep(1200)
        fleet.world.remove_zone(zone_id("a.example"))
        fleet.world.add_zone(ZoneStart.model_validate({"name": "c.example"}))
        await fleet.sleep(1200)
        await fleet.components.memory.writer.flush()
        kept = [line for _, line in await fleet.components.memory.events(JournalQuery())]
    assert [(line.account, line.detail) for line in kept if line.event == "discovered"] == [
        ("main", "zones=2 new=1 gone=1 new_zones=c.example gone_zones=a.example"),
        ("main", "zones=2 new=2 gone=0"),
    ]
    assert said(capfd, "discovered") == [
        {"account": "main", "zones": 2, "new": 2, "gone": 0},
        {"account": "main", "zones": 2, "new": 1, "gone": 1, "new_zones": ["c.example"], "gone_zones": ["a.example"]},
    ]


@in_simulated_time
async def test_a_start_that_finds_what_is_remembered_is_no_news_for_the_journal(start, capfd):
    async with start({}, scenario={"zones": [{"name": "a.example"}]}, config=SOON) as fleet, as_a_daemon(fleet):
        await fleet.sleep(60)
        world = fleet.world
    async with start({}, world=world, config=SOON) as again, as_a_daemon(again):
        await again.sleep(60)
        await again.components.memory.writer.flush()
        kept = [line for _, line in await again.components.memory.events(JournalQuery())]
    assert [line.detail for line in kept if line.event == "discovered"] == ["zones=1 new=1 gone=0"]
    assert said(capfd, "discovered") == [{"account": "main", "zones": 1, "new": 1, "gone": 0}] * 2


@in_simulated_time
async def test_a_start_speaks_of_no_zones_before_it_has_looked_for_any(start, capfd):
    async with start({}, scenario={"zones": [{"name": "a.example"}]}, config=SOON) as fleet, as_a_daemon(fleet):
        await fleet.sleep(5)
    assert said(capfd, "started") == [{"discovering": ["main"]}]


@in_simulated_time
async def test_a_start_counts_the_zones_of_the_configuration(start, capfd):
    async with start({"a.example": []}) as fleet, as_a_daemon(fleet):
        await fleet.sleep(5)
    assert said(capfd, "started") == [{"zones": 1}]
