"""The way of a pack whose tokens a person places: real commands, a simulated Cloudflare, a resolver on loopback."""

import asyncio
import json
import os
import re
import sys
from contextlib import AsyncExitStack

import pytest

from tests.harness.dns import Responder
from watchdog.clock import RealClock
from watchdog.simulator.scenario import Scenario, pack_id
from watchdog.simulator.server import serve
from watchdog.simulator.world import World

pytestmark = pytest.mark.process

ZONE = "manual.example"
TOKEN = "token-of-a-partial-zone-0123456789abcdef"
STAGES = {"initializing": "0s", "pending_validation": "1h"}


class Person:
    """Somebody at a shell."""

    def __init__(self, world, dns, config):
        self.world, self.dns, self.config = world, dns, config

    async def runs(self, *arguments):
        """The exit code, and what the command printed on stdout and stderr."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "watchdog", *arguments, "--config", str(self.config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "COLUMNS": "200"},
        )
        out, err = await asyncio.wait_for(process.communicate(), 30)
        return process.returncode, out.decode(), err.decode()

    def rechecks(self):
        return [json.loads(each.body) for each in self.world.ledger if "/ssl/verification/" in each.path]


def story(tell, tmp_path, records, zone_type="partial", **pack):
    async def whole():
        world = World(scenario(zone_type, pack), RealClock())
        async with AsyncExitStack() as stack:
            dns = await stack.enter_async_context(Responder(records).serving())
            address = await stack.enter_async_context(serve(world))
            path = tmp_path / "config.yaml"
            path.write_text(
                json.dumps(
                    {
                        "accounts": {"main": {"api_token": TOKEN}},
                        "zones": [{"name": ZONE}],
                        "diagnosis": {"resolvers": [f"127.0.0.1:{dns.address[1]}"], "timeout": "2s"},
                        "state": {"url": f"sqlite:///{tmp_path}/state.db"},
                        "api": {"base_url": address},
                    }
                )
            )
            return await tell(Person(world, dns, path))

    return asyncio.run(whole())


def scenario(zone_type, pack):
    packs = [{"status": "validation_timed_out", "hosts": [ZONE], "story": {"stages": STAGES, "errors": []}, **pack}]
    return Scenario.model_validate(
        {
            "tokens": [{"name": "main", "value": TOKEN}],
            "zones": [{"name": ZONE, "type": zone_type, "packs": packs}],
        }
    )


def test_a_person_is_told_the_new_records_and_cloudflare_is_asked_to_look_once_they_are_placed(tmp_path):
    async def tell(person):
        code, _, log = await person.runs("once")
        assert (code, '"event": "restart_sent"' in log) == (0, True), log

        _, _, log = await person.runs("once")
        told = [json.loads(line) for line in log.splitlines() if '"records_to_place"' in line]
        assert len(told) == 1, log

        code, text, _ = await person.runs("explain", ZONE)
        _, output, _ = await person.runs("explain", ZONE, pack_id(ZONE, 0), "--output", "json")
        (row,) = json.loads(output)["packs"]
        assert (row["status"], row["reason"], code) == ("pending_validation", "in_progress", 1)  # a person is to act
        assert [(each["type"], each["name"]) for each in row["records"]] == [("TXT", f"_acme-challenge.{ZONE}")]
        (record,) = row["records"]
        assert f"{record['name']} TXT {record['value']}" in told[0]["records"]
        assert record["value"] in text

        person.dns.records[record["name"]] = [f'TXT "{record["value"]}"']
        assert person.rechecks() == []
        _, _, log = await person.runs("once")
        assert '"event": "recheck_sent"' in log, log
        assert person.rechecks() == [{"validation_method": "txt"}]

    story(tell, tmp_path, {ZONE: ["A 192.0.2.1"]})


def test_caa_that_forbids_the_authority_holds_the_restart_and_explain_says_what_to_do(tmp_path):
    async def tell(person):
        code, table, log = await person.runs("once")
        assert code == 1, log
        assert "not restarted, since that is certain to fail" in " ".join(table.split())
        assert not [request for request in person.world.ledger if request.method == "PATCH"]

        code, text, _ = await person.runs("explain", ZONE)
        assert code == 1
        assert "certain" in text
        assert "CAA" in text
        assert "restarted at the first look that finds the obstacle gone" in " ".join(text.split())

        person.dns.records[ZONE] = ["A 192.0.2.1"]
        code, _, log = await person.runs("once")
        assert (code, '"event": "restart_sent"' in log) == (0, True), log

    story(tell, tmp_path, {ZONE: ["A 192.0.2.1", 'CAA 0 issue "letsencrypt.org"']}, zone_type="full")


def test_explain_says_of_a_healthy_pack_that_there_is_nothing_to_do_and_why(tmp_path):
    async def tell(person):
        code, text, _ = await person.runs("explain", ZONE)
        assert code == 0
        assert "Nothing to do, because it is healthy." in text

    story(tell, tmp_path, {}, status="active")


def test_explain_of_what_is_not_watched_is_one_sentence(tmp_path):
    async def tell(person):
        assert await person.runs("explain", "other.example") == (
            1,
            "",
            "no zone other.example is watched; zones are named as in `status`\n",
        )
        code, out, err = await person.runs("explain", ZONE, "no-such-pack")
        assert (code, out) == (1, "")
        assert re.fullmatch(rf"zone {ZONE} has no watched pack no-such-pack: it has \w{{4}} \(active\)\n", err)

    story(tell, tmp_path, {}, status="active")
