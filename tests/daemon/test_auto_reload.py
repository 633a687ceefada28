"""A configuration that changes is taken by itself, and its secrets with it; what is refused is said once."""

import json
import os

import pytest

from tests.harness.fleet import as_a_daemon
from tests.harness.time import in_simulated_time

CALM = [{"status": "active"}]
SLOW = {"schedule": {"interval": "6h", "attention_interval": "1h"}}


def by_file(path="token"):
    return {"accounts": {"main": {"api_token_file": str(path)}}}


def told(capfd):
    """What was said of configurations: the event, and what changed or is wrong."""
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    return [(line["event"], line.get("changes") or line.get("error")) for line in lines if "config_re" in line["event"]]


def write(fleet, **settings):
    fleet.settings = fleet.settings | settings
    fleet.start.path.write_text(json.dumps(fleet.settings))


def swapped(folder, number, **files):
    """A volume as the kubelet writes it: ``..data`` is one link that is put in the place of the one before."""
    there = folder / f"..2026_{number}"
    there.mkdir(parents=True)
    for name, text in files.items():
        (there / name).write_text(text)
        (there / name).chmod(0o600)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..data_tmp").symlink_to(there.name)
    (folder / "..data_tmp").replace(folder / "..data")


@in_simulated_time
async def test_a_changed_file_is_taken_within_a_minute_and_once(start, capfd):
    async with start({"a.example": CALM}, config=SLOW) as fleet, as_a_daemon(fleet):
        await fleet.sleep(60)
        write(fleet, restart={"max_attempts": 3})
        await fleet.sleep(60)
        assert fleet.runtime.config.restart.max_attempts == 3
        await fleet.sleep(600)
    assert told(capfd) == [("config_reloaded", ["restart.max_attempts: 8 → 3"])]


@in_simulated_time
async def test_a_file_that_is_replaced_by_another_of_its_size_is_noticed(start):
    async with start({"a.example": CALM}, config=SLOW | {"restart": {"max_attempts": 8}}) as fleet:
        before = fleet.start.path.stat()
        async with as_a_daemon(fleet):
            new = fleet.start.folder / "new.yaml"
            new.write_text(fleet.start.path.read_text().replace('"max_attempts": 8', '"max_attempts": 3'))
            os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
            new.replace(fleet.start.path)
            await fleet.sleep(60)
            assert fleet.runtime.config.restart.max_attempts == 3


@in_simulated_time
async def test_a_file_that_was_only_touched_is_no_change(start, capfd):
    async with start({"a.example": CALM}, config=SLOW) as fleet, as_a_daemon(fleet):
        fleet.start.path.touch()
        await fleet.sleep(300)
    assert told(capfd) == []


@in_simulated_time
async def test_a_refused_file_is_said_once_and_again_when_it_is_wrong_in_another_way(start, capfd):
    async with start({"a.example": CALM}, config=SLOW) as fleet, as_a_daemon(fleet):
        good = fleet.start.path.read_text()
        for text in ("nonsense: true\n", "folly: true\n", good):
            fleet.start.path.write_text(text)
            await fleet.sleep(3600)
            fleet.start.path.touch()
            await fleet.sleep(3600)
    said = told(capfd)
    assert [event for event, _ in said] == ["config_refused", "config_refused", "config_reloaded"]
    assert ("nonsense" in said[0][1], "folly" in said[1][1], said[2][1]) == (True, True, None)


@in_simulated_time
async def test_a_file_that_is_being_written_is_not_taken_before_it_is_whole(start, capfd):
    async with start({"a.example": CALM}, config=SLOW) as fleet, as_a_daemon(fleet):
        write(fleet, restart={"max_attempts": 3})
        whole = fleet.start.path.read_text()
        for length in range(0, len(whole), len(whole) // 40):
            fleet.start.path.write_text(whole[:length])
            await fleet.sleep(3)
        fleet.start.path.write_text(whole)
        await fleet.sleep(60)
    assert told(capfd) == [("config_reloaded", ["restart.max_attempts: 8 → 3"])]


@in_simulated_time
async def test_a_token_that_changes_in_its_file_is_the_one_that_asks_from_then_on(start, capfd):
    tokens = [{"name": "main", "value": "token-of-main"}, {"name": "rolled", "value": "rolled-token"}]
    config = {"schedule": {"interval": "5m", "attention_interval": "1m"}}
    async with start({"a.example": CALM}, scenario={"tokens": tokens}, config=config) as fleet:
        token = fleet.start.folder / "token"
        token.write_text("token-of-main\n")
        token.chmod(0o600)
        fleet.start.path.chmod(0o600)
        async with as_a_daemon(fleet):
            write(fleet, **by_file())
            await fleet.sleep(60)
            assert fleet.world.requests_by("rolled") == []
            token.write_text("rolled-token\n")
            await fleet.sleep(600)
            assert fleet.world.requests_by("rolled") != []
            asked = len(fleet.world.requests_by("main"))
            await fleet.sleep(3600)
            assert len(fleet.world.requests_by("main")) == asked
    assert told(capfd)[1:] == [("config_reloaded", ["accounts.main.api_token: secret → changed"])]


@in_simulated_time
async def test_a_volume_of_kubernetes_is_followed_through_its_links(start, capfd):
    tokens = [{"name": "main", "value": "token-of-main"}, {"name": "rolled", "value": "rolled-token"}]
    config = {"schedule": {"interval": "5m", "attention_interval": "1m"}}
    async with start({"a.example": CALM}, scenario={"tokens": tokens}, config=config) as fleet:
        path, volume = fleet.start.path, fleet.start.folder / "volume"
        settings = fleet.settings | by_file(volume / "token")
        swapped(volume, 1, token="token-of-main", config=json.dumps(settings))
        path.unlink()
        path.symlink_to(volume / "config")
        async with as_a_daemon(fleet):
            await fleet.sleep(60)
            swapped(volume, 2, token="rolled-token", config=json.dumps(settings | {"restart": {"enabled": False}}))
            await fleet.sleep(600)
            assert fleet.world.requests_by("rolled") != []
    assert told(capfd)[1:] == [
        ("config_reloaded", ["accounts.main.api_token: secret → changed", "restart.enabled: true → false"])
    ]


@in_simulated_time
async def test_a_secret_that_was_missing_is_taken_once_it_is_there(start, capfd):
    async with start({"a.example": CALM}, config=SLOW) as fleet, as_a_daemon(fleet):
        write(fleet, **by_file())
        await fleet.sleep(120)
        (fleet.start.folder / "token").write_text("token-of-main")
        await fleet.sleep(60)
    (refused, why), taken = told(capfd)
    assert (refused, taken) == ("config_refused", ("config_reloaded", None))
    assert "cannot be read" in why


@pytest.mark.parametrize("by_hand", [False, True])
@in_simulated_time
async def test_with_auto_reload_off_only_a_signal_takes_it(start, capfd, by_hand):
    config = SLOW | {"config": {"auto_reload": False}}
    async with start({"a.example": CALM}, config=config) as fleet, as_a_daemon(fleet) as daemon:
        write(fleet, restart={"max_attempts": 3})
        if by_hand:
            daemon.ask_to_reload()
        await fleet.sleep(3600)
    assert len(told(capfd)) == by_hand


@in_simulated_time
async def test_what_a_signal_has_taken_is_not_taken_again(start, capfd):
    async with start({"a.example": CALM}, config=SLOW) as fleet, as_a_daemon(fleet) as daemon:
        write(fleet, restart={"max_attempts": 3})
        daemon.ask_to_reload()
        await fleet.sleep(3600)
    assert len(told(capfd)) == 1
