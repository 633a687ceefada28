"""What a person sees on a terminal of 80 columns, and what somebody without the token is told."""

import re
from datetime import timedelta

import pytest

from watchdog.clock import RealClock
from watchdog.simulator.scenario import pack_id

LONG = "a-shop-with-a-rather-long-name-as-there-are-many.example"
FLEET = [
    {"name": "well.example", "packs": [{"status": "active"}, {"status": "active"}]},
    {"name": LONG, "packs": [{"status": "validation_timed_out", "story": {"errors": ["CAA records block issuance"]}}]},
    {"name": "stuck.example", "packs": [{"status": "deployment_timed_out"}]},
]
LATE = pack_id(LONG, 0)


@pytest.fixture
def looked_at(command, cloudflare, configure):
    """A world that was looked at once, and the configuration, whose token nobody finds any more."""
    world = cloudflare(zones=FLEET)
    command("once", "-c", configure(world))
    return configure(world, account={"api_token_file": "/nowhere/at/all"})


@pytest.mark.process
@pytest.mark.parametrize(
    "arguments",
    [("status",), ("status", "--all"), ("explain", LONG, "--offline"), ("events",)],
    ids=["status", "all", "explain", "events"],
)
def test_80_columns_are_enough_and_no_word_is_cut(screen, looked_at, arguments):
    narrow, _ = screen(*arguments, "-c", looked_at)
    roomy, _ = screen(*arguments, "-c", looked_at, columns=5000)
    assert max(map(len, narrow.splitlines())) <= 80
    moving = re.compile(r"\d+ (s|min|d) ago|in \d+ (s|min|d)|for \d+ s|just now")
    assert moving.sub("", " ".join(narrow.split())) == moving.sub("", " ".join(roomy.split()))


@pytest.mark.process
def test_a_terminal_sees_what_needs_somebody_first(screen, looked_at):
    shown, code = screen("status", "-c", looked_at)
    lines = shown.splitlines()
    assert code == 0
    assert re.fullmatch(r"4 packs in 3 zones; 1 needs you; last look (just now|\d+ s ago)", lines[0])
    assert lines[1:3] == ["", "Needs you"]
    assert lines[3].startswith(f"  warning   stuck.example {pack_id('stuck.example', 0)[:4]}: deployment_timed_out")
    assert "No restart" not in shown


def test_whoever_has_no_token_reads_the_status(command, looked_at):
    done = command("status", "-c", looked_at)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("4 packs in 3 zones; 1 needs you")


def test_a_zone_that_was_taken_out_of_the_configuration_needs_nobody_any_more(command, cloudflare, configure):
    world = cloudflare(zones=FLEET)
    command("once", "-c", configure(world))
    left = [{"name": zone.name, "id": zone.id} for zone in world.zones.values() if zone.name != "stuck.example"]
    config = configure(world, zones=left)
    assert "stuck.example" not in command("status", "--all", "-c", config).out
    shown = command("status", "-o", "json", "-c", config).json
    assert {row["zone"] for row in (*shown["packs"], *shown["zones"])} == {LONG, "well.example"}
    assert "stuck.example" in command("events", "-c", config).out


def test_zones_and_packs_that_the_configuration_has_no_more_are_not_counted(command, cloudflare, configure):
    world = cloudflare(zones=FLEET)
    command("once", "-c", configure(world))
    left = [{"name": zone.name, "id": zone.id} for zone in world.zones.values() if zone.name != "stuck.example"]
    assert command("status", "-c", configure(world, zones=left)).out.startswith("3 packs in 2 zones; none needs you")


def test_what_discovery_is_to_find_no_more_needs_nobody_either(command, cloudflare, configure):
    world = cloudflare(zones=FLEET)
    account = {"api_token": "simulated-token", "discover": {"include": ["*"]}}
    command("once", "-c", configure(world, zones=[], account=account))
    assert "stuck.example" in command("status", "-c", configure(world, zones=[], account=account)).out
    account["discover"]["exclude"] = ["stuck.*"]
    assert "stuck.example" not in command("status", "--all", "-c", configure(world, zones=[], account=account)).out


def test_whoever_has_no_token_reads_what_happened_to_a_zone(command, looked_at):
    done = command("events", "--zone", LONG, "-c", looked_at)
    assert (done.code, done.err) == (0, "")
    told = [line.split()[1] for line in done.out.splitlines() if re.match(r"  \d\d:\d\d:\d\d  ", line)]
    assert told[-2:] == ["restart_intended", "restart_sent"]


def test_whoever_has_no_token_is_told_why_a_pack_is_as_it_is(command, looked_at):
    done = command("explain", "stuck.example", "--offline", "-c", looked_at)
    assert (done.code, done.err) == (1, "")
    assert "Deployment_timed_out, which no restart can mend." in " ".join(done.out.split())


def test_events_as_json_are_whole_and_in_their_order(command, looked_at):
    found = command("events", "-o", "json", "-c", looked_at).json["events"]
    assert [*found[0]] == ["at", "event", "account", "zone", "zone_id", "pack_id", "reason", "detail"]
    assert [each["at"] for each in found] == sorted(each["at"] for each in found)


def test_events_of_a_time_in_which_nothing_happened_say_so(command, looked_at):
    done = command("events", "--zone", "other.example", "-c", looked_at)
    assert (done.code, done.out) == (0, "Nothing happened within 24h that fits.\n")


@pytest.mark.parametrize("prefix", [LATE[:4], LATE[:13].upper(), LATE.replace("-", "")])
def test_a_pack_is_named_by_how_its_id_begins(command, looked_at, prefix):
    assert LATE in command("explain", LONG, prefix, "--offline", "-c", looked_at).out
    assert "restart_sent" in command("events", "--pack", prefix, "-c", looked_at).out


def test_fewer_than_four_characters_name_no_pack(command, looked_at):
    said = command("explain", LONG, LATE[:3], "--offline", "-c", looked_at).failed(1)
    assert said == f"zone {LONG} has no watched pack {LATE[:3]}: give at least 4 characters of its id"
    assert "at least 4 characters" in command("events", "--pack", LATE[:3], "-c", looked_at).failed(2)


def test_a_reason_that_there_is_not_is_wrong_usage(command, looked_at):
    done = command("status", "--reason", "gaveup", "-c", looked_at)
    assert done.code == 2
    assert "did you mean gave_up?" in done.err


def test_json_of_a_status_can_be_narrowed_too(command, looked_at):
    found = command("status", "--zone", "stuck.*", "-o", "json", "-c", looked_at).json
    assert [row["zone"] for row in (*found["packs"], *found["zones"])] == ["stuck.example"] * 2


def test_a_row_says_when_the_next_restart_may_be_also_while_the_last_is_under_way(command, cloudflare, configure):
    done = command("once", "-o", "json", "-c", configure(cloudflare(zones=FLEET)))
    row = next(row for row in done.json["packs"] if row["zone"] == LONG)
    assert row["status"] == "initializing"
    assert row["next_restart_at"] > row["last_restart_at"]


def test_a_zone_with_one_pack_is_enough_to_restart_it(command, cloudflare, configure):
    world = cloudflare(zones=FLEET)
    config = configure(world)
    command("once", "--dry-run", "-c", config)
    assert command("restart", LONG, "-c", config).code == 0
    assert len(world.restarts_of(LATE)) == 1


def test_of_several_packs_a_restart_wants_to_know_which(command, cloudflare, configure):
    config = configure(cloudflare(zones=FLEET))
    command("once", "--dry-run", "-c", config)
    said = command("restart", "well.example", "-c", config).failed(1)
    assert said.startswith("zone well.example has 2 packs, so say which: ")
    assert said.count("(active)") == 2


@pytest.mark.parametrize("way", [["--offline"], []], ids=["offline", "online"])
def test_an_explanation_counts_from_the_time_of_the_state_as_that_may_be_another_machine_s(
    way, command, cloudflare, configure, monkeypatch
):
    config = configure(cloudflare(zones=FLEET))
    command("once", "-c", config)
    monkeypatch.setattr("watchdog.cli.asking.now_of", lambda _: RealClock().now() + timedelta(hours=5))
    shown = " ".join(command("explain", LONG, *way, "-c", config).out.split())
    assert "restart_intended" in shown
    assert "5 h ago: restart_intended" in shown
