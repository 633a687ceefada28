"""The promise that matters most: what no PATCH is ever sent for, whatever Cloudflare shows or does in between."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.fleet import Start, timed_out
from tests.harness.time import in_simulated_time, simulated
from watchdog.model.packs import KNOWN_STATUSES
from watchdog.simulator.scenario import pack_id

ZONE = "a.example"
TYPES = (
    "advanced",
    "universal",
    "total_tls",
    "sni_custom",
    "mh_custom",
    "managed_hostname",
    "keyless",
    "legacy_custom",
)
strange = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)


@settings(max_examples=60)
@given(
    packs=st.lists(
        st.tuples(
            st.sampled_from([*sorted(KNOWN_STATUSES)]) | st.just("validation_timed_out") | strange,
            st.sampled_from(TYPES) | st.just("advanced") | strange,
        ),
        min_size=1,
        max_size=8,
    )
)
def test_only_advanced_packs_that_timed_out_are_ever_restarted_and_only_universal_ones_rechecked(
    tmp_path_factory, packs
):
    async def story():
        zones = {ZONE: [{"status": status, "type": kind, "story": {"stuck_in": status}} for status, kind in packs]}
        async with Start(tmp_path_factory.mktemp("state"))(zones) as fleet:
            await fleet.look()
            asked = [request.path.rsplit("/", 2)[1:] for request in fleet.asked("PATCH")]
            return [{pack for door, pack in asked if door == one} for one in ("certificate_packs", "verification")]

    def of(kind):
        return {pack_id(ZONE, n) for n, pack in enumerate(packs) if pack == ("validation_timed_out", kind)}

    restarted, rechecked = simulated(story)
    assert restarted == of("advanced")
    assert rechecked == of("universal")  # which spends nothing, and changes nothing of the order


@in_simulated_time
async def test_a_pack_whose_status_and_type_turn_into_words_nobody_knows_is_shown_and_left_alone(start):
    async with start({ZONE: [timed_out()]}) as fleet:
        fleet.fault(kind="unknown_words")
        await fleet.watch(minutes=20)
        assert fleet.patches() == []
        assert (fleet.row(ZONE)["status"], fleet.row(ZONE)["reason"]) == ("pending_moonrise", "unknown_status")


@pytest.mark.parametrize("status", ["active", "pending_validation", "deleted", "issuance_timed_out"])
@in_simulated_time
async def test_a_pack_that_moved_on_between_the_list_and_the_restart_is_not_patched(start, status):
    async with start({ZONE: [timed_out()]}) as fleet:
        pack = pack_id(ZONE, 0)
        fleet.wire.before("GET", pack, lambda: fleet.world.set_status(pack, status))
        await fleet.look()
        assert fleet.patches() == []
        row = fleet.row(ZONE)
        assert (row["status"], row["attempts"], row["next_restart_at"]) == (status, 0, None)


@in_simulated_time
async def test_a_pack_that_is_gone_between_the_list_and_the_restart_is_not_patched(start):
    async with start({ZONE: [timed_out()]}, scenario={"deleted_shows": 0}) as fleet:
        pack = pack_id(ZONE, 0)
        fleet.wire.before("GET", pack, lambda: fleet.world.delete_pack(pack))
        await fleet.watch(minutes=30)
        assert fleet.patches() == []
        assert fleet.row(ZONE)["status"] == "deleted"
        assert len(fleet.events("pack_changed")) == 1


@in_simulated_time
async def test_a_pack_that_is_gone_between_the_list_and_the_restart_asks_for_no_person(start):
    async with start({ZONE: [timed_out()]}, scenario={"deleted_shows": 0}) as fleet:
        pack = pack_id(ZONE, 0)
        fleet.wire.before("GET", pack, lambda: fleet.world.delete_pack(pack))
        await fleet.watch(minutes=0.5)
        assert fleet.row(ZONE)["reason"] == "moved_on"
        assert fleet.row(ZONE)["needs_person"] is False


@in_simulated_time
async def test_a_pack_that_is_deleted_amid_its_backoff_is_told_once_and_asked_for_no_more(start):
    async with start({ZONE: [timed_out()]}) as fleet:
        await fleet.watch(minutes=8)
        fleet.world.delete_pack(pack_id(ZONE, 0))
        await fleet.watch(hours=3)
        assert len(fleet.patches()) == 1
        assert [dict(e.facts)["status"] for e in fleet.events("pack_changed")].count("deleted") == 1
        assert fleet.row(ZONE)["reason"] == "going_away"


@pytest.mark.repeats
@in_simulated_time
async def test_a_dry_run_sends_no_patch_ever_and_says_once_what_it_would_do(start):
    zones = {ZONE: [timed_out(), {"status": "active"}]}
    async with start(zones, dry_run=True) as fleet:
        await fleet.watch(hours=6)
        assert fleet.patches() == []
        assert [event.reason for event in fleet.events("restart_held")] == ["dry_run"]
        row = fleet.row(ZONE)
        assert (row["decision"], row["reason"], row["attempts"]) == ("restart", "dry_run", 0)
        assert fleet.telemetry.reports[0].dry_run
        assert fleet.metric("restarts_total") == 0


@in_simulated_time
async def test_a_dry_run_leaves_nothing_that_holds_the_next_real_run_back(start):
    async with start({ZONE: [timed_out()]}, dry_run=True) as fleet:
        await fleet.watch(minutes=5)
    async with start({ZONE: []}, world=fleet.world) as again:
        await again.look()
        assert len(again.patches()) == 1


@in_simulated_time
async def test_with_a_state_that_takes_no_writes_nothing_is_restarted(start):
    async with start({ZONE: [timed_out("succeeds")]}) as fleet:
        fleet.unwritable()
        await fleet.watch(hours=1)
        assert fleet.patches() == []
        assert fleet.row(ZONE)["reason"] == "state_unwritable"
        assert fleet.row(ZONE)["attempts"] == 0
        assert "cannot be written" in fleet.row(ZONE)["last_error"]
        assert len(fleet.events("restart_held")) == 1
        fleet.unwritable(on=False)
        await fleet.watch(minutes=30)
        assert len(fleet.patches()) == 1
        assert fleet.row(ZONE)["reason"] == "healthy"


@in_simulated_time
async def test_with_a_state_that_takes_no_writes_and_a_small_budget_each_pack_is_held_for_one_reason(start):
    zones = {f"z{n}.example": [timed_out(after=f"{9 - n}m"), timed_out(hosts=[f"x.z{n}.example"])] for n in range(4)}
    async with start(zones, config={"restart": {"max_per_hour": 2}}) as fleet:
        fleet.unwritable()
        await fleet.watch(minutes=15)
        settled = len(fleet.events("restart_held"))
        await fleet.watch(hours=1)
        assert len(fleet.events("restart_held")) == settled
        reasons = Counter(row["reason"] for zone in zones for row in fleet.rows(zone))
        assert reasons == {"state_unwritable": 2, "over_budget": 6}


@in_simulated_time
async def test_only_the_packs_that_the_configuration_names_are_restarted(start):
    named = pack_id(ZONE, 1).replace("-", "").upper()  # in the other spelling
    per_zone = {ZONE: {"packs": [named]}}
    async with start({ZONE: [timed_out(), timed_out(hosts=["x.a.example"])]}, config={"per_zone": per_zone}) as fleet:
        await fleet.look()
        assert [request.path.rsplit("/", 1)[1] for request in fleet.asked("PATCH")] == [pack_id(ZONE, 1)]
        assert [row["pack_id"] for row in fleet.rows(ZONE)] == [pack_id(ZONE, 1)]


@in_simulated_time
async def test_a_pack_of_the_configuration_that_is_not_there_is_told_once_and_stays_visible(start):
    missing = "0" * 32
    per_zone = {ZONE: {"packs": [missing, pack_id(ZONE, 0)]}}
    async with start({ZONE: [{"status": "active"}]}, config={"per_zone": per_zone}) as fleet:
        await fleet.watch(hours=3)
        assert [(event.reason, event.pack.id) for event in fleet.events("zone_unseen")] == [("not_found", missing)]
        assert {row["pack_id"]: row["reason"] for row in fleet.rows(ZONE)} == {
            missing: "not_found",
            pack_id(ZONE, 0): "healthy",
        }
