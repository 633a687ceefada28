"""Claims about files that hold a credential and can be read by others."""

import json
import os

import pytest

from watchdog.config.load import ConfigError, load
from watchdog.config.permissions import Exposed, exposure

ZONES = {"zones": [{"name": "example.com"}]}
INLINE = {"accounts": {"main": {"api_token": "planted"}}, **ZONES}
FILED = {"accounts": {"main": {"api_token_file": "token"}}, **ZONES}


@pytest.fixture
def warned(tmp_path):
    """``warned(data, config=mode, token=mode)``: names and modes of the files that a load warns of."""

    def once(data, *, config=0o600, token=0o600, folder=tmp_path, **environ):
        for name, mode, text in (("config.yaml", config, json.dumps(data)), ("token", token, "planted")):
            (folder / name).write_text(text)
            (folder / name).chmod(mode)
        told = []
        load(folder / "config.yaml", environ, told.append)
        return [(each.file.name, oct(each.mode)) for each in told]

    return once


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o620, 0o602, 0o444])
def test_a_credential_that_others_can_read_or_write_is_warned_of(warned, mode):
    assert warned(FILED, token=mode) == [("token", oct(mode))]


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700, 0o611])
def test_a_credential_that_its_owner_alone_can_read_is_not(warned, mode):
    assert warned(FILED, token=mode) == []


def test_a_configuration_is_warned_of_only_while_it_holds_a_secret_itself(warned):
    assert warned(INLINE, config=0o644) == [("config.yaml", "0o644")]
    assert warned(INLINE, config=0o600) == []
    assert warned(FILED, config=0o644) == []
    variable = {"accounts": {"main": {"api_token": "${TOKEN}"}}, **ZONES}
    assert warned(variable, config=0o644, TOKEN="planted") == []


@pytest.mark.parametrize(
    ("alerts", "secret"),
    [
        ({"heartbeat_url": "https://hc.example/uuid"}, True),
        ({"destinations": [{"name": "a", "webhook": "https://hook.example/x"}]}, True),
        ({"destinations": [{"name": "a", "url": "ntfy://topic"}]}, True),
        ({"destinations": [{"name": "a", "alertmanager": "http://127.0.0.1:9093"}]}, False),
        ({"destinations": [{"name": "a", "alertmanager": "http://user:planted@127.0.0.1:9093"}]}, True),
    ],
)
def test_what_counts_as_a_secret_is_what_would_open_something(warned, alerts, secret):
    assert bool(warned({**FILED, "alerts": alerts}, config=0o644)) is secret


def test_every_file_is_warned_of_and_the_configuration_stands(warned):
    alerts = {"destinations": [{"name": "a", "webhook": "http://127.0.0.1:1/", "secret_file": "token"}]}
    data = {**INLINE, "accounts": {**INLINE["accounts"], "other": {"api_token_file": "token"}}, "alerts": alerts}
    data["zones"] = [{"name": "example.com", "account": "main"}]
    assert warned(data, config=0o644, token=0o640) == [("config.yaml", "0o644"), *[("token", "0o640")] * 2]


def test_what_systemd_hands_over_is_its_own_affair(warned, tmp_path):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "token").write_text("planted")
    (credentials / "token").chmod(0o444)
    handed = {"accounts": {"main": {"api_token_file": "${CREDENTIALS_DIRECTORY}/token"}}, **ZONES}
    assert warned(handed, CREDENTIALS_DIRECTORY=str(credentials)) == []
    elsewhere = {"accounts": {"main": {"api_token_file": str(credentials / "token")}}, **ZONES}
    assert warned(elsewhere) == [("token", "0o444")]


def found(mode, owner=1000):
    return os.stat_result((0o100000 | mode, 1, 1, 1, owner, 1000, 0, 0, 0, 0))


def test_a_user_who_is_given_a_file_through_its_group_is_left_alone(tmp_path):
    file = tmp_path / "token"
    assert exposure(file, found(0o640, owner=0), {}, user=1000) is None
    assert exposure(file, found(0o644, owner=0), {}, user=1000) == Exposed(file, 0o644)
    assert exposure(file, found(0o640, owner=1000), {}, user=1000) == Exposed(file, 0o640)
    assert exposure(file, found(0o640, owner=0), {}, user=0) == Exposed(file, 0o640)


def test_what_a_container_engine_places_is_left_alone(tmp_path):
    kept = tmp_path.joinpath("/run/secrets/token")
    assert exposure(kept, found(0o444, owner=0), {}, user=1000) is None
    assert exposure(kept.parent.parent / "secrets-token", found(0o444, owner=0), {}, user=1000) is not None


def test_a_pipe_is_no_file_that_others_could_read(tmp_path):
    pipe = os.stat_result((0o010644, 1, 1, 1, 0, 0, 0, 0, 0, 0))
    assert exposure(tmp_path / "63", pipe, {}, user=0) is None


def test_the_sentence_names_the_file_its_mode_and_what_to_do(tmp_path):
    assert str(Exposed(tmp_path / "token", 0o644)) == (
        f"{tmp_path}/token: holds a credential and others can read it (mode 0644): chmod 600 {tmp_path}/token"
    )


def test_a_refused_configuration_that_is_exposed_is_told_about_as_well(tmp_path):
    (tmp_path / "config.yaml").write_text(json.dumps({**INLINE, "log": {"level": "loud"}}))
    (tmp_path / "config.yaml").chmod(0o644)
    told = []
    with pytest.raises(ConfigError):
        load(tmp_path / "config.yaml", {}, told.append)
    assert len(told) == 1
