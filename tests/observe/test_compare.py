"""What is new in a look: what is told once, what is gone and not forgotten at once, ids that change."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.values import replace
from watchdog.model.decisions import Decision, Do
from watchdog.model.history import UNTROUBLED, History, Remembered, ZoneMemory
from watchdog.model.observation import Known, Seen, Unseen
from watchdog.model.pack_ids import canonical_id
from watchdog.model.packs import KNOWN_STATUSES, Pack, ZoneRef
from watchdog.model.reasons import Reason
from watchdog.observe.compare import MISSING, compare, renamed

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = T0 + HOUR
ZONE = ZoneRef("main", "example.com", "z1")
UUID = "3822ff90-ea29-44df-9e55-21300bb9419b"
HEALTHY = Decision(Do.LEAVE, Reason.HEALTHY)
STUCK = "validation_timed_out"


def pack(name="p1", status="active", hosts=("*.example.com", "example.com"), ca="google"):
    return Pack(id=name, zone_id="z1", type="advanced", status=status, hosts=hosts, certificate_authority=ca)


def remembered_as(pack, zone):
    return Remembered(account=zone.account, zone=zone.label, pack=pack, since=T0, seen_at=T0, decision=HEALTHY)


def known(*packs, histories=(), zone=ZONE):
    """What was known after a good look at ``T0`` that found these packs; ``histories`` by pack."""
    remembered = {each.id: remembered_as(each, zone) for each in packs}
    before = ZoneMemory(account=zone.account, label=zone.label, id=zone.id, tried_at=T0, seen_at=T0)
    return Known(before, remembered, {each.key: history for each, history in dict(histories).items()})


def tried(attempts=3, at=T0):
    return History(attempts=attempts, trouble_since=at, last_restart_at=at, next_restart_at=at + HOUR)


def look(before, *packs, zone=ZONE, missing=(), partial=False):
    return compare(before, Seen(zone, packs, tuple(missing)), NOW, partial=partial)


def told(difference):
    facts = [(event, dict(event.facts)) for event in difference.events]
    return [(e.name, e.pack.id if e.pack else "", of.get("before"), of.get("status")) for e, of in facts]


def test_a_healthy_fleet_is_seen_without_a_word():
    packs = [pack(f"p{n}", hosts=(f"h{n}.example",)) for n in range(9)]
    for before in (known(), known(*packs)):
        difference = look(before, *packs)
        assert (difference.events, difference.histories, difference.packs, difference.forgotten) == ([], {}, [], [])
        assert difference.zone == ZoneMemory(account="main", label="example.com", id="z1", seen_at=NOW, tried_at=NOW)


def test_a_status_that_changes_is_told():
    assert told(look(known(pack(status="pending_validation")), pack())) == [
        ("pack_changed", "p1", "pending_validation", "active")
    ]


def test_a_bad_status_is_told_at_first_sight_too():
    assert {name for _, name, _, _ in told(look(known(), *(pack(each, each) for each in KNOWN_STATUSES)))} == {
        *("initializing_timed_out", "issuance_timed_out", "deployment_timed_out", "deletion_timed_out"),
        *("expired", "pending_expiration"),
    }


def test_a_time_out_is_a_warning_and_a_recovery_is_none():
    assert [look(known(pack()), pack(status=each)).events[0].level for each in (STUCK, "expired", "initializing")] == [
        *("warning", "warning", "info")
    ]


def test_trouble_counts_from_the_look_that_saw_it():
    assert look(known(pack()), pack(status=STUCK)).histories == {("z1", "p1"): History(trouble_since=NOW)}


def test_trouble_that_goes_on_changes_nothing():
    stuck = pack(status=STUCK)
    assert look(known(stuck, histories={stuck: tried()}), stuck).histories == {}


def test_a_recovery_ends_the_history_and_is_told_with_its_cost():
    stuck = pack(status=STUCK)
    difference = look(known(stuck, histories={stuck: tried(2)}), pack())
    assert [event.name for event in difference.events] == ["pack_changed", "recovered"]
    assert dict(difference.events[1].facts) == {"after_seconds": 3600, "restarts": 2}
    assert difference.histories == {("z1", "p1"): UNTROUBLED}


# ── zones that could not be seen ─────────────────────────────────────────────────────────────────────────────────────

BLIND = Unseen(ZONE, Reason.UNSEEN, "list_packs: HTTP 502")


def test_a_zone_that_cannot_be_seen_keeps_what_is_known_and_says_why():
    difference = compare(known(pack()), BLIND, NOW)
    assert difference.zone == ZoneMemory(
        account="main",
        label="example.com",
        id="z1",
        seen_at=T0,
        tried_at=NOW,
        reason="unseen",
        error="list_packs: HTTP 502",
    )
    assert (difference.packs, difference.forgotten, difference.histories) == ([], [], {})


@pytest.mark.parametrize(("reason", "level"), [("", "error"), ("credential_refused", "error"), ("unseen", "debug")])
def test_it_is_told_loudly_unless_it_could_not_be_seen_for_the_same_reason_before(reason, level):
    before = known()
    before = replace(before, zone=replace(before.zone, reason=reason))
    assert [event.level for event in compare(before, BLIND, NOW).events] == [level]


def test_a_zone_that_cannot_be_seen_keeps_the_id_that_was_found_for_its_name():
    assert compare(known(), replace(BLIND, zone=replace(ZONE, id="")), NOW).zone.id == "z1"


def test_a_good_look_clears_the_error():
    before = known()
    before = replace(before, zone=replace(before.zone, reason="unseen", error="list_packs: HTTP 502"))
    assert (look(before).zone.reason, look(before).zone.error) == ("", "")


# ── packs that go, or never were ─────────────────────────────────────────────────────────────────────────────────────


def test_a_pack_that_vanishes_is_shown_as_deleted_since_it_was_missed():
    difference = look(known(pack(), pack("p2", hosts=("b.example",))), pack())
    assert told(difference) == [("pack_changed", "p2", "active", "deleted")]
    (gone,) = difference.packs
    assert (gone.pack.status, gone.since, gone.seen_at) == ("deleted", NOW, T0)
    assert gone.decision == Decision(Do.LEAVE, Reason.GOING_AWAY)


@pytest.mark.parametrize("status", ["deleted", "pending_deletion"])
def test_a_pack_that_was_on_its_way_out_is_not_told_again(status):
    difference = look(known(pack(status=status)))
    assert (difference.events, difference.packs) == ([], [])


def test_a_partial_look_says_nothing_of_the_packs_it_did_not_look_at():
    difference = look(known(pack(), pack("p2", hosts=("b.example",))), pack(), partial=True)
    assert (difference.zone, difference.events, difference.packs) == (None, [], [])


PINNED = replace(ZONE, packs=frozenset({canonical_id(UUID)}))
NOWHERE = replace(
    known(Pack(id=canonical_id(UUID), zone_id="z1", type="", status="", hosts=())).packs[canonical_id(UUID)],
    decision=MISSING,
)


def test_a_configured_pack_that_was_never_there_is_told_and_not_called_deleted():
    difference = look(known(), zone=PINNED, missing=[canonical_id(UUID)])
    assert told(difference) == [("zone_unseen", canonical_id(UUID), None, None)]
    (nowhere,) = difference.packs
    assert (nowhere.pack.status, nowhere.decision.reason, nowhere.since) == ("", Reason.NOT_FOUND, NOW)


def test_a_configured_pack_that_was_missed_before_is_not_told_again():
    before = replace(known(), packs={NOWHERE.pack.id: NOWHERE})
    difference = look(before, zone=PINNED, missing=[canonical_id(UUID)])
    assert (difference.events, difference.packs, difference.forgotten) == ([], [], [])


def test_a_configured_pack_that_appears_at_last_takes_its_place_under_cloudflares_id():
    before = replace(known(), packs={NOWHERE.pack.id: NOWHERE})
    difference = look(before, pack(UUID), zone=PINNED)
    assert (difference.events, difference.forgotten) == ([], [("z1", canonical_id(UUID))])


def test_a_pack_that_was_never_there_is_forgotten_once_nobody_asks_for_it():
    before = replace(known(), packs={NOWHERE.pack.id: NOWHERE})
    assert look(before, pack()).forgotten == [("z1", canonical_id(UUID))]


def test_a_configured_pack_that_vanishes_is_not_found_under_any_spelling():
    difference = look(known(pack(UUID)), zone=PINNED, missing=[canonical_id(UUID)])
    assert told(difference) == [("pack_changed", UUID, "active", "deleted")]
    assert [each.decision.reason for each in difference.packs] == [Reason.NOT_FOUND]


def test_packs_that_are_no_longer_configured_are_neither_missed_nor_called_deleted():
    difference = look(known(pack(), pack("p2", hosts=("b.example",))), pack(), zone=replace(ZONE, packs={"p1"}))
    assert (difference.events, difference.packs, difference.forgotten) == ([], [], [])


def test_packs_of_a_zone_that_is_watched_through_another_account_are_left_to_that():
    before = known(pack(), zone=replace(ZONE, account="other"))
    assert look(before).packs == []


# ── packs that change their id ───────────────────────────────────────────────────────────────────────────────────────

OLD, NEW = pack(status=STUCK), pack("p9", STUCK)


def replaced(difference):
    """The ids before and after of every pack that is told to be replaced."""
    events = [event for event in difference.events if event.name == "pack_replaced"]
    assert {event.level for event in events} <= {"info"}
    return [(dict(event.facts)["old_pack_id"], event.pack.id) for event in events]


def test_what_was_tried_goes_on_under_another_id_with_the_same_hosts_ca_and_type():
    difference = look(known(OLD, histories={OLD: tried()}), NEW)
    assert difference.histories == {NEW.key: tried(), OLD.key: UNTROUBLED}
    assert (difference.forgotten, replaced(difference)) == ([OLD.key], [("p1", "p9")])


def test_a_renewal_under_another_id_is_told_once_and_the_old_id_forgotten():
    difference = look(known(pack()), pack("p9", "pending_deployment"))
    assert told(difference) == [("pack_replaced", "p9", "active", "pending_deployment")]
    assert difference.forgotten == [("z1", "p1")]


def test_a_successor_that_recovers_at_once_ends_the_trouble():
    difference = look(known(OLD, histories={OLD: tried(2)}), pack("p9"))
    assert [event.name for event in difference.events] == ["pack_replaced", "recovered"]
    assert difference.histories == {OLD.key: UNTROUBLED, NEW.key: UNTROUBLED}


@pytest.mark.parametrize("status", ["deleted", "pending_deletion"])
def test_a_pack_that_is_listed_as_going_is_replaced_as_one_that_is_gone(status):
    assert replaced(look(known(pack()), pack(status=status), pack("p9"))) == [("p1", "p9")]


def test_two_packs_of_one_identity_that_live_beside_each_other_replace_none():
    assert replaced(look(known(pack()), pack(), pack("p9"))) == []


def test_a_pack_that_lived_beside_another_replaces_it_when_that_goes():
    for gone in ([], [pack(status="deleted")]):
        assert replaced(look(known(pack(), pack("p9")), pack("p9"), *gone)) == [("p1", "p9")]


def test_a_pack_that_comes_after_the_other_had_gone_replaces_it():
    assert replaced(look(known(pack(status="deleted")), pack("p9"))) == [("p1", "p9")]


def test_of_several_that_had_gone_the_last_is_replaced():
    first, second = (known(pack(name, "deleted")).packs[name] for name in ("p1", "p2"))
    before = replace(known(), packs={"p1": replace(first, since=T0 - HOUR), "p2": second})
    assert replaced(look(before, pack("p9"))) == [("p2", "p9")]


def test_of_two_that_may_stand_in_its_place_the_deployed_one_does():
    """The other may be the backup of a universal pack, which is still on its way."""
    for found in ((pack("p8"), pack("p9", "pending_validation")), (pack("p9", "pending_validation"), pack("p8"))):
        assert replaced(look(known(pack()), *found)) == [("p1", "p8")]


def test_one_that_has_just_come_goes_before_a_deployed_one_that_was_there():
    """It is what a restart made of the old one, whose holder died before it wrote that down."""
    twin, new = pack("p8"), pack("p9", "validation_timed_out")
    for found in ((twin, new), (new, twin)):
        assert replaced(look(known(pack(status="validation_timed_out"), twin), *found)) == [("p1", "p9")]


def test_what_was_replaced_once_is_not_told_again():
    assert replaced(look(known(pack(status="deleted"), pack("p9")), pack("p9"))) == []
    assert replaced(look(known(pack(status="deleted"), pack("p9")), pack(status="deleted"), pack("p9"))) == []


@pytest.mark.parametrize("status", ["backup_issued", "staging_active", "deleted"])
def test_a_pack_that_is_not_deployed_or_goes_itself_replaces_none(status):
    assert replaced(look(known(pack()), pack("p9", status))) == []


def test_packs_of_another_account_are_replaced_there():
    assert replaced(look(known(pack(), zone=replace(ZONE, account="other")), pack("p9"))) == []


NAMED = replace(ZONE, packs=frozenset({"p1"}))


def test_a_pack_that_the_configuration_names_is_kept_as_deleted_so_that_its_identity_stays_known():
    difference = look(known(pack()), pack("p9"), zone=NAMED)
    assert (replaced(difference), difference.forgotten) == ([("p1", "p9")], [])
    assert [(each.pack.id, each.pack.status, each.decision.reason) for each in difference.packs] == [
        ("p1", "deleted", Reason.GOING_AWAY)
    ]


def test_the_successor_of_a_named_pack_is_replaced_and_forgotten_in_its_turn():
    difference = look(known(pack(status="deleted"), pack("p9")), pack("p20"), zone=NAMED)
    assert (replaced(difference), difference.forgotten) == ([("p9", "p20")], [("z1", "p9")])


def test_the_successor_of_a_named_pack_that_vanishes_is_not_found():
    difference = look(known(pack(status="deleted"), pack("p9")), zone=NAMED, missing=["p1"])
    assert told(difference) == [("pack_changed", "p9", "active", "deleted")]
    assert [each.decision.reason for each in difference.packs] == [Reason.NOT_FOUND]


HOSTS = ("*.example.com", "example.com")
BY_HOSTS = replace(ZONE, hosts=frozenset({HOSTS}))


def test_a_pack_named_by_its_hosts_is_replaced_and_its_old_id_forgotten():
    difference = look(known(pack()), pack("p9"), zone=BY_HOSTS)
    assert (replaced(difference), difference.forgotten) == ([("p1", "p9")], [("z1", "p1")])


def test_hosts_of_which_there_is_no_pack_are_told_once():
    first = look(known(), zone=BY_HOSTS, missing=[" ".join(HOSTS)])
    assert told(first) == [("zone_unseen", " ".join(HOSTS), None, None)]
    before = replace(known(), packs={each.pack.id: each for each in first.packs})
    again = look(before, zone=BY_HOSTS, missing=[" ".join(HOSTS)])
    assert (again.events, again.packs, again.forgotten) == ([], [], [])


def test_hosts_of_which_there_is_a_pack_at_last_are_not_missing_any_more():
    first = look(known(), zone=BY_HOSTS, missing=[" ".join(HOSTS)])
    before = replace(known(), packs={each.pack.id: each for each in first.packs})
    difference = look(before, pack(), zone=BY_HOSTS)
    assert (difference.events, difference.forgotten) == ([], [("z1", " ".join(HOSTS))])


def test_packs_of_other_hosts_are_left_alone_where_some_are_named():
    difference = look(known(pack("p2", hosts=("b.example",))), zone=BY_HOSTS)
    assert (difference.events, difference.packs, difference.forgotten) == ([], [], [])


def test_a_restart_whose_answer_names_another_id_hands_the_history_over():
    difference = renamed(known(OLD, histories={OLD: tried()}), ZONE, OLD, NEW, NOW)
    assert (replaced(difference), difference.forgotten) == ([("p1", "p9")], [OLD.key])
    assert difference.histories == {NEW.key: tried(), OLD.key: UNTROUBLED}


def test_the_old_id_that_is_still_listed_after_a_restart_inherits_nothing_back():
    gone = pack(status="deleted")
    assert look(known(NEW, histories={NEW: tried()}), NEW, gone).histories == {}


@pytest.mark.parametrize(
    "other",
    [
        pack("p9", STUCK, hosts=("other.example",)),
        pack("p9", STUCK, ca="lets_encrypt"),
        replace(NEW, type="universal"),
        pack("p9", STUCK, hosts=()),
    ],
)
def test_another_pack_starts_with_a_clean_sheet(other):
    old = replace(OLD, hosts=OLD.hosts if other.hosts else ())
    assert look(known(old, histories={old: tried()}), old, other).histories == {other.key: History(trouble_since=NOW)}


def test_of_several_predecessors_the_one_that_was_restarted_last_is_followed():
    olds = {pack(f"p{n}", STUCK): tried(n, T0 + (n % 3) * HOUR) for n in (1, 2, 3)}
    assert look(known(*olds, histories=olds), NEW, *olds).histories[NEW.key].attempts == 2


def test_a_pack_with_a_history_of_its_own_inherits_none():
    assert look(known(OLD, histories={OLD: tried(5), NEW: tried(1)}), OLD, NEW).histories == {}


@pytest.mark.parametrize("status", ["backup_issued", "staging_active", "staging_deployment"])
def test_an_undeployed_pack_of_the_same_identity_is_no_successor(status):
    other = pack("p9", status)
    difference = look(known(OLD, other, histories={OLD: tried()}), other)
    assert (difference.forgotten, [each.pack.id for each in difference.packs]) == ([], ["p1"])
    assert NEW.key not in look(known(OLD, histories={OLD: tried()}), other).histories


# ── any look ─────────────────────────────────────────────────────────────────────────────────────────────────────────

statuses = st.sampled_from([*sorted(KNOWN_STATUSES), "", "pending_moonrise"])
hosts = st.sampled_from([(), ("x.example",), ("y.example",)])
packs = st.lists(st.builds(pack, st.sampled_from("abc"), statuses, hosts), max_size=3, unique_by=lambda each: each.id)
attempts = st.dictionaries(st.sampled_from("abc"), st.integers(1, 9))


@given(packs, packs, attempts)
def test_every_known_pack_is_seen_or_missed_or_forgotten_and_never_just_gone(before, after, counts):
    histories = {each: tried(counts[each.id]) for each in before if each.id in counts}
    difference = look(known(*before, histories=histories), *after)
    there = {each.key for each in after} | set(difference.forgotten) | {each.pack.key for each in difference.packs}
    going = {each.key for each in before if each.status in {"deleted", "pending_deletion", "pending_cleanup"}}
    going |= {each.key for each in before if each.status in {"deactivating", "inactive"}}
    assert {each.key for each in before} <= there | going


@given(packs)
def test_a_look_that_finds_what_was_known_has_nothing_to_tell(found):
    histories = {each: History(trouble_since=T0) for each in found if each.status.endswith("timed_out")}
    assert look(known(*found, histories=histories), *found).events == []
