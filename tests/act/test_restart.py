"""A restart is looked at once more, counted on disk, sent once, and its fate told as far as it can be known."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.act.conftest import PACK, WAIT
from tests.harness.cloudflare_client import ZONE
from tests.harness.time import in_simulated_time, simulated
from tests.harness.values import replace
from watchdog.cloudflare.credential import PROBE_EVERY, Sign
from watchdog.cloudflare.http import NotSent
from watchdog.decide.checks import RestartRules
from watchdog.model.clock import anchor
from watchdog.model.history import UNTROUBLED, History, Intent, Sent
from watchdog.model.packs import KNOWN_STATUSES, VALIDATION_TIMED_OUT
from watchdog.model.reasons import Reason
from watchdog.simulator.scenario import Fault
from watchdog.state.intents import Intents
from watchdog.state.memory import Memory
from watchdog.state.store import Store

LOST = {
    "html_502": {"kind": "html_error", "status": 502},
    "text_524": {"kind": "text_error", "status": 524},
    "json_500": {"kind": "json_error", "status": 500},
    "html_200": {"kind": "html_error", "status": 200},
    "reset": {"kind": "reset"},
    "truncated": {"kind": "truncated"},
    "too_slow": {"kind": "slow", "delay": "31s"},
    "huge": {"kind": "huge"},
}


def spoil(stage, method, **fault):
    """From the restart's own requests on, this goes wrong."""
    stage.world.add_fault(Fault(method=method, **fault))


@in_simulated_time
async def test_a_timed_out_pack_is_read_again_patched_once_and_shown_as_the_answer_shows_it(staged):
    async with staged() as stage:
        outcome = await stage.restart()
        assert stage.asked == ["GET", "PATCH"]
        assert (outcome.sent, outcome.reason, outcome.error) == (Sent.ACCEPTED, Reason.RESTARTED, "")
        assert (outcome.pack.id, outcome.pack.status) == (PACK, "initializing")
        assert (outcome.attempt, outcome.next_restart_at) == (1, stage.clock.now() + WAIT)
        await stage.memory.writer.flush()
        assert stage.intents() == [(1, "accepted")]
        assert len(stage.world.restarts) == 1


@in_simulated_time
async def test_the_intent_and_its_attempt_are_on_disk_before_the_patch_arrives(staged):
    async with staged() as stage:
        seen = []
        stage.wire.on_patch = lambda: seen.append((stage.intents(), stage.attempts(), list(stage.told)))
        await stage.restart()
        assert seen == [([(1, None)], [(1,)], ["restart_intended"])]


@pytest.mark.parametrize("status", sorted(KNOWN_STATUSES - {VALIDATION_TIMED_OUT}))
@in_simulated_time
async def test_a_pack_that_has_moved_on_meanwhile_is_left_alone(staged, status):
    async with staged() as stage:
        stage.pack = await stage.client.get_pack(ZONE, PACK)
        stage.world.set_status(PACK, status)
        outcome = await stage.again()
        assert (outcome.reason, outcome.sent, outcome.pack.status) == (Reason.MOVED_ON, None, status)
        assert "PATCH" not in stage.asked
        assert (stage.intents(), "restart_intended" in stage.told) == ([], False)


@pytest.mark.parametrize("fault", [{"kind": "unknown_words"}, {"kind": "missing_fields"}, {"kind": "nulls"}])
@pytest.mark.parametrize("field", ["status", "type"])
@in_simulated_time
async def test_a_pack_that_does_not_plainly_read_as_timed_out_is_left_alone(staged, fault, field):
    async with staged() as stage:
        stage.pack = await stage.client.get_pack(ZONE, PACK)
        spoil(stage, "GET", **fault, fields=[field])
        assert (await stage.again()).reason is Reason.MOVED_ON
        assert "PATCH" not in stage.asked


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "json_error", "status": 404, "code": 1408}, Reason.MOVED_ON),
        ({"kind": "json_error", "status": 403, "code": 9103}, Reason.CREDENTIAL_REFUSED),
        ({"kind": "json_error", "status": 403, "code": 10000}, Reason.CREDENTIAL_REFUSED),
        ({"kind": "json_error", "status": 400, "code": 1234}, Reason.UNSEEN),
        ({"kind": "html_error", "status": 503}, Reason.UNSEEN),
        ({"kind": "rate_limited", "retry_after": 60}, Reason.UNSEEN),
        ({"kind": "reset"}, Reason.UNSEEN),
    ],
)
@in_simulated_time
async def test_a_pack_that_cannot_be_read_again_is_left_alone_and_why_is_said(staged, fault, reason):
    async with staged() as stage:
        stage.pack = await stage.client.get_pack(ZONE, PACK)
        spoil(stage, "GET", **fault)
        outcome = await stage.again()
        assert (outcome.reason, outcome.sent) == (reason, None)
        assert outcome.error.startswith("get_pack: ")
        assert "PATCH" not in stage.asked
        assert stage.intents() == []


@in_simulated_time
async def test_what_holds_a_restart_in_the_last_moment_is_its_reason(staged):
    async with staged() as stage:
        stage.budget.take("main", stage.clock.now())
        outcome = await stage.restart()
        assert (outcome.reason, outcome.sent) == (Reason.OVER_BUDGET, None)
        assert (stage.asked, stage.told) == (["GET"], ["restart_held"])
        assert stage.intents() == []


@in_simulated_time
async def test_a_forced_restart_is_made_whatever_is_decided(staged):
    async with staged() as stage:
        stage.budget.take("main", stage.clock.now())
        stage.rules = RestartRules(enabled=False, max_per_hour=1)
        assert (await stage.restart()).reason is Reason.DISABLED
        assert (await stage.again(force=True)).sent is Sent.ACCEPTED


@pytest.mark.parametrize("status", sorted(KNOWN_STATUSES - {VALIDATION_TIMED_OUT}))
@in_simulated_time
async def test_a_forced_restart_leaves_a_pack_alone_that_has_moved_on(staged, status):
    async with staged() as stage:
        stage.pack = await stage.client.get_pack(ZONE, PACK)
        stage.world.set_status(PACK, status)
        outcome = await stage.again(force=True)
        assert (outcome.reason, "PATCH" in stage.asked) == (Reason.MOVED_ON, False)


@in_simulated_time
async def test_an_authority_that_is_seen_to_refuse_at_the_last_look_holds_the_restart(staged):
    story = {"errors": ["The CA will not issue for this domain"]}
    zones = [{"name": "example.com", "packs": [{"status": "validation_timed_out", "story": story}]}]
    async with staged(zones=zones, unknowns={"errors_outlive_timeout": True}) as stage:
        components = stage.cycle.components
        components.configured = replace(components.configured, diagnoser=object())  # whoever it is
        stage.pack = replace(await stage.client.get_pack(ZONE, PACK), validation_errors=())
        outcome = await stage.again()
        assert (outcome.reason, "PATCH" in stage.asked) == (Reason.CA_REFUSES, False)


@in_simulated_time
async def test_without_a_disk_nothing_is_sent(staged):
    async with staged() as stage:
        stage.store.close()
        outcome = await stage.restart()
        assert (outcome.reason, outcome.sent) == (Reason.STATE_UNWRITABLE, None)
        assert "the intent could not be stored" in outcome.error
        assert (stage.asked, stage.told) == (["GET"], ["restart_held"])
        assert stage.memory.history(stage.pack).attempts == 0
        assert stage.budget_is_free()


@in_simulated_time
async def test_a_restart_that_another_process_has_just_made_is_not_made_again(staged):
    async with staged() as stage:
        now = stage.clock.now()
        theirs = History(attempts=1, trouble_since=now, last_restart_at=now, next_restart_at=now + WAIT)
        command = Store.open(stage.url, exclusive=False)
        command.intend(
            Intent(
                account="main",
                zone="example.com",
                zone_id=ZONE,
                pack_id=PACK,
                attempt=1,
                at=now,
                next_restart_at=now + WAIT,
            ),
            UNTROUBLED,
            theirs,
            anchor(stage.clock),
        )
        command.close()
        outcome = await stage.restart()
        assert (outcome.reason, outcome.sent) == (Reason.BACKING_OFF, None)
        assert stage.asked == ["GET"]
        assert stage.memory.history(stage.pack) == replace(theirs, last_error=outcome.error)
        assert stage.budget_is_free()


# ── what became of it ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("took_effect", [True, False])
@pytest.mark.parametrize("fault", LOST)
@in_simulated_time
async def test_a_lost_answer_is_settled_by_reading_the_pack_and_never_by_sending_again(staged, fault, took_effect):
    async with staged() as stage:
        spoil(stage, "PATCH", **LOST[fault], takes_effect=took_effect)
        outcome = await stage.restart()
        took_effect = bool(stage.world.restarts)  # an answer that is only slow or cut took effect in any case
        assert stage.asked == ["GET", "PATCH", "GET"]
        if took_effect:
            assert (outcome.sent, outcome.reason) == (Sent.ACCEPTED, Reason.RESTARTED)
            assert outcome.error.startswith("settled by reading the pack: restart_validation: ")
            assert outcome.pack.status in ("initializing", "pending_validation")
        else:
            assert (outcome.sent, outcome.reason) == (Sent.UNKNOWN, Reason.OUTCOME_UNKNOWN)
            assert outcome.error.startswith("restart_validation: ")
        assert (outcome.attempt, outcome.next_restart_at is None) == (1, False)
        await stage.memory.writer.flush()
        assert stage.intents() == [(1, outcome.sent.value)]
        assert stage.attempts() == [(1,)]


@in_simulated_time
async def test_an_outcome_that_cannot_be_read_either_stays_unknown_and_counts(staged):
    async with staged() as stage:
        spoil(stage, "PATCH", kind="reset", takes_effect=True)
        stage.wire.on_patch = lambda: spoil(stage, "GET", kind="html_error", status=503)
        outcome = await stage.restart()
        assert (outcome.sent, outcome.pack.status) == (Sent.UNKNOWN, VALIDATION_TIMED_OUT)
        assert stage.asked == ["GET", "PATCH", "GET", "GET", "GET"]
        await stage.memory.writer.flush()
        assert (stage.intents(), stage.attempts()) == ([(1, "unknown")], [(1,)])


@pytest.mark.parametrize("status", ["pending_deletion", "deleted"])
@in_simulated_time
async def test_a_pack_that_is_deleted_in_that_moment_was_not_restarted_for_all_we_know(staged, status):
    async with staged() as stage:
        stage.wire.on_patch = lambda: stage.world.set_status(PACK, status)  # the PATCH meets 1406 then
        outcome = await stage.restart()
        assert (outcome.sent, outcome.reason, outcome.pack.status) == (Sent.UNKNOWN, Reason.OUTCOME_UNKNOWN, status)


@in_simulated_time
async def test_a_restart_that_changes_the_id_is_shown_under_the_new_one(staged):
    async with staged(unknowns={"restart_changes_id": True}) as stage:
        outcome = await stage.restart()
        assert outcome.sent is Sent.ACCEPTED
        assert outcome.pack.id == stage.world.restarts[0].new_id != PACK


@in_simulated_time
async def test_what_the_answer_leaves_out_is_as_it_was(staged):
    async with staged() as stage:
        spoil(stage, "PATCH", kind="missing_fields")
        outcome = await stage.restart()
        assert outcome.sent is Sent.ACCEPTED
        assert outcome.pack == replace(stage.pack, validation_errors=())


def refused_connection():
    raise NotSent("refused") from ConnectionRefusedError(111, "Connection refused")


@in_simulated_time
async def test_a_429_withdraws_the_attempt(staged):
    async with staged() as stage:
        spoil(stage, "PATCH", kind="rate_limited", retry_after=60)
        outcome = await stage.restart()
        assert (outcome.sent, outcome.reason, outcome.attempt) == (Sent.REFUSED, Reason.REFUSED, 0)
        assert stage.asked == ["GET", "PATCH"]
        assert (stage.intents(), stage.attempts()) == ([], [])
        assert stage.memory.history(stage.pack).attempts == 0
        assert stage.budget_is_free()


@in_simulated_time
async def test_a_credential_that_may_not_write_withdraws_the_attempt(staged):
    async with staged(tokens=[{"value": "simulated-token", "permissions": ["read"]}]) as stage:
        for reason in (Reason.REFUSED, Reason.REFUSED, Reason.CREDENTIAL_REFUSED):
            outcome = await stage.restart()
            assert (outcome.sent, outcome.reason) == (Sent.REFUSED, reason)
            assert "Zone / SSL and Certificates / Edit" in outcome.error
            assert (stage.intents(), stage.attempts()) == ([], [])
            await stage.clock.sleep(timedelta(minutes=4))


NOTHING_DONE = [
    {"kind": "json_error", "status": 403, "code": 10001, "message": "Method not allowed for token"},
    {"kind": "json_error", "status": 400, "code": 10001, "message": "Internal error"},
    {"kind": "json_error", "status": 400, "code": 1000, "message": "Request timeout"},
    {"kind": "json_error", "status": 200, "code": 971, "message": "Please wait"},
    {"kind": "json_error", "status": 400, "code": 10500, "message": "no"},
    {"kind": "json_error", "status": 403, "code": 9103, "message": "Unknown X-Auth-Key or X-Auth-Email"},
    {"kind": "html_error", "status": 403},
]


@pytest.mark.parametrize("fault", NOTHING_DONE)
@in_simulated_time
async def test_where_cloudflare_did_nothing_no_attempt_is_spent(staged, fault):
    async with staged() as stage:
        spoil(stage, "PATCH", **fault)
        outcome = await stage.restart()
        expected = Reason.CREDENTIAL_REFUSED if fault.get("code") in {9103, 10001} and fault["status"] == 403 else None
        assert (outcome.sent, outcome.reason) == (Sent.REFUSED, expected or Reason.REFUSED)
        assert (stage.intents(), stage.attempts()) == ([], [])
        assert len(stage.world.ledger) <= 3


@pytest.mark.parametrize("code", [1000, 10001])
@in_simulated_time
async def test_a_restart_that_took_effect_though_cloudflare_said_it_stumbled_is_one(staged, code):
    async with staged() as stage:
        spoil(stage, "PATCH", kind="json_error", status=400, code=code, message="internal error", takes_effect=True)
        outcome = await stage.restart()
        assert (outcome.sent, outcome.reason, outcome.attempt) == (Sent.ACCEPTED, Reason.RESTARTED, 1)


@in_simulated_time
async def test_where_a_credential_may_not_write_it_is_tried_again_after_a_quarter_of_an_hour(staged):
    async with staged() as stage:
        spoil(stage, "PATCH", kind="json_error", status=403, code=10001, message="Method not allowed for token")
        refused = await stage.restart()
        await stage.clock.sleep(timedelta(seconds=PROBE_EVERY - 1))
        held = await stage.restart()
        assert (held.sent, held.reason, held.error) == (None, Reason.CREDENTIAL_REFUSED, refused.error)
        assert (stage.asked, stage.told) == ([], [])
        assert stage.client.restart_held("another zone") is None
        await stage.clock.sleep(timedelta(seconds=1))
        again = await stage.restart()
        assert (again.sent, stage.asked) == (Sent.REFUSED, ["GET", "PATCH"])


@in_simulated_time
async def test_a_credential_that_may_write_again_is_held_no_more(staged):
    async with staged() as stage:
        spoil(stage, "PATCH", kind="json_error", status=403, code=10000)
        await stage.restart()
        await stage.clock.sleep(timedelta(seconds=PROBE_EVERY))
        stage.world.faults.clear()
        assert (await stage.restart()).reason is Reason.RESTARTED
        assert stage.client.restart_held(ZONE) is None


@in_simulated_time
async def test_a_credential_that_is_stopped_meanwhile_sends_nothing_and_withdraws_the_attempt(staged):
    async with staged() as stage:
        stage.telemetry.names = Stops(stage.client.credential)
        outcome = await stage.restart()
        assert (outcome.sent, outcome.reason) == (None, Reason.CREDENTIAL_REFUSED)
        assert stage.asked == ["GET"]
        assert (stage.intents(), stage.attempts()) == ([], [])


class Stops(list):
    """When told that a restart is on its way, another call's answer refuses the credential."""

    def __init__(self, credential):
        super().__init__()
        self.credential = credential

    def __iadd__(self, names):
        if "restart_intended" in names:
            self.credential.note(Sign.REFUSED, "Invalid access token")
        return super().__iadd__(names)


@in_simulated_time
async def test_what_was_read_too_long_ago_is_not_restarted_and_the_attempt_is_withdrawn(staged):
    async with staged() as stage:
        stage.telemetry.names = TakesTime(11)
        outcome = await stage.restart()
        assert (outcome.sent, outcome.reason) == (None, Reason.REFUSED)
        assert stage.asked == ["GET"]
        assert (stage.intents(), stage.attempts()) == ([], [])


@in_simulated_time
async def test_what_was_read_too_long_ago_is_not_restarted_though_it_took_two_tries_to_read_it(staged):
    async with staged() as stage:
        stage.pack = await stage.client.get_pack(ZONE, PACK)
        spoil(stage, "GET", kind="text_error", status=522, times=1)
        stage.telemetry.names = TakesTime(11)
        outcome = await stage.again()
        assert (outcome.sent, outcome.reason) == (None, Reason.REFUSED)
        assert stage.asked == ["GET", "GET", "GET"]


class TakesTime(list):
    """The process is stopped for some seconds right after it has stored the intent."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def __iadd__(self, names):
        if "restart_intended" in names:
            asyncio.get_running_loop().simulated += self.seconds
        return super().__iadd__(names)


@in_simulated_time
async def test_a_connection_that_is_refused_withdraws_the_attempt_and_nothing_was_sent(staged):
    async with staged() as stage:
        stage.wire.on_patch = refused_connection
        outcome = await stage.restart()
        assert (outcome.sent, outcome.reason) == (None, Reason.REFUSED)
        assert stage.asked == ["GET"]
        assert (stage.intents(), stage.attempts()) == ([], [])


@in_simulated_time
async def test_an_attempt_that_cannot_be_withdrawn_counts(staged):
    async with staged() as stage:

        def refused_and_disk_gone():
            stage.store.close()
            refused_connection()

        stage.wire.on_patch = refused_and_disk_gone
        outcome = await stage.restart()
        assert outcome.reason is Reason.REFUSED
        assert stage.memory.history(stage.pack).attempts == 1
        assert not stage.budget_is_free()
        assert (stage.intents(), stage.attempts()) == ([(1, None)], [(1,)])


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"status": 400, "code": 1499, "message": "has not timed out"}, Reason.REFUSED),
        ({"status": 403, "code": 1450}, Reason.ORDERED_BY_CLOUDFLARE),
        ({"status": 404, "code": 1408}, Reason.REFUSED),
        ({"status": 422}, Reason.REFUSED),
    ],
)
@in_simulated_time
async def test_a_refusal_of_this_pack_counts_as_an_attempt(staged, fault, reason):
    async with staged() as stage:
        spoil(stage, "PATCH", kind="json_error", **fault)
        outcome = await stage.restart()
        assert (outcome.sent, outcome.reason, outcome.attempt) == (Sent.REFUSED, reason, 1)
        assert stage.asked == ["GET", "PATCH"]
        await stage.memory.writer.flush()
        assert (stage.intents(), stage.attempts()) == ([(1, "refused")], [(1,)])


@in_simulated_time
async def test_no_next_restart_is_promised_for_a_pack_that_cloudflare_ordered_itself(staged):
    async with staged() as stage:
        spoil(stage, "PATCH", kind="json_error", status=403, code=1450)
        assert (await stage.restart()).next_restart_at is None


@pytest.mark.parametrize("after", [10, 29])
@in_simulated_time
async def test_a_process_that_dies_while_the_patch_is_on_its_way_has_made_an_attempt(staged, after):
    async with staged() as stage:
        spoil(stage, "PATCH", kind="slow", delay="20s" if after < 20 else "30s")
        sent_at = stage.clock.now()
        dying = asyncio.create_task(stage.restart())
        await stage.clock.sleep(timedelta(seconds=after))
        dying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dying
        reborn = Memory(stage.store, stage.worker)
        recalled = await reborn.recall(anchor(stage.clock))
        (found,) = recalled.open_intents
        assert (found[1].pack_id, found[1].attempt, found[1].at) == (PACK, 1, sent_at)
        assert reborn.history(stage.pack) == History(
            attempts=1, trouble_since=sent_at, last_restart_at=sent_at, next_restart_at=sent_at + WAIT
        )
        assert recalled.restarts == [("main", sent_at)]
        Intents(stage.store, reborn).settle(found[0], Sent.UNKNOWN, "the process ended", stage.clock.now())
        await reborn.writer.flush()
        assert (await Memory(stage.store, stage.worker).recall(anchor(stage.clock))).open_intents == []
        assert (stage.intents(), stage.attempts()) == ([(1, "unknown")], [(1,)])


any_fault = st.sampled_from(
    [
        None,
        *(fault for name, fault in LOST.items() if name != "huge"),
        {"kind": "json_error", "status": 400, "code": 1406},
        {"kind": "json_error", "status": 403, "code": 10000},
        {"kind": "json_error", "status": 404, "code": 1408},
        {"kind": "rate_limited", "retry_after": 5},
        {"kind": "nulls"},
        {"kind": "unknown_words"},
    ]
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(any_fault, any_fault, any_fault, st.booleans())
def test_whatever_goes_wrong_there_is_one_patch_at_most_and_what_took_effect_is_counted(
    staged, reading, sending, settling, takes_effect
):
    async def work():
        async with staged() as stage:
            stage.pack = await stage.client.get_pack(ZONE, PACK)
            if reading:
                spoil(stage, "GET", **reading, times=1)
            if sending:
                spoil(stage, "PATCH", **sending, takes_effect=takes_effect)
            stage.wire.on_patch = lambda: settling and spoil(stage, "GET", **settling)
            outcome = await stage.again()
            await stage.memory.writer.flush()
            assert stage.asked.count("PATCH") <= 1
            counted = stage.memory.history(stage.pack).attempts
            assert stage.attempts() == [(counted,)] * counted
            assert [row[0] for row in stage.intents()] == [1] * counted
            assert all(said is not None for _, said in stage.intents())
            if stage.world.restarts and not (sending and sending.get("status") in (403, 404, 400)):
                throttled = sending is not None and sending["kind"] == "rate_limited"
                assert counted == (0 if throttled else 1)
            if outcome.sent is Sent.ACCEPTED and (settling or {}).get("kind") != "unknown_words":
                assert stage.world.restarts
            if not stage.asked.count("PATCH"):
                assert (counted, outcome.sent) == (0, None)

    simulated(work)
