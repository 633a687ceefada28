"""Two zones of one name, each watched through an account of its own: which of them a command means."""

import json

import pytest

ZONES = {"one": "a" * 32, "two": "b" * 32}
PACKS = {"one": "1" * 32, "two": "2" * 32}


@pytest.fixture
def twins(cloudflare, configure):
    """The configuration, with the simulated world beside it."""
    zones = [
        {"id": ZONES[each], "name": "twin.example", "packs": [{"id": PACKS[each], "status": "validation_timed_out"}]}
        for each in ZONES
    ]
    tokens = [{"name": each, "value": f"token-of-{each}", "zones": [ZONES[each]]} for each in ZONES]
    world = cloudflare(zones=zones, tokens=tokens)
    listed = [{"name": "twin.example", "account": each} for each in ZONES]
    path = configure(world, zones=listed)
    accounts = {each: {"api_token": f"token-of-{each}"} for each in ZONES}
    lines = [line for line in path.read_text().splitlines() if not line.startswith(("accounts:", "  main:"))]
    path.write_text("\n".join([f"accounts: {json.dumps(accounts)}", *lines]))
    return path, world


def patched(world):
    return [request.path.split("/")[-1] for request in world.ledger if request.method == "PATCH"]


@pytest.mark.parametrize("name", ["explain", "restart"])
def test_a_zone_of_two_accounts_is_to_be_named_by_its_id(command, twins, name):
    config, world = twins
    command("once", "--dry-run", "-c", config)
    command("status", "-c", config)
    said = command(name, "twin.example", "-c", config).failed(1)
    assert said.startswith("several zones are called twin.example, so give the id of one in its place: ")
    assert patched(world) == []


def test_the_zone_is_meant_that_has_the_pack_or_the_id_though_the_configuration_names_none(command, twins):
    config, world = twins
    command("once", "-c", config)
    for zone, pack in (("twin.example", PACKS["two"][:4]), (ZONES["two"], "")):
        command("restart", zone, *filter(None, [pack]), "--force", "-c", config)
        said = command("explain", zone, *filter(None, [pack]), "-c", config)
        assert (PACKS["two"] in said.out, PACKS["one"] in said.out) == (True, False), said.err
    assert patched(world).count(PACKS["two"]) >= 1
