"""``check-config --show``: what holds, as a file that is taken again, and nothing of a secret in it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.config.load import load
from watchdog.config.shown import shown

PLANTED = "planted-secret-1c9e"
ZONE = {"name": "a.example", "id": "0" * 32}
HERE = "http://127.0.0.1:1/client/v4"


@pytest.fixture
def show(command, configure, tmp_path):
    """``show(…)``: what is printed for a configuration, after the line that says what it is."""

    def showing(**parts):
        config = configure(HERE, **{"zones": [ZONE], **parts})
        done = command("check-config", "--show", "-c", config)
        assert (done.code, done.err) == (0, "")
        first, _, rest = done.out.partition("\n")
        assert first == f"# {config} as it holds, defaults included; (hidden) stands for a secret."
        again = tmp_path / "again.yaml"
        again.touch(mode=0o600)
        again.write_text(done.out)
        assert command("check-config", "--show", "-c", again).out.partition("\n")[2] == rest, "it is not the same again"
        return rest

    return showing


def test_defaults_are_filled_in(show):
    assert "schedule:\n  interval: 15m\n  attention_interval: 1m\n" in show()


def test_a_secret_of_the_file_is_hidden(show):
    printed = show(account={"api_token": PLANTED})
    assert "api_token: (hidden)\n" in printed
    assert PLANTED not in printed


def test_a_secret_of_another_file_is_that_file_and_not_what_it_holds(show, tmp_path):
    (tmp_path / "token").touch(mode=0o600)
    (tmp_path / "token").write_text(PLANTED)
    printed = show(account={"api_token_file": "token"})
    assert f"api_token_file: {tmp_path}/token\n" in printed
    assert PLANTED not in printed


def test_an_address_is_shown_unless_it_may_hold_a_secret(show):
    destinations = [
        {"name": "am", "alertmanager": "http://127.0.0.1:9093"},
        {"name": "locked", "alertmanager": f"http://user:{PLANTED}@127.0.0.1:9093"},
        {"name": "hook", "webhook": f"https://ops.example/{PLANTED}"},
        {"name": "chat", "url": f"json://ops.example/{PLANTED}"},
        {"name": "pager", "pagerduty": PLANTED},
    ]
    printed = show(more=f"alerts: {json.dumps({'destinations': destinations})}\n")
    assert "alertmanager: http://127.0.0.1:9093\n" in printed
    assert PLANTED not in printed


def test_the_place_of_the_state_is_shown_without_its_password(command, tmp_path):
    config = tmp_path / "config.yaml"
    config.touch(mode=0o600)
    url = f"postgresql://watchdog:{PLANTED}@db.example/certs"
    config.write_text(f"{{accounts: {{main: {{api_token: x, discover: {{}}}}}}, state: {{url: '{url}'}}}}")
    assert "  url: postgresql://watchdog:***@db.example/certs\n" in command("check-config", "--show", "-c", config).out


def test_a_zone_shows_of_its_restarts_only_what_differs(show):
    other = {"name": "b.example", "restart": {"backoff": {"initial": "1h"}}}
    printed = show(zones=[ZONE, other], more="restart: {max_attempts: 4}\n")
    zones = printed[printed.index("zones:\n") : printed.index("schedule:\n")]
    assert zones.count("restart:") == 1
    assert zones.endswith("  restart:\n    backoff:\n      initial: 1h\n")


def test_what_is_wrong_is_said_and_nothing_is_shown(command, configure):
    config = configure(HERE, zones=[ZONE], more="nonsense: true\n")
    assert "nonsense: unknown key" in command("check-config", "--show", "-c", config).failed(78)


def test_a_report_is_no_file(command):
    said = command("check-config", "--show", "--online").failed(2)
    assert said == "--online prints a report, --show a file"


TEXT = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=20)
DIGITS = st.text("0123456789ef", min_size=32, max_size=32)


@given(TEXT, DIGITS, st.text("0123456789e.-*$~yno", min_size=1, max_size=8))
def test_any_name_id_and_pattern_comes_back_as_it_was(tmp_path_factory, name, zone, pattern):
    path = Path(tmp_path_factory.getbasetemp()) / "shown.yaml"
    text = {
        "accounts": {"main": {"api_token": "x", "discover": {"include": [pattern.replace("$", "$$")]}}},
        "zones": [{"name": name.replace("$", "$$"), "id": zone}],
    }
    path.write_text(json.dumps(text, ensure_ascii=False))
    before = load(path, {})
    path.write_text(shown(before))
    after = load(path, {})
    assert (after.zones, after.accounts["main"].discover) == (before.zones, before.accounts["main"].discover)
