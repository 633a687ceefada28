"""``init``: from a token to a configuration that works, at a keyboard of 80 columns and without one."""

import asyncio
import io
import os
import pty
import re
import select
import signal
import stat
import sys
import termios
import time
from contextlib import suppress

import pytest

from watchdog.clock import RealClock
from watchdog.config.load import load
from watchdog.simulator.scenario import zone_id

TOKEN = "cfut_planted-token-4f1c9e"
FLEET = [
    {"name": "well.example", "packs": [{"status": "active"}]},
    {"name": "late.example", "packs": [{"status": "validation_timed_out"}]},
    {"name": "stuck.example", "packs": [{"status": "deployment_timed_out"}]},
]
NAMES = sorted(zone["name"] for zone in FLEET)


@pytest.fixture
def world(cloudflare):
    return cloudflare(zones=FLEET, tokens=[{"value": TOKEN}])


@pytest.fixture
def init(command, world, monkeypatch):
    """``init(…)``: in a folder of its own, nobody at the keyboard, this on standard input."""

    def begin(*arguments, given=TOKEN, url=world.url):
        monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        return command("init", "-o", "config.yaml", "--base-url", url, *arguments)

    return begin


@pytest.fixture
def at_once(monkeypatch):
    """Who waits before a second try need not wait long."""
    monkeypatch.setattr(RealClock, "sleep", lambda *_: asyncio.sleep(0))


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def patches(world):
    return [request for request in world.ledger if request.method != "GET"]


# ── without a keyboard ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_token_on_standard_input_is_enough(init, tmp_path, world):
    done = init("--discover")
    assert (done.code, done.err) == (0, "")
    assert ((tmp_path / "token").read_text(), mode(tmp_path / "token")) == (f"{TOKEN}\n", 0o600)
    assert mode(tmp_path / "config.yaml") == 0o644
    assert TOKEN not in (tmp_path / "config.yaml").read_text() + done.out
    assert patches(world) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "token"]


def test_what_is_written_passes_the_check_and_runs(init, command, tmp_path):
    init("--discover")
    checked = command("check-config", "--online", "-c", "config.yaml")
    assert (checked.code, checked.err) == (0, "")
    with (tmp_path / "config.yaml").open("a") as file:
        file.write("diagnosis: {enabled: false}\n")  # it would ask DNS beyond this machine
    done = command("once", "-c", "config.yaml")
    assert done.out.startswith("3 packs in 3 zones; 1 needs you; ")
    assert (tmp_path / "state.db").exists()


def test_it_says_what_the_token_sees_and_which_packs_are_in_trouble(init):
    said = init("--discover").out
    assert said.startswith("The token is active. It sees 3 zones; all their packs can be read.\n")
    assert f"Zones: {', '.join(NAMES)}\n" in said
    assert re.search(r"\n3 packs in 3 zones; 1 needs you; .*\n\nNeeds you\n  warning   stuck.example", said)
    assert "late.example" in said.partition("Under way, or held")[2]
    assert said.endswith("  certpack-watchdog once --dry-run -c config.yaml\n  certpack-watchdog run -c config.yaml\n")


def test_that_zones_cannot_be_listed_is_said_of_no_zone(init, cloudflare):
    broken = {"kind": "json_error", "status": 400, "code": 1234, "message": "No.", "path": "/zones"}
    said = init("--discover", url=cloudflare(zones=FLEET, tokens=[{"value": TOKEN}], faults=[broken]).url).failed(69)
    assert said.startswith("list_zones: HTTP 400, code 1234: No.")


def test_it_says_why_nothing_happens_while_cloudflare_makes_it_wait(init, cloudflare):
    slow_down = {"kind": "rate_limited", "retry_after": 1, "times": 1, "path": "*/certificate_packs"}
    done = init("--discover", url=cloudflare(zones=FLEET, tokens=[{"value": TOKEN}], faults=[slow_down]).url)
    assert (done.code, done.err) == (0, "Cloudflare limits the requests of account main: waiting 1 s.\n")


@pytest.mark.parametrize(
    "named",
    [
        ["--zones", "late.example", "--zones", "WELL.example."],
        ["--zones", "late.example,well.example"],
        ["--zones", "late.example", "well.example"],
    ],
)
def test_named_zones_are_written_with_their_ids(init, tmp_path, named):
    done = init(*named)
    assert done.code == 0
    config = load(tmp_path / "config.yaml", {})
    assert sorted((zone.label.lower().rstrip("."), zone.id) for zone in config.zones) == [
        ("late.example", zone_id("late.example")),
        ("well.example", zone_id("well.example")),
    ]
    assert config.accounts["main"].discover is None


def test_a_token_that_is_in_its_file_is_taken_from_there_and_left_as_it_is(init, tmp_path):
    (tmp_path / "secret").write_text(f"  {TOKEN}\n")
    done = init("--discover", "--token-file", "secret", given="another one, which nobody reads")
    assert done.code == 0
    assert (tmp_path / "secret").read_text() == f"  {TOKEN}\n"
    assert f"api_token_file: {tmp_path}/secret\n" in (tmp_path / "config.yaml").read_text()


def left_alone(tmp_path):
    """That nothing was written."""
    return sorted(path.name for path in tmp_path.iterdir()) == []


def test_a_zone_that_the_token_does_not_see_is_named_and_nothing_is_written(init, tmp_path):
    said = init("--zones", "other.example").failed(1)
    assert said.startswith("zone other.example: ")
    assert left_alone(tmp_path)


def test_a_token_that_is_refused_is_said_and_nothing_is_written(init, tmp_path):
    done = init("--discover", given="cfut_no-such-token")
    assert done.code == 69
    assert done.err.splitlines()[-1].startswith("the token cannot be used: ")
    assert "no-such-token" not in done.out + done.err
    assert left_alone(tmp_path)


@pytest.mark.usefixtures("at_once")
def test_a_token_that_may_not_read_packs_is_told_what_it_lacks_and_nothing_is_written(
    command, cloudflare, monkeypatch, tmp_path
):
    world = cloudflare(zones=FLEET, tokens=[{"value": TOKEN, "permissions": ["zone_read"]}])
    monkeypatch.setattr(sys, "stdin", io.StringIO(TOKEN))
    done = command("init", "-o", "config.yaml", "--base-url", world.url, "--discover")
    assert done.code in {1, 69}
    assert "SSL and Certificates" in done.err
    assert left_alone(tmp_path)


@pytest.mark.usefixtures("at_once")
def test_no_cloudflare_is_said_and_nothing_is_written(init, tmp_path):
    done = init("--discover", url="http://127.0.0.1:9/client/v4")
    assert done.code == 69
    assert "connect" in done.err.splitlines()[-1]
    assert left_alone(tmp_path)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("", "the token is empty: give the API token alone"),
        ("two words", "the token has white space or a line break inside: give the API token alone"),
        ("cfk_a-global-key", "this is a global API key (it begins with cfk_): make an API token, which can do less"),
    ],
)
def test_what_is_no_token_is_refused_before_anybody_is_asked(init, world, tmp_path, given, says):
    assert init("--discover", given=given).failed(2) == says
    assert world.ledger == []
    assert left_alone(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "nobody can be asked which zones to watch: give --discover for all of them, or --zones NAME"),
        (["a.example"], "a.example: zones are named after --zones"),
        (["--zones", "no name"], "--zones: no is no domain name"),
        (["--discover", "--zones", "a.example"], "--discover watches every zone, --zones some: give one of them"),
        (["--discover", "--base-url", "http://api.example"], "--base-url: must begin with https://: over http the"),
    ],
)
def test_flags_that_make_no_sense_are_one_sentence(init, tmp_path, arguments, says):
    assert init(*arguments).failed(2).startswith(says)
    assert left_alone(tmp_path)


def test_a_configuration_that_is_there_is_left_alone(init, tmp_path, world):
    (tmp_path / "config.yaml").write_text("mine\n")
    said = init("--discover").failed(74)
    assert said == "config.yaml is there already: name another with --output, or give --yes to replace it"
    assert ((tmp_path / "config.yaml").read_text(), world.ledger) == ("mine\n", [])
    assert not (tmp_path / "token").exists()


def test_told_to_it_replaces_one(init, tmp_path):
    (tmp_path / "config.yaml").write_text("mine\n")
    assert init("--yes").code == 0
    assert load(tmp_path / "config.yaml", {}).accounts["main"].discover is not None


def test_a_folder_that_is_missing_is_made(init, tmp_path):
    assert init("--discover", "-o", "a/b/config.yaml").code == 0
    assert load(tmp_path / "a/b/config.yaml", {}).state.url.get_secret_value() == f"sqlite:///{tmp_path}/a/b/state.db"


# ── at a keyboard ────────────────────────────────────────────────────────────────────────────────────────────────────


class Keyboard:
    """A person at a terminal of 80 columns."""

    def __init__(self, shell, *arguments):
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        environ = {"TERM": "xterm-256color"}
        self.process = shell.start(
            *arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
        )
        os.close(theirs)
        self.screen = ""

    def read_until(self, text):
        end = time.monotonic() + 20
        while text not in self.screen:
            assert time.monotonic() < end, self.screen
            if select.select([self._ours], [], [], 0.1)[0] and not self._more():
                break
        assert text in self.screen, self.screen

    def type(self, text):
        os.write(self._ours, f"{text}\n".encode())

    def ended(self):
        end = time.monotonic() + 20
        while self.process.poll() is None or select.select([self._ours], [], [], 0)[0]:
            assert time.monotonic() < end, self.screen
            if select.select([self._ours], [], [], 0.1)[0] and not self._more():
                break
        os.close(self._ours)
        return self.process.wait(10)

    def _more(self):
        with suppress(OSError):  # EIO: nobody has the other end any more
            shown = os.read(self._ours, 65536).decode()
            self.screen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r\n", "\n")
            return bool(shown)
        return False


@pytest.fixture
def person(shell, world):
    return lambda *arguments: Keyboard(shell, "init", "-o", "config.yaml", "--base-url", world.url, *arguments)


@pytest.mark.process
def test_a_person_gives_a_token_that_is_not_shown_and_takes_all_zones(person, tmp_path):
    at = person()
    at.read_until("API token (it is not shown): ")
    at.type(TOKEN)
    at.read_until("Watch all of these zones, and those that come later? [Y/n]: ")
    at.type("")
    assert at.ended() == 0
    assert TOKEN not in at.screen
    lines = [line for line in at.screen.splitlines() if "looking at zones" not in line]
    assert max(map(len, lines)) <= 80
    assert "Written: config.yaml and token (mode 0600). Next:" in lines
    assert load(tmp_path / "config.yaml", {}).accounts["main"].api_token.get_secret_value() == TOKEN


@pytest.mark.process
def test_a_person_chooses_zones_and_is_told_of_a_slip(person, tmp_path):
    (tmp_path / "token").touch(mode=0o600)
    (tmp_path / "token").write_text(TOKEN)
    at = person()
    at.read_until("[Y/n]: ")
    at.type("n")
    at.read_until("Which zones? Their names, with spaces between: ")
    at.type("late.example lost.example")
    at.read_until("The token does not see lost.example.")
    at.type("late.example")
    assert at.ended() == 0
    assert [zone.label for zone in load(tmp_path / "config.yaml", {}).zones] == ["late.example"]


@pytest.mark.process
def test_a_person_who_does_not_want_the_file_replaced_keeps_it(person, tmp_path, world):
    (tmp_path / "config.yaml").write_text("mine\n")
    at = person()
    at.read_until("config.yaml is there already. Replace it? [y/N]: ")
    at.type("")
    assert at.ended() == 74
    assert ((tmp_path / "config.yaml").read_text(), world.ledger) == ("mine\n", [])


@pytest.mark.process
def test_a_person_who_has_enough_leaves_nothing_behind(person, tmp_path):
    at = person()
    at.read_until("API token (it is not shown): ")
    at.process.send_signal(signal.SIGINT)
    assert at.ended() == 1
    assert left_alone(tmp_path)
