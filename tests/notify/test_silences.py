"""What is silenced is not told: not its start, nor that it gets worse or lasts. What still holds then is told then."""

from datetime import timedelta

from tests.harness.alerting import HOOK, Network, chain, gave_up, living
from tests.harness.builders import DAY, NOW, T0, alert, inventory, pack
from tests.harness.fleet import timed_out
from tests.harness.time import in_simulated_time
from tests.harness.values import replace
from watchdog.commands import silencing
from watchdog.model.alerts import AlertLog, Kind
from watchdog.model.reasons import Reason, Severity
from watchdog.model.silences import Silence, Silences
from watchdog.notify.dedup import deduplicate, unsilenced
from watchdog.simulator.scenario import pack_id
from watchdog.state.store import Store

ZONE = "a.example"
MINUTE = timedelta(minutes=1)


class Night:
    """Steps of a minute; ``step(alerts, silenced)`` gives what was told."""

    def __init__(self):
        self.log, self.now = AlertLog(), T0

    def step(self, *alerts, silenced=(), later=MINUTE, repeat_every=DAY):
        self.now += later
        found, names = {each.fingerprint: each for each in alerts}, {each.fingerprint for each in silenced}
        done = deduplicate(self.log, found, {}, frozenset(), self.now, repeat_every, silenced=names)
        self.log = done.log
        return [(notice.kind, notice.alert.subject) for notice in done.notices]


def test_the_start_of_what_is_silenced_is_told_when_the_silence_is_over_and_it_still_holds():
    night = Night()
    assert [night.step(alert(), silenced=[alert()]) for _ in range(90)] == [[]] * 90
    assert night.step(alert()) == [(Kind.STARTED, "trouble/p1")]


def test_what_comes_and_goes_within_a_silence_is_never_told():
    night = Night()
    assert night.step(alert(), silenced=[alert()]) == []
    assert [night.step() for _ in range(90)] == [[]] * 90


def test_neither_worse_nor_lasting_is_told_of_what_is_silenced():
    night, mild = Night(), alert(reason=Reason.EXPIRING, severity=Severity.WARNING)
    worse = replace(mild, severity=Severity.CRITICAL)
    assert night.step(mild) == [(Kind.STARTED, "trouble/p1")]
    assert night.step(worse, silenced=[mild], later=2 * DAY) == []
    assert night.step(worse) == [(Kind.WORSE, "trouble/p1")]


def test_the_end_of_what_was_told_is_told_though_it_is_silenced():
    night = Night()
    night.step(alert())
    assert night.step(silenced=[alert()], later=10 * MINUTE) == [(Kind.OVER, "trouble/p1")]


def test_a_pack_that_has_expired_breaks_through_once():
    night, expired = Night(), alert(reason=Reason.EXPIRED)
    told = [night.step(expired, silenced=[expired], later=timedelta(hours=6)) for _ in range(40)]
    assert told == [[(Kind.STARTED, "trouble/p1")]] + [[]] * 39


def test_what_is_silenced_takes_nothing_else_of_its_group_along_and_keeps_nothing_back():
    night = Night()
    assert night.step(alert("p1"), alert("p2"), silenced=[alert("p1")]) == [(Kind.STARTED, "trouble/p2")]
    assert night.step(alert("p1"), alert("p2"), silenced=[alert("p1")], later=2 * DAY) == [(Kind.LASTING, "trouble/p2")]


def test_who_is_told_all_that_fires_is_told_nothing_silenced_but_what_has_expired():
    night, expired = Night(), alert("p2", Reason.EXPIRED)
    night.step(alert(), expired)
    log = unsilenced(night.log, {alert().fingerprint, expired.fingerprint})
    assert [each.alert.reason for each in log.states.values()] == [Reason.EXPIRED]


def silence(known, *, of_pack=False, **more):
    parts = {"pack_id": known.pack.id, "pack": known.pack.lasting_name} if of_pack else {}
    parts = {"account": known.account, "zone": known.zone, "zone_id": known.pack.zone_id, **parts}
    return Silence(**{"id": 1, "at": NOW, "until": NOW + DAY, "comment": "moving", **parts, **more})


def test_a_silence_of_a_pack_follows_it_to_another_id_and_leaves_the_zones_other_packs_alone():
    known, _ = pack("p1")
    found = Silences([silence(known, of_pack=True)], NOW)
    renewed, other = replace(known.pack, id="p9"), replace(known.pack, id="p2", hosts=("other.example",))
    assert [found.until(known.account, known.zone, each) for each in (known.pack, renewed, other)] == [
        NOW + DAY,
        NOW + DAY,
        None,
    ]


def test_a_silence_of_a_zone_is_of_no_zone_of_another_account():
    known, _ = pack("p1")
    found = Silences([silence(known)], NOW)
    assert [found.until(account, known.zone, known.pack) for account in ("main", "other")] == [NOW + DAY, None]


def test_a_silence_whose_time_is_over_silences_nothing():
    tracked = known, _ = pack("p1")
    rows = [
        replace(inventory(tracked), at=NOW + DAY - left, silences=[silence(known)]).row(*tracked)
        for left in (timedelta(seconds=1), timedelta(0))
    ]
    assert [row["silenced_until"] for row in rows] == ["2026-11-25T12:00:00Z", None]


@in_simulated_time
async def test_nobody_is_told_of_a_silenced_zone_and_the_alerts_of_the_api_say_until_when(tmp_path):
    network, known = Network(), gave_up()[0]
    two = HOOK + "    - {name: am, alertmanager: 'http://am.test'}\n"
    async with living(tmp_path, network, two) as runtime:
        now = runtime.clock.now()
        found = replace(inventory(gave_up()), at=now, silences=[silence(known, at=now, until=now + DAY)])
        await runtime.pipeline.after_pass(found)
        await runtime.clock.sleep(timedelta(seconds=5))
        [row] = runtime.pipeline.rows()["alerts"]
        assert row["silenced_until"] == f"{now + DAY:%Y-%m-%dT%H:%M:%SZ}"
        assert (network.titles(), network.firing()) == ([], [])
        await runtime.passes(gave_up())
        assert len(network.titles()) == 1
        assert [name for name, _ in network.firing()] == ["CertpackWatchdogGaveUp"]


@in_simulated_time
async def test_a_silenced_pack_is_restarted_all_the_same_and_told_of_when_the_silence_ends_by_itself(tmp_path):
    config = {"restart": {"max_attempts": 2, "backoff": {"jitter": 0.0}}}
    async with chain(tmp_path, {ZONE: [timed_out(hosts=[ZONE])]}, config=config) as runtime:
        fleet = runtime.fleet
        await fleet.look()
        store = Store.open(f"sqlite:///{tmp_path / 'state.db'}", exclusive=False)
        silencing.add(store, ZONE, pack_id(ZONE, 0)[:4], timedelta(hours=3), "quiet night", fleet.clock.now())
        store.close()
        await runtime.watch(hours=2)
        assert len(fleet.patches()) == 2
        assert fleet.row(ZONE)["silenced_until"] == "2026-11-24T15:00:00Z"
        assert fleet.metric("silences", account="main") == 1
        assert [event.name for event in fleet.telemetry.events if "silence" in event.name] == ["silence_added"]
        assert runtime.network.titles() == []
        await runtime.watch(minutes=61)
        assert fleet.metric("silences", account="main") == 0
        assert fleet.row(ZONE)["silenced_until"] is None
        assert [event.name for event in fleet.telemetry.events if "silence" in event.name] == [
            "silence_added",
            "silence_ended",
        ]
        assert runtime.network.titles() == ["[critical] gave_up: a.example: gave up after 2 restarts"]
