"""A recheck is asked for once, with the method the pack has; what goes wrong is a sentence and no more."""

from tests.act.conftest import PACK
from tests.harness.cloudflare_client import ZONE, Sky
from tests.harness.time import in_simulated_time
from tests.harness.values import replace
from watchdog.act.recheck import Rechecked, recheck
from watchdog.model.packs import Validation
from watchdog.simulator.scenario import Fault


def pending():
    return Sky({"zones": [{"name": "example.com", "packs": [{"status": "pending_validation"}]}]})


@in_simulated_time
async def test_a_recheck_moves_a_pack_on_whose_records_are_there():
    sky = pending()
    pack = await sky.client.get_pack(ZONE, PACK)
    assert await recheck(pack, sky.client) == Rechecked()
    assert (await sky.client.get_pack(ZONE, PACK)).status == "pending_issuance"
    assert [request.body for request in sky.patches()] == ['{"validation_method":"txt"}']


@in_simulated_time
async def test_a_recheck_that_fails_is_told_and_not_repeated():
    sky = pending()
    pack = await sky.client.get_pack(ZONE, PACK)
    sky.world.add_fault(Fault(kind="html_error", status=502))
    done = await recheck(pack, sky.client)
    assert done.error.startswith("recheck_validation: HTTP 502")
    assert done.asked
    assert len(sky.patches()) == 1


@in_simulated_time
async def test_a_recheck_never_names_a_method_of_its_own():
    sky = pending()
    pack = replace(await sky.client.get_pack(ZONE, PACK), validation=Validation())
    assert "recheck_validation: HTTP 400" in (await recheck(pack, sky.client)).error
    assert (await sky.client.get_pack(ZONE, PACK)).validation.method == "txt"
