"""What the commands tell of packs and zones, and what they keep to themselves: the stories an operator lives."""

import json
import os
import pty
import re
import termios
from contextlib import suppress

import pytest

from watchdog.config.load import load
from watchdog.simulator.scenario import pack_id, zone_id
from watchdog.state.store import Store

ROW = [
    *("account", "zone", "zone_id", "pack_id", "type", "hosts", "status", "since", "decision", "reason", "attempts"),
    *("last_restart_at", "next_restart_at", "expires_at", "last_error", "needs_person", "severity", "why", "next_step"),
    *("silenced_until", "findings", "records"),
]
NOWHERE = "http://127.0.0.1:1/client/v4"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
FLEET = [
    {"name": "well.example", "packs": [{"status": "active"}]},
    {"name": "late.example", "packs": [{"status": "validation_timed_out"}]},
    {"name": "stuck.example", "packs": [{"status": "deployment_timed_out"}]},
]
LATE = pack_id("late.example", 0)


def patches(world):
    return [request for request in world.ledger if request.method != "GET"]


def test_a_row_of_json_has_the_promised_keys_in_their_order(command, cloudflare, configure):
    done = command("once", "--output", "json", "-c", configure(cloudflare(zones=FLEET)))
    assert (done.code, list(done.json)) == (1, ["packs", "zones"])
    rows = {row["zone"]: row for row in done.json["packs"]}
    assert [list(row) for row in rows.values()] == [ROW] * 3
    late = rows["late.example"]
    assert late["zone_id"] == zone_id("late.example")
    assert (late["pack_id"], late["type"], late["hosts"]) == (LATE, "advanced", ["*.late.example", "late.example"])
    assert (late["status"], late["decision"], late["reason"], late["attempts"]) == (
        "initializing",
        "restart",
        "restarted",
        1,
    )
    assert late["expires_at"] is None
    for row in rows.values():
        for name in ("since", "last_restart_at", "next_restart_at", "expires_at"):
            assert row[name] is None or re.fullmatch(TIME, row[name])


def test_the_zones_are_in_the_json_too(command, cloudflare, configure):
    zones = [{"name": "well.example"}, {"name": "nowhere.example"}]
    config = configure(cloudflare(zones=FLEET), zones=zones)
    well, nowhere = command("once", "-o", "json", "-c", config).json["zones"]
    assert (well["zone"], well["packs"], well["last_error"]) == ("well.example", 1, None)
    assert (nowhere["zone_id"], nowhere["packs"], nowhere["reason"]) == (None, 0, "not_found")
    assert "no zone is called nowhere.example" in nowhere["last_error"]


def test_status_tells_what_once_has_found_without_any_network(command, cloudflare, configure):
    world = cloudflare(zones=FLEET)
    config = configure(world)
    assert command("status", "-c", config).code == 74
    once, asked = command("once", "-o", "json", "-c", config).json, len(world.ledger)
    status = command("status", "-o", "json", "-c", config)
    assert (status.code, status.err, len(world.ledger)) == (0, "", asked)

    def by_id(rows):
        return sorted(rows, key=lambda row: row["zone_id"])

    assert by_id(status.json["packs"]) == by_id(once["packs"])
    assert [row["zone"] for row in by_id(status.json["zones"])] == [row["zone"] for row in by_id(once["zones"])]
    table = command("status", "-c", config)
    assert (table.code, table.err) == (0, "")
    assert table.out.startswith("3 packs in 3 zones; 1 needs you; last look")


def test_a_dry_run_reads_and_decides_and_changes_nothing(command, cloudflare, configure):
    world = cloudflare(zones=FLEET)
    done = command("once", "--dry-run", "-o", "json", "-c", configure(world))
    assert (patches(world), world.restarts) == ([], [])
    rows = {row["zone"]: row for row in done.json["packs"]}
    assert (rows["late.example"]["decision"], rows["late.example"]["reason"]) == ("restart", "dry_run")
    assert rows["late.example"]["attempts"] == 0
    held, summed = next(line for line in done.lines if line["event"] == "restart_held"), done.lines[-1]
    assert (held["zone"], held["reason"]) == ("late.example", "dry_run")
    assert (summed["event"], summed["dry_run"], summed["restarts"]) == ("pass_completed", True, 0)


def test_a_dry_run_needs_no_folder_for_the_state_and_makes_none(command, cloudflare, configure, tmp_path):
    config = configure(cloudflare(zones=FLEET))
    config.write_text(config.read_text().replace("state.db", "none/such/state.db"))
    done = command("once", "--dry-run", "-c", config)
    assert (done.code, done.out.splitlines()[0][:33]) == (1, "3 packs in 3 zones; 1 needs you; ")
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_a_dry_run_knows_what_was_tried_and_leaves_the_state_as_it_was(command, cloudflare, configure, tmp_path):
    world = cloudflare(zones=FLEET)
    config = configure(world)
    command("once", "-c", config)
    world.set_status(LATE, "validation_timed_out")

    def files():
        return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}

    before = files()
    done = command("once", "--dry-run", "-o", "json", "-c", config)
    [row] = [row for row in done.json["packs"] if row["zone"] == "late.example"]
    assert (row["attempts"], row["reason"]) == (1, "backing_off")
    assert files() == before


def test_a_dry_run_works_beside_a_daemon_which_holds_the_state(command, cloudflare, configure):
    config = configure(cloudflare(zones=FLEET))
    command("once", "-c", config)
    store = Store.open(load(config, {}).state.url.get_secret_value(), exclusive=True)
    try:
        assert command("once", "-c", config).code == 75
        assert command("once", "--dry-run", "-c", config).code == 1
    finally:
        store.close()


def test_a_restart_is_held_by_backoff_unless_it_is_forced(command, cloudflare, configure):
    world = cloudflare(zones=FLEET)
    config = configure(world)
    command("once", "-c", config)
    world.set_status(LATE, "validation_timed_out")
    held = command("restart", "late.example", LATE, "-c", config).failed(1)
    assert re.fullmatch(f"held: backing_off until {TIME}; --force overrides this", held)
    assert len(world.restarts_of(LATE)) == 1
    forced = command("restart", "late.example", LATE, "--force", "-c", config)
    assert forced.code == 0
    assert forced.out == f"restarted: pack {LATE} of late.example is now initializing, attempt 2\n"
    assert len(world.restarts_of(LATE)) == 2
    assert forced.events[:2] == ["restart_intended", "restart_sent"] or "restart_sent" in forced.events
    assert [request.body for request in patches(world)] == ["{}", "{}"]


def test_a_restart_that_is_due_needs_no_force_and_takes_a_zone_by_its_id(command, cloudflare, configure):
    world = cloudflare(zones=FLEET)
    config = configure(world)
    command("once", "--dry-run", "-c", config)
    done = command("restart", zone_id("late.example"), LATE.replace("-", "").upper(), "-c", config)
    assert (done.code, len(world.restarts)) == (0, 1)


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_nothing_but_a_timed_out_pack_is_restarted_however_much_it_is_wanted(command, cloudflare, configure, force):
    world = cloudflare(zones=FLEET)
    config = configure(world)
    command("once", "--dry-run", "-c", config)
    for zone, status in (("well.example", "active"), ("stuck.example", "deployment_timed_out")):
        sentence = command("restart", zone, pack_id(zone, 0), *force, "-c", config).failed(1)
        assert "only an advanced pack in validation_timed_out can be restarted: `explain " in sentence
        assert status in sentence
    assert patches(world) == []


def test_a_zone_or_pack_that_is_not_watched_is_not_restarted(command, cloudflare, configure):
    config = configure(cloudflare(zones=FLEET))
    command("once", "--dry-run", "-c", config)
    assert command("restart", "other.example", LATE, "-c", config).failed(1).startswith("no zone other.example")
    assert command("restart", "well.example", LATE, "-c", config).failed(1).startswith("zone well.example has no")


def test_checking_the_configuration_says_it_is_fine(command, configure):
    config = configure("http://127.0.0.1:1/client/v4", zones=[{"id": "0" * 32}])
    done = command("check-config", "-c", config)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{config}: fine: accounts: 1, zones: 1\n"


def test_checking_online_reads_every_zone_and_changes_nothing(command, cloudflare, configure, tmp_path):
    world = cloudflare(zones=FLEET)
    done = command("check-config", "--online", "-c", configure(world))
    assert done.code == 0
    for said in ("token is active", "zone well.example: 1 pack", "zone late.example: 1 pack"):
        assert f"ok      account main: {said}\n" in done.out
    assert patches(world) == []
    assert not (tmp_path / "state.db").exists()


def test_checking_online_finds_what_is_not_there(command, cloudflare, configure):
    zones = [{"name": "well.example", "packs": [pack_id("elsewhere.example", 0)]}, {"name": "gone.example"}]
    done = command("check-config", "--online", "-c", configure(cloudflare(zones=FLEET), zones=zones))
    assert done.code == 1
    assert re.search(r"(?m)^FAILED  account main: zone well.example: 0 packs: no such pack: [0-9a-f]{32}$", done.out)
    assert re.search(r"(?m)^FAILED  account main: zone gone.example: find_zone: no zone is called", done.out)


def test_checking_online_doubts_an_id_under_which_no_pack_is_for_the_name(command, cloudflare, configure):
    zones = [{"name": "shop.example", "id": zone_id("well.example")}, {"name": "late.example"}]
    done = command("check-config", "--online", "-c", configure(cloudflare(zones=FLEET), zones=zones))
    assert done.code == 0
    said = "none of its packs is for shop.example, the first is for *.well.example: is this the id of another zone?"
    assert f"warning account main: zone shop.example: 1 pack: {said}\n" in done.out
    assert "ok      account main: zone late.example: 1 pack\n" in done.out


NOT_SERVED = [{"name": "gone.example", "status": "moved"}, {"name": "new.example", "status": "pending"}]


@pytest.mark.parametrize("named", [True, False], ids=["named", "discovered"])
def test_checking_online_says_what_is_wrong_with_zones_that_get_no_certificates(command, cloudflare, configure, named):
    world = cloudflare(zones=[*FLEET, *NOT_SERVED])
    finding = {"account": {"api_token": "simulated-token", "discover": {}}, "zones": []}
    done = command("check-config", "--online", "-c", configure(world, **({} if named else finding)))
    assert done.code == 0
    moved = "The zone is moved: its name servers point elsewhere. Only an active zone gets certificates."
    assert f"warning account main: zone gone.example: 1 pack: {moved}\n" in done.out
    assert "warning account main: zone new.example: 1 pack: The zone is pending: its name servers (" in done.out
    assert "ok      account main: zone well.example: 1 pack\n" in done.out


@pytest.mark.process
def test_a_terminal_sees_a_bar_while_it_waits_then_lines_and_a_report(shell, cloudflare, configure):
    world = cloudflare(zones=FLEET, faults=[{"kind": "slow", "delay": "100ms"}])
    screen, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (50, 200))
    process = shell.start(
        "once", "-c", configure(world), stdout=terminal, stderr=terminal, env={"TERM": "xterm-256color"}
    )
    os.close(terminal)
    shown = b""
    with suppress(OSError):  # EIO: nobody has the other end any more
        while chunk := os.read(screen, 65536):
            shown += chunk
    os.close(screen)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert process.wait(10) == 1
    assert "looking at zones" in text
    assert re.search(r"\d\d:\d\d:\d\d \[info +\] restart_sent +account=main zone=late.example pack_id=", text)
    assert zone_id("late.example") not in text
    assert f"late.example {LATE[:4]}: initializing" in text
    assert "3 packs in 3 zones; 1 needs you" in text


DISCOVERING = {"account": {"api_token": "simulated-token", "discover": {}}, "zones": []}


def test_checking_online_says_how_many_zones_discovery_finds(command, cloudflare, configure):
    done = command("check-config", "--online", "-c", configure(cloudflare(zones=FLEET), **DISCOVERING))
    assert (done.code, f"ok      account main: discovery finds {len(FLEET)} zones\n" in done.out) == (0, True)


def test_an_account_without_a_zone_to_watch_is_nothing_fine(command, cloudflare, configure):
    config = configure(cloudflare(zones=[]), **DISCOVERING)
    checked, passed = command("check-config", "--online", "-c", config), command("once", "-c", config)
    assert (checked.code, passed.code) == (1, 1)
    assert "FAILED  account main: discovery: the credential sees no zone: give it Zone / Zone / Read" in checked.out
    said = " ".join(passed.out.split())
    assert "warning discovery of account main failed (not found): the credential sees no zone: give it" in said
    assert "→ Give its credential access to the zones that are meant, or mend `discover` in the configuration." in said


HIDDEN = {
    "no network": None,
    "a page of a proxy": {"kind": "html_error", "status": 200},
    "a refused token": {"kind": "json_error", "status": 401, "code": 1000, "message": "Invalid API Token"},
}


@pytest.mark.parametrize("fault", HIDDEN.values(), ids=HIDDEN)
def test_a_pass_that_could_list_no_zones_counts_none_and_says_so(command, cloudflare, configure, fault):
    config = configure(NOWHERE if fault is None else cloudflare(zones=FLEET, faults=[fault]), **DISCOVERING)
    done = command("once", "-c", config)
    said = "No zone was seen: the zones of account main could not be listed"
    assert (done.code, done.out.splitlines()[0]) == (69, said)


def test_a_pass_that_could_list_the_zones_of_one_account_alone_names_the_other(command, cloudflare, configure):
    world = cloudflare(zones=FLEET, faults=[{"kind": "html_error", "status": 200, "path": "/zones"}])
    zones = [{"id": zone_id("well.example"), "name": "well.example", "account": "main"}]
    config = configure(world, zones=zones)
    other = "accounts:\n  other: {api_token: simulated-token, discover: {}}"
    config.write_text(config.read_text().replace("accounts:", other))
    said = "1 pack in 1 zone; the zones of account other could not be listed; "
    assert command("once", "-c", config).out.startswith(said)


@pytest.mark.parametrize("fault", HIDDEN.values(), ids=HIDDEN)
def test_checking_online_hints_at_no_permission_where_nothing_could_be_asked(command, cloudflare, configure, fault):
    config = configure(NOWHERE if fault is None else cloudflare(zones=FLEET, faults=[fault]), **DISCOVERING)
    done = command("check-config", "--online", "-c", config)
    assert (done.code, "Whether restarts are permitted" in done.out) == (69, False)


def test_checking_online_hints_at_the_permission_that_cannot_be_seen(command, cloudflare, configure):
    done = command("check-config", "--online", "-c", configure(cloudflare(zones=FLEET), **DISCOVERING))
    assert "Whether restarts are permitted cannot be seen without one" in done.out


def test_a_pack_that_is_named_by_its_hosts_and_not_there_is_shown_by_all_of_them(command, cloudflare, configure):
    named = [{"name": "well.example", "packs": [{"hosts": ["www.well.example", "shop.well.example"]}]}]
    config = configure(cloudflare(zones=FLEET), zones=named)
    said = " ".join(command("once", "-c", config).out.split())
    assert "well.example shop.well.example www.well.example: Cloudflare has no such pack." in said
    assert "→ Correct its id or its hosts in the configuration, or take it out there." in said
    assert command("explain", "well.example", "-c", config).failed(1) == (
        "zone well.example has no pack that the configuration names: shop.well.example www.well.example"
    )


def test_explaining_a_pack_that_is_remembered_says_how_it_is_validated(command, cloudflare, configure):
    config = configure(cloudflare(zones=FLEET))
    command("once", "-c", config)
    assert re.search(r"(?m)^  validation  txt, by google$", command("explain", "well.example", "-c", config).out)


def test_explaining_says_why_nothing_happens_while_cloudflare_makes_it_wait(command, cloudflare, configure):
    slow_down = {"kind": "rate_limited", "retry_after": 1, "times": 1}
    config = configure(cloudflare(zones=FLEET, faults=[slow_down]))
    done = command("explain", "well.example", "-c", config)
    assert (done.code, done.err) == (0, "Cloudflare limits the requests of account main: waiting 1 s.\n")


PLANTED = "planted-secret-4f1c9e"


@pytest.mark.repeats
@pytest.mark.parametrize("kind", ["token", "token_file", "environment", "key"])
@pytest.mark.parametrize("revoked", [False, True], ids=["valid", "revoked"])
def test_no_credential_is_ever_shown_whatever_is_asked(command, cloudflare, configure, tmp_path, kind, revoked):
    (tmp_path / "token").write_text(f"{PLANTED}\n")
    account = {
        "token": {"api_token": PLANTED},
        "token_file": {"api_token_file": "token"},
        "environment": {"api_token": "${PLANTED}"},
        "key": {"api_email": "ops@example.com", "api_key": PLANTED},
    }[kind]
    pair = {"email": "ops@example.com", "key": PLANTED} if kind == "key" else {"value": PLANTED}
    world = cloudflare(zones=FLEET, tokens=[{**pair, "revoked": revoked}])
    config = configure(world, account=account, more="log: {level: debug}\n")
    said = []
    for arguments in (
        ("check-config",),
        ("check-config", "--online"),
        ("once",),
        ("once", "-o", "json"),
        ("status",),
        ("status", "-o", "json"),
        ("restart", "late.example", LATE, "--force"),
    ):
        done = command(*arguments, "-c", config, PLANTED=PLANTED)
        said.append(done.out + done.err)
    assert len(world.ledger) > 4
    assert all(request.credential == "main" for request in world.ledger if request.status == 200)
    assert PLANTED not in "".join(said)
    for file in tmp_path.glob("state.db*"):
        assert PLANTED.encode() not in file.read_bytes()


def test_no_credential_is_shown_by_a_configuration_that_is_wrong(command, tmp_path):
    (tmp_path / "bad.yaml").write_text(
        f"accounts: {{main: {{api_token: ['{PLANTED}'], api_token_file: {PLANTED}, api_key: {PLANTED}}}}}\nzones: 3\n"
    )
    done = command("check-config", "-c", "bad.yaml")
    assert done.code == 78
    assert PLANTED not in done.out + done.err


def test_hostile_text_from_the_api_reaches_no_terminal(command, cloudflare, configure):
    evil = "\x1b]0;owned\x07\x1b[2J\r\nFORGED"
    pack = {"status": "validation_timed_out", "story": {"errors": [evil]}}
    world = cloudflare(
        zones=[{"name": "late.example", "packs": [pack]}],
        faults=[{"kind": "json_error", "status": 400, "code": 1234, "message": evil, "method": "PATCH"}],
    )
    config = configure(world, more="log: {format: console}\n")
    done = command("once", "-c", config)
    text = done.out + done.err + command("status", "-o", "json", "-c", config).out
    assert "FORGED" in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]|\\u001b|(?m:^FORGED)", text)
    assert json.loads(command("status", "-o", "json", "-c", config).out)["packs"][0]["attempts"] == 1


def test_a_single_pass_that_is_told_to_wait_for_a_year_ends_and_says_until_when(command, cloudflare, configure):
    config = configure(cloudflare(zones=FLEET, faults=[{"kind": "rate_limited", "retry_after": 365 * 86_400}]))
    done = command("once", "-c", config)
    said = " ".join(done.out.split())
    assert (done.code, "not sent: Cloudflare has told this credential to wait until" in said) == (69, True)
