"""What a reload changes and what it leaves alone, and what the daemon does while hours go by, in simulated time."""

import asyncio
import errno
import gc
import json
import socket
from datetime import timedelta

import pytest

from tests.harness.fleet import as_a_daemon, timed_out
from tests.harness.time import in_simulated_time
from watchdog.model.packs import ZoneRef
from watchdog.simulator.scenario import pack_id, zone_id

CALM = [{"status": "active"}]
SLOW = {"schedule": {"interval": "6h", "attention_interval": "1h"}}


def reload(fleet, daemon, **settings):
    """The same configuration with other settings, asked for as SIGHUP does."""
    fleet.settings = fleet.settings | settings
    fleet.start.path.write_text(json.dumps(fleet.settings))
    daemon.ask_to_reload()


def alerts(daemon):
    """What ``/api/v1/alerts`` says."""
    return daemon.pipeline.rows()["alerts"]


def firing(daemon):
    return [alert["reason"] for alert in alerts(daemon)]


@in_simulated_time
async def test_the_bell_is_rung_by_hand_where_its_wall_clock_does_not_move_on(start):
    """APScheduler's clock stands still here beside the loop's, as it would for hours after a step back."""
    async with start({"a.example": [timed_out("succeeds")]}) as fleet, as_a_daemon(fleet):
        await fleet.sleep(15 * 60)
        assert len(fleet.telemetry.reports) >= 8
        assert fleet.row("a.example")["reason"] == "healthy"


@in_simulated_time
async def test_a_refused_credential_is_not_tried_again_because_something_else_changed(start):
    async with start({"a.example": CALM}) as fleet:
        fleet.world.revoke("main")
        async with as_a_daemon(fleet) as daemon:
            await fleet.sleep(300)
            asked = len(fleet.asked("GET"))
            reload(fleet, daemon, api={"base_url": fleet.settings["api"]["base_url"], "timeout": "7s"})
            await fleet.sleep(300)
            assert len(fleet.asked("GET")) == asked == 1


@in_simulated_time
async def test_another_credential_is_tried_at_once(start):
    tokens = [{"name": "main", "value": "token-of-main", "revoked": True}, {"name": "mended", "value": "mended-token"}]
    zones = {"a.example": [timed_out("succeeds")]}
    async with start(zones, scenario={"tokens": tokens}) as fleet, as_a_daemon(fleet) as daemon:
        await fleet.sleep(60)
        assert fleet.zone("a.example")["reason"] == "credential_refused"
        reload(fleet, daemon, accounts={"main": {"api_token": "mended-token"}})
        await fleet.sleep(240)
        assert [request.credential for request in fleet.asked("PATCH")] == ["mended"]


@in_simulated_time
async def test_a_credential_that_moved_to_another_file_is_looked_for_there(start):
    tokens = [{"name": "main", "value": "token-of-main"}, {"name": "next", "value": "next-token"}]
    config = {"config": {"auto_reload": False}}
    async with start({"a.example": CALM}, scenario={"tokens": tokens}, config=config) as fleet:
        old, new = fleet.start.folder / "old", fleet.start.folder / "new"
        for file in (old, new):
            file.write_text("token-of-main")
            file.chmod(0o600)
        async with as_a_daemon(fleet) as daemon:
            for file in (old, new):
                reload(fleet, daemon, accounts={"main": {"api_token_file": str(file)}})
                await fleet.sleep(60)
            new.write_text("next-token")
            fleet.world.revoke("main")
            await fleet.sleep(1800)
            assert fleet.world.requests_by("next")


@in_simulated_time
async def test_what_the_quota_has_counted_is_not_forgotten(start):
    zones = {f"z{n:02}.example": CALM for n in range(12)}
    limit = {"rate_limit": {"requests": 20, "per": "10m", "share": 0.5}}
    config = {"accounts": {"main": limit}, "schedule": {"interval": "1m"}}
    async with start(zones, config=config) as fleet, as_a_daemon(fleet) as daemon:
        await fleet.sleep(30)
        reload(fleet, daemon, api={**fleet.settings["api"], "timeout": "7s"})
        await fleet.sleep(300)
        moments = [request.at for request in fleet.world.ledger]
        assert len(moments) == 10


@pytest.mark.parametrize("detour", [{}, {"other": {"api_token": "token-of-other"}}], ids=["longer", "gone and back"])
@in_simulated_time
async def test_a_kill_after_reloads_forgets_nothing_that_counts_in_the_window_of_now(start, detour):
    """A part of the share is spent; the account goes and comes back, or its window grows; then the process dies."""
    zones = {f"z{n:02}.example": CALM for n in range(5)}
    short, long = ({"requests": 20, "per": per, "share": 0.5} for per in ("1m", "1h"))
    config = {"accounts": {"main": {"rate_limit": short if not detour else long}}, "schedule": {"interval": "2m"}}
    async with start(zones, config=config) as fleet, as_a_daemon(fleet) as daemon:
        await fleet.sleep(30)
        if detour:
            before = fleet.settings
            reload(fleet, daemon, accounts=detour, zones=[{"name": "o.example", "id": "0" * 32}])
            await fleet.sleep(5)
            fleet.settings = before
        reload(fleet, daemon, accounts={"main": {"api_token": "token-of-main", "rate_limit": long}})
        await fleet.sleep(600)
        assert len(fleet.asked("GET")) == 10
    async with start(zones, config=config | {"accounts": {"main": {"rate_limit": long}}}, world=fleet.world) as fleet:
        await fleet.watch(minutes=10)
        assert len(fleet.asked("GET")) == 10


@in_simulated_time
async def test_a_block_is_obeyed_by_another_token_of_the_same_account_too(start):
    """The limit is that of the user, whichever token asks."""
    tokens = [{"name": "main", "value": "token-of-main"}, {"name": "rolled", "value": "rolled-token"}]
    async with start({"a.example": CALM, "b.example": CALM}, scenario={"tokens": tokens}) as fleet:
        fleet.fault(kind="rate_limited", times=1, retry_after=1200)
        async with as_a_daemon(fleet) as daemon:
            await fleet.sleep(60)
            reload(fleet, daemon, accounts={"main": {"api_token": "rolled-token"}})
            await fleet.sleep(1000)
            assert fleet.world.requests_by("rolled") == []


@in_simulated_time
async def test_backoff_and_attempts_stay(start):
    config = {"restart": {"backoff": {"initial": "15m", "jitter": 0}}}
    async with start({"a.example": [timed_out(after="1m")]}, config=config) as fleet, as_a_daemon(fleet) as daemon:
        await fleet.sleep(120)
        reload(fleet, daemon, restart={"backoff": {"initial": "1m", "jitter": 0}})
        await fleet.sleep(16 * 60)
        assert [round(at) for at in fleet.patches()[:2]] in ([0, 15], [0, 16])  # the wait was set, and is kept
        assert fleet.row("a.example")["attempts"] >= 2


@in_simulated_time
async def test_discovered_zones_are_watched_on_without_being_asked_for_anew(start):
    scenario = {"zones": [{"name": "found.example", "packs": CALM}, {"name": "other.example", "packs": CALM}]}
    config = {"accounts": {"main": {"discover": {}}}}
    async with start({}, scenario=scenario, config=config) as fleet, as_a_daemon(fleet) as daemon:
        await fleet.sleep(60)
        fleet.fault(kind="html_error", status=502, path="/zones")
        only = {"main": {"api_token": "token-of-main", "discover": {"include": ["found.*"]}}}
        reload(fleet, daemon, accounts=only)
        await fleet.sleep(20)
        assert [zone.label for zone in fleet.components.watched.zones()] == ["found.example"]


@in_simulated_time
async def test_a_look_under_way_with_an_account_that_is_removed_ends_well(start):
    async with start({"a.example": CALM}, partner={"p.example": [timed_out("succeeds")]}) as fleet:
        fleet.fault(kind="slow", zone="p.example", delay="15s")
        async with as_a_daemon(fleet) as daemon:
            accounts = {"main": fleet.settings["accounts"]["main"]}
            reload(fleet, daemon, accounts=accounts, zones=fleet.settings["zones"][:1])
            await fleet.sleep(120)
            assert fleet.events("zone_unseen") == []
            assert 'account="partner"' not in b"".join(daemon.sources.metrics("")[0]).decode()
            asked = len(fleet.world.requests_by("partner"))
            await fleet.sleep(3600)
            assert len(fleet.world.requests_by("partner")) == asked


@in_simulated_time
async def test_a_reload_holds_for_a_zone_that_was_being_looked_at(start):
    packs = [{"status": "active", "hosts": [f"{name}.a.example"]} for name in ("one", "two")]
    config = {"per_zone": {"a.example": {"packs": [pack_id("a.example", 0)]}}, "schedule": {"interval": "1m"}}
    async with start({"a.example": packs}, config=config) as fleet:
        fleet.fault(kind="slow", zone="a.example", delay="15s", times=1)
        async with as_a_daemon(fleet) as daemon:
            reload(fleet, daemon, zones=[{**fleet.settings["zones"][0], "packs": "all"}])
            await fleet.sleep(600)
            assert len(fleet.rows("a.example")) == 2


@in_simulated_time
async def test_a_look_that_had_just_got_its_turn_with_an_account_that_is_removed_ends_well(start):
    async with start({"a.example": CALM}, partner={"p.example": CALM}) as fleet:
        agenda, loop = fleet.components.agenda, asyncio.get_running_loop()
        take, main = agenda.take, {"accounts": {"main": {"api_token": "token-of-main"}}}
        without = fleet.start.load({**fleet.settings, **main, "zones": fleet.settings["zones"][:1]})

        def took(account, *when):
            zone = take(account, *when)
            if zone is not None and account == "partner":
                loop.call_soon(fleet.runtime.apply, without)
            return zone

        agenda.take = took
        await fleet.watch(minutes=1)
        assert fleet.components.watched.zones() == (ZoneRef("main", "a.example", zone_id("a.example")),)
        assert fleet.events("zone_unseen") == []


@in_simulated_time
async def test_a_discovery_that_had_just_got_its_turn_with_an_account_that_is_removed_ends_well(start):
    async with start({"a.example": CALM}, partner={"p.example": CALM}) as fleet:
        begin, loop, lost = fleet.passes.begin_parts, asyncio.get_running_loop(), []
        main = {"accounts": {"main": {"api_token": "token-of-main"}}}
        without = fleet.start.load({**fleet.settings, **main, "zones": fleet.settings["zones"][:1]})

        def began():
            begin()
            loop.call_soon(fleet.runtime.apply, without)

        fleet.passes.begin_parts = began
        loop.set_exception_handler(lambda _, context: lost.append(context["exception"]))
        await fleet.watch(minutes=1)
        gc.collect()
        assert lost == []


@in_simulated_time
async def test_a_disk_that_hangs_makes_it_unhealthy_and_the_service_managers_watchdog_is_fed_no_more(start, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        loop, mended, heard = asyncio.get_running_loop(), asyncio.Event(), []
        loop.add_reader(manager, lambda: heard.append(manager.recv(4096)))

        def pings():
            count = heard.count(b"WATCHDOG=1")
            heard.clear()
            return count

        async def hang(work):
            await mended.wait()
            return await work()

        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000000"}
        async with start({"a.example": CALM}) as fleet, as_a_daemon(fleet, environ) as daemon:
            await fleet.sleep(60)
            assert daemon.health.healthy() == (True, "ok")
            assert pings() >= 3
            loop.gate = hang
            await fleet.sleep(60 + 60 + 60)
            assert daemon.health.healthy() == (False, "a pass does not end")
            pings()
            await fleet.sleep(120)
            assert pings() == 0
            assert firing(daemon) == ["pass_overdue"]
            loop.gate = None
            mended.set()
            await fleet.sleep(60)
            assert daemon.health.healthy() == (True, "ok")
            assert pings() >= 3
            assert firing(daemon) == []
        loop.remove_reader(manager)


@in_simulated_time
async def test_a_configuration_that_is_refused_is_an_alert_until_one_is_taken(start):
    async with start({"a.example": CALM}) as fleet, as_a_daemon(fleet) as daemon:
        reload(fleet, daemon, schedule={"interval": "no time"})
        await fleet.sleep(120)
        assert firing(daemon) == ["config_refused"]
        [alert] = alerts(daemon)
        assert "schedule.interval" in alert["body"]
        reload(fleet, daemon, schedule={"interval": "10m"})
        await fleet.sleep(120)
        assert firing(daemon) == []


@in_simulated_time
async def test_a_state_that_takes_no_writes_is_not_ready_and_is_ready_again_when_it_does(start):
    async with start({"a.example": [timed_out("succeeds")]}) as fleet, as_a_daemon(fleet) as daemon:
        await fleet.sleep(60)
        assert await daemon.health.ready() == (True, "ok")
        fleet.unwritable()
        good, sentence = await daemon.health.ready()
        assert not good
        assert sentence.startswith("the state cannot be written")
        fleet.unwritable(on=False)
        assert await daemon.health.ready() == (True, "ok")


@in_simulated_time
async def test_what_is_gone_for_a_week_is_forgotten(start):
    packs = [{"status": "active"}, {"status": "active", "hosts": ["www.a.example"]}]
    async with start({"a.example": packs}, config=SLOW) as fleet, as_a_daemon(fleet):
        await fleet.sleep(3600)
        fleet.world.delete_pack(pack_id("a.example", 1))
        await fleet.sleep(7 * 3600)
        fleet.clock.step = timedelta(days=6)
        await fleet.sleep(7 * 3600)
        assert len(fleet.rows("a.example")) == 2
        fleet.clock.step = timedelta(days=8)
        await fleet.sleep(7 * 3600)
        assert len(fleet.rows("a.example")) == 1


@in_simulated_time
async def test_what_is_gone_for_a_week_is_forgotten_though_the_clock_was_set_back_by_months(start):
    packs = [{"status": "active"}, {"status": "active", "hosts": ["www.a.example"]}]
    async with start({"a.example": packs}, config=SLOW) as fleet, as_a_daemon(fleet):
        fleet.clock.step = -timedelta(days=90)
        await fleet.sleep(3600)
        fleet.world.delete_pack(pack_id("a.example", 1))
        await fleet.sleep(8 * 24 * 3600)
        assert len(fleet.rows("a.example")) == 1


@in_simulated_time
async def test_a_state_that_takes_no_writes_is_told_once_and_once_more_when_it_does_again(start, capsys):
    async with start({"a.example": [timed_out()]}) as fleet, as_a_daemon(fleet):
        fleet.unwritable()
        await fleet.sleep(3600)
        fleet.unwritable(on=False)
        await fleet.sleep(600)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    told = [(line["event"], line["level"]) for line in lines if line["event"].startswith("state_")]
    assert told == [("state_unwritable", "error"), ("state_writable", "info")]


@in_simulated_time
async def test_a_listener_that_ends_ends_the_daemon_for_with_none_nobody_would_know_how_it_is(start):
    async with start({"a.example": CALM}) as fleet:
        with pytest.raises(OSError, match="Too many open files"):  # noqa: PT012 - at its next turn
            async with as_a_daemon(fleet) as daemon:
                daemon._listening = asyncio.get_running_loop().create_future()  # noqa: SLF001 - as if it had begun
                await fleet.sleep(60)
                daemon._listening.set_exception(OSError(errno.EMFILE, "Too many open files"))  # noqa: SLF001 - as above
                await fleet.sleep(60)


@in_simulated_time
async def test_a_reload_warns_of_a_credential_that_others_can_read(start, capfd):
    async with start({"a.example": CALM}, config=SLOW) as fleet:
        (fleet.start.folder / "token").write_text("token-of-main")
        fleet.start.path.chmod(0o600)
        async with as_a_daemon(fleet) as daemon:
            for mode in (0o600, 0o640):
                (fleet.start.folder / "token").chmod(mode)
                reload(fleet, daemon, accounts={"main": {"api_token_file": "token"}})
                await fleet.sleep(10)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    told = [line["mode"] for line in lines if line["event"] == "credential_exposed"]
    assert told == ["0640"]


@in_simulated_time
async def test_a_restart_that_waits_for_its_turn_is_not_sent_once_restarts_are_turned_off(start):
    async with start({"a.example": [timed_out(after="1m")]}) as fleet:
        quota = fleet.components.clients["main"].quota
        fleet.wire.before("GET", "certificate_packs", lambda: quota.block({"retry-after": "600"}))
        async with as_a_daemon(fleet) as daemon:
            await fleet.sleep(300)
            reload(fleet, daemon, restart={"enabled": False})
            await fleet.sleep(3600)
            assert fleet.patches() == []
            assert fleet.row("a.example")["reason"] == "disabled"


def taken_out(fleet):
    """The fleet's configuration without its first zone."""
    return fleet.start.load({**fleet.settings, "zones": fleet.settings["zones"][1:]})


@in_simulated_time
async def test_a_zone_that_is_taken_out_while_its_pack_is_read_again_gets_no_restart(start):
    async with start({"a.example": [timed_out()], "b.example": CALM}) as fleet:
        without = taken_out(fleet)
        fleet.wire.before("GET", pack_id("a.example", 0), lambda: fleet.runtime.apply(without))
        await fleet.watch(minutes=20)
        assert fleet.patches() == []
        assert [event.reason for event in fleet.events("restart_held")] == ["disabled"]
        assert fleet.events("restart_intended") == []


def once_stored(fleet, config):
    """This configuration is taken as soon as an intent is on the disk."""
    intend = fleet.components.intents.intend

    async def intended(*intent):
        stored = await intend(*intent)
        fleet.runtime.apply(config)
        return stored

    fleet.components.intents.intend = intended


@in_simulated_time
async def test_restarts_that_are_turned_off_while_an_intent_is_stored_hold_it(start):
    async with start({"a.example": [timed_out()]}) as fleet:
        once_stored(fleet, fleet.start.load({**fleet.settings, "restart": {"enabled": False}}))
        await fleet.look()
        assert fleet.patches() == []
        assert (fleet.row("a.example")["decision"], fleet.row("a.example")["reason"]) == ("leave", "disabled")


@in_simulated_time
async def test_a_zone_that_is_taken_out_while_its_intent_is_stored_gets_no_restart_and_no_attempt(start):
    async with start({"a.example": [timed_out()], "b.example": CALM}) as fleet:
        once_stored(fleet, taken_out(fleet))
        await fleet.watch(minutes=20)
        assert fleet.patches() == []
        assert fleet.store.history_of(zone_id("a.example"), pack_id("a.example", 0)).attempts == 0
        assert fleet.store.restarts_since(fleet.clock.now() - timedelta(hours=2)) == []


@in_simulated_time
async def test_a_zone_that_is_taken_out_waits_no_longer_for_a_restart_though_restarts_were_off_for_it_alone(start):
    """Once its own settings are gone, the general ones would let it be restarted."""
    config = {"per_zone": {"a.example": {"restart": {"enabled": False}}}}
    async with start({"a.example": [timed_out()], "b.example": CALM}, config=config) as fleet:
        without = taken_out(fleet)
        fleet.wire.before("GET", "certificate_packs", lambda: fleet.runtime.apply(without))
        await fleet.watch(minutes=20)
        assert fleet.patches() == []


@in_simulated_time
async def test_a_pack_that_is_taken_out_while_it_is_read_again_gets_no_restart(start):
    packs = [timed_out(hosts=["a.example"]), {"status": "active", "hosts": ["www.a.example"]}]
    async with start({"a.example": packs}) as fleet:
        only = {**fleet.settings["zones"][0], "packs": [pack_id("a.example", 1)]}
        other = fleet.start.load({**fleet.settings, "zones": [only]})
        fleet.wire.before("GET", pack_id("a.example", 0), lambda: fleet.runtime.apply(other))
        await fleet.watch(minutes=20)
        assert fleet.patches() == []


@in_simulated_time
async def test_a_zone_that_is_taken_out_while_it_is_looked_at_gets_no_recheck(start):
    universal = {"type": "universal", "status": "validation_timed_out"}
    async with start({"a.example": [universal], "b.example": CALM}) as fleet:
        without = taken_out(fleet)
        fleet.wire.before("GET", "certificate_packs", lambda: fleet.runtime.apply(without))
        await fleet.watch(minutes=5)
        assert len(fleet.asked("GET", "a.example")) == 1
        assert fleet.asked("PATCH") == []


@in_simulated_time
async def test_a_zone_that_is_taken_out_while_its_recheck_is_noted_gets_none(start):
    universal = {"type": "universal", "status": "validation_timed_out"}
    async with start({"a.example": [universal], "b.example": CALM}) as fleet:
        writer, without = fleet.components.memory.writer, taken_out(fleet)
        flush = writer.flush

        async def flushed():
            await flush()
            writer.flush = flush
            fleet.runtime.apply(without)

        writer.flush = flushed
        await fleet.watch(minutes=5)
        assert fleet.asked("PATCH") == []
