"""Cloudflare, or a proxy before it, repeats the credential it was sent: nothing of that gets any further."""

import json
import traceback

import httpx
import pytest

from tests.harness.canaries import KEY, TOKEN, leaks, reprs
from tests.harness.cloudflare_client import ZONE, answer, by_hand
from tests.harness.time import LoopClock, in_simulated_time
from watchdog.cloudflare.credential import Credential
from watchdog.cloudflare.errors import CloudflareError
from watchdog.cloudflare.rate_limit import Urgency

KINDS = {
    "token": lambda: Credential.from_token("main", TOKEN, LoopClock()),
    "key": lambda: Credential.from_key("main", "ops@example.com", KEY, LoopClock()),
}


def headers_of(request):
    return "; ".join(f"{name}: {value}" for name, value in request.headers.items() if "auth" in name)


ECHOES = {
    "in the message": lambda r: answer(status=403, errors=[{"code": 9109, "message": headers_of(r)}]),
    "in a chain": lambda r: answer(
        status=400,
        errors=[{"code": 6003, "message": "no", "error_chain": [{"code": 6111, "message": headers_of(r)}]}],
    ),
    "in a page": lambda r: httpx.Response(502, content=f"<pre>{headers_of(r)}</pre>".encode()),
    "in text that should be JSON": lambda r: httpx.Response(200, content=headers_of(r).encode()),
    "in the ray": lambda r: answer(
        status=403, errors=[{"code": 1, "message": "no"}], headers={"cf-ray": headers_of(r)[-60:]}
    ),
    "in the type of a field": lambda r: answer({"id": ["x"], "status": headers_of(r)}),
    "in a debugging proxy's refusal": lambda r: httpx.Response(
        407, headers={"x-sent": headers_of(r)}, content=json.dumps(dict(r.headers)).encode()
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("echo", ECHOES)
@in_simulated_time
async def test_a_credential_that_is_repeated_in_an_answer_is_in_no_error(kind, echo):
    client = by_hand(ECHOES[echo], credential=KINDS[kind]())
    with pytest.raises(CloudflareError) as failed:
        await client.get_pack(ZONE, "p")
    error = failed.value
    shown = "".join(traceback.format_exception(error))
    assert leaks(shown=shown, core=reprs(client, client.calls, error), refusal=client.credential.refusal) == set()


@pytest.mark.parametrize("kind", KINDS)
@in_simulated_time
async def test_a_credential_that_is_repeated_in_a_pack_is_not_in_what_is_remembered(kind):
    def echo(request):
        said = headers_of(request)
        pack = {
            "id": "p", "type": "advanced", "status": "validation_timed_out", "hosts": ["a.example", said],
            "validation_errors": [{"message": said}],
            "validation_records": [{"status": said, "txt_name": said, "txt_value": said}],
        }  # fmt: skip
        return answer([pack])

    client = by_hand(echo, credential=KINDS[kind]())
    [pack] = await client.list_packs(ZONE, Urgency.CALM)
    assert pack.status == "validation_timed_out"
    assert leaks(pack=repr(pack)) == set()


@pytest.mark.parametrize("kind", KINDS)
@in_simulated_time
async def test_no_repr_of_a_client_shows_its_credential(kind):
    client = by_hand(answer({"id": "p"}), credential=KINDS[kind]())
    shown = reprs(client)
    assert "Credential('main')" in shown
    assert leaks(shown=shown) == set()
