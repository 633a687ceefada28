"""A reload takes a configuration whole or not at all: whichever part cannot be built, the old one goes on in full."""

import json
import socket

import pytest
import structlog

from tests.harness.fleet import as_a_daemon, timed_out
from tests.harness.time import in_simulated_time
from watchdog import reloading
from watchdog.building import Building
from watchdog.components import Configured

STEPS = sorted(name for name in vars(Building) if not name.startswith("_"))
"""Everything that is built: each public method of ``Building``."""

BEFORE = {
    "accounts": {"main": {"discover": {}, "rate_limit": {"requests": 1000, "per": "5m", "share": 0.5}}},
    "schedule": {"interval": "30m", "attention_interval": "1m"},
    "alerts": {"destinations": [{"name": "hook", "webhook": "http://127.0.0.1:9/before"}]},
}


def after(settings):
    """A configuration in which everything is another than before."""
    return {
        **settings,
        "accounts": {"other": {"api_token": "token-of-other"}, "main": {"api_token": "another-token"}},
        "zones": [{"name": "b.example", "id": "0" * 32, "account": "other"}],
        "schedule": {"interval": "2m", "attention_interval": "10s"},
        "restart": {"enabled": False},
        "diagnosis": {"enabled": True, "resolvers": ["127.0.0.1:9"]},
        "alerts": {"destinations": [{"name": "other", "webhook": "http://127.0.0.1:9/after"}]},
        "metrics": {"per_pack": "none"},
        "log": {"format": "json", "level": "error"},
    }


def told_by(daemon, fleet):
    """All that a reload may change, as it is now."""
    components = fleet.components
    turns = components.agenda._turns.items()  # noqa: SLF001  nobody else may see them
    client = components.clients["main"]
    window = client.quota._window  # noqa: SLF001  as above
    zone = components.watched.zones()[0]
    return {
        "config": fleet.runtime.config,
        "configured": components.configured,
        "turns": {key: (turn.zone, turn.due, turn.period, turn.failures, turn.taken) for key, turn in turns},
        "zones": components.watched.zones(),
        "quota": (window.limit, window.seconds, client.quota),
        "credential": client.credential,
        "rules": components.rules(zone),
        "diagnoser": components.diagnoser,
        "destinations": daemon.pipeline.destinations.names,
        "log": structlog.get_config(),
        "period": daemon._ticker._period,  # noqa: SLF001  it says it to nobody
        "metrics": b"pack_expiry_timestamp_seconds{" in b"".join(daemon.sources.metrics("")[0]),
    }


@pytest.fixture
def notified(tmp_path):
    """What the service manager is told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(0)

        def told():
            states = []
            while True:
                try:
                    states += manager.recv(4096).decode().splitlines()
                except BlockingIOError:
                    return states

        yield told


def lines(capfd, event):
    found = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    return [line for line in found if line["event"] == event]


def ask_for(fleet, daemon, settings):
    fleet.start.path.write_text(json.dumps(settings))
    fleet.start.path.chmod(0o600)
    daemon.ask_to_reload()


def break_after(monkeypatch, step):
    """The step does all of its work, and fails at its very end."""
    real = getattr(Building, step)

    def broken(*arguments):
        real(*arguments)
        raise RuntimeError("a part that cannot be built")

    monkeypatch.setattr(Building, step, broken)


@pytest.mark.parametrize("step", STEPS)
@in_simulated_time
async def test_whichever_part_cannot_be_built_the_old_configuration_goes_on_in_full(start, monkeypatch, step):
    zones = {"a.example": [timed_out(expires_in="80d")], "c.example": [{"status": "active", "expires_in": "80d"}]}
    async with start(zones, config=BEFORE) as fleet, as_a_daemon(fleet) as daemon:
        await fleet.sleep(90)
        before = told_by(daemon, fleet)
        assert before["metrics"]
        with monkeypatch.context() as patched:
            break_after(patched, step)
            fleet.start.path.write_text(json.dumps(after(fleet.settings)))
            await daemon.reload()
        assert told_by(daemon, fleet) == before


@in_simulated_time
async def test_a_configuration_of_which_all_parts_can_be_built_changes_all_of_them(start):
    """Else the test above could not fail."""
    zones = {"a.example": [timed_out(expires_in="80d")], "c.example": [{"status": "active", "expires_in": "80d"}]}
    async with start(zones, config=BEFORE) as fleet, as_a_daemon(fleet) as daemon:
        await fleet.sleep(90)
        before = told_by(daemon, fleet)
        ask_for(fleet, daemon, after(fleet.settings))
        await fleet.sleep(5)
        now = told_by(daemon, fleet)
        assert [name for name in before if before[name] == now[name]] == []


@in_simulated_time
async def test_after_a_part_that_could_not_be_built_the_next_reload_is_taken(start, monkeypatch):
    async with start({"a.example": [timed_out()]}, config=BEFORE) as fleet, as_a_daemon(fleet) as daemon:
        await fleet.sleep(90)
        with monkeypatch.context() as patched:
            break_after(patched, "diagnoser")
            ask_for(fleet, daemon, after(fleet.settings))
            await fleet.sleep(5)
        assert daemon.health.refusal
        daemon.ask_to_reload()
        await fleet.sleep(5)
        assert (daemon.health.refusal, fleet.runtime.config.restart.enabled) == ("", False)


@in_simulated_time
async def test_a_part_that_cannot_be_built_is_a_refusal_in_the_log_and_the_metrics(start, monkeypatch, capfd):
    async with start({"a.example": [timed_out()]}, config=BEFORE) as fleet, as_a_daemon(fleet) as daemon:
        await fleet.sleep(90)
        break_after(monkeypatch, "clients")
        ask_for(fleet, daemon, after(fleet.settings))
        await fleet.sleep(5)
        assert b"config_last_reload_successful 0.0" in b"".join(daemon.sources.metrics("")[0])
    [refused] = lines(capfd, "config_refused")
    assert "defect of certpack-watchdog" in refused["error"]


@pytest.mark.parametrize("where", ["load", "Building"])
@in_simulated_time
async def test_a_reload_is_over_for_the_service_manager_whatever_becomes_of_it(
    start, monkeypatch, notified, tmp_path, where
):
    """``systemctl reload`` returns at READY=1, and not before."""
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    async with start({"a.example": [timed_out()]}) as fleet, as_a_daemon(fleet, environ) as daemon:
        await fleet.sleep(90)
        notified()
        if where == "load":

            def broken(*_, **__):
                raise KeyboardInterrupt

            monkeypatch.setattr(reloading, "load", broken)
            with pytest.raises(KeyboardInterrupt):
                await daemon.reload()
        else:
            break_after(monkeypatch, "watched")
            await daemon.reload()
        states = notified()
        assert (states[0], states.count("READY=1")) == ("RELOADING=1", 1)


def test_every_part_of_a_reload_is_among_the_steps():
    """What ``Runtime.apply`` builds is built by ``Building``, and the parts of the flow are each a step."""
    assert set(Configured.__struct_fields__) <= set(STEPS)
