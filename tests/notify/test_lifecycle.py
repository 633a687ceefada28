"""The life of one alert: every phase answers every look, and what may be said of the phases is so whatever happens."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.builders import T0, alert, firing
from watchdog.model.alerts import Phase
from watchdog.notify import lifecycle
from watchdog.notify.lifecycle import GONE_FOR, LONGEST_CALM, REMEMBERED, TRANSITIONS, Evidence, calm

PATIENT = alert(patience=timedelta(minutes=30))
HOLDING = (Phase.PENDING, Phase.FIRING)


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_an_answer_to_every_evidence(phase):
    assert set(TRANSITIONS[phase]) == set(Evidence)


def test_only_what_holds_begins_to_hold():
    for phase, row in TRANSITIONS.items():
        for evidence, after in row.items():
            if after in HOLDING and phase not in HOLDING:
                assert evidence in (Evidence.BRIEF, Evidence.HOLDS)


def test_what_fires_ends_before_it_is_forgotten():
    for phase, row in TRANSITIONS.items():
        if Phase.INACTIVE in row.values():
            assert phase in (Phase.INACTIVE, Phase.PENDING, Phase.CLOSED)


def test_an_end_that_people_are_to_be_told_of_stays_until_they_are_or_the_alert_is_back():
    for phase in (Phase.OVER, Phase.GONE):
        left = {evidence: after for evidence, after in TRANSITIONS[phase].items() if after is not phase}
        assert left == {Evidence.BRIEF: Phase.FIRING, Evidence.HOLDS: Phase.FIRING, Evidence.NOTIFIED: Phase.CLOSED}


def test_the_longer_it_flaps_the_longer_its_end_is_doubted_up_to_half_a_day():
    waits = [calm(flaps) for flaps in range(100)]
    assert waits[:4] == [timedelta(minutes=minutes) for minutes in (0, 5, 10, 20)]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_CALM


looks = st.lists(
    st.tuples(
        st.integers(0, 900),
        st.sampled_from(["holds", "away", "replaced", "unwell", "gone", "notified"]),
    ),
    max_size=30,
)


def lived(story, of=PATIENT):
    """Each look with its time, and the alert before and after it."""
    state, now = None, T0
    for minutes, what in story:
        now += timedelta(minutes=minutes)
        before = state
        if what == "notified":
            state = lifecycle.notified(state, now) if state is not None and state.phase is not Phase.PENDING else state
        else:
            state = lifecycle.advance(
                state,
                of if what == "holds" else None,
                now,
                replaced=what == "replaced",
                unwell=3 if what == "unwell" else None,
                gone=what == "gone",
            )
        yield what, now, before, state


@given(looks)
def test_the_times_of_an_alert_are_those_its_phase_has(story):
    for _, _, _, state in lived(story):
        if state is not None:
            assert (state.ceased_at is None) is (state.phase in HOLDING)
            assert (state.ended_at is None) is not state.phase.ended


@given(looks)
def test_it_fires_only_once_it_has_held_for_as_long_as_it_must(story):
    for _, now, before, state in lived(story):
        if state is not None and state.phase is Phase.FIRING and (before is None or before.phase is Phase.PENDING):
            assert now - state.first_at >= PATIENT.patience


@given(looks)
def test_what_holds_is_never_forgotten(story):
    for what, _, _, state in lived(story):
        assert what != "holds" or state is not None


@given(looks)
def test_an_end_of_which_nobody_was_told_is_told_to_nobody(story):
    for _, _, _, state in lived(story):
        if state is not None and state.phase in (Phase.OVER, Phase.GONE):
            assert state.notified_at is not None


@given(looks)
def test_whatever_stays_away_is_forgotten(story):
    states = [state for *_, state in lived(story)]
    state, now = states[-1] if states else None, T0 + timedelta(days=365)
    for wait in (timedelta(0), LONGEST_CALM, REMEMBERED):
        now += wait
        state = lifecycle.advance(state, None, now)
        state = state and lifecycle.notified(state, now)
    assert state is None


def test_a_zone_that_is_missing_for_less_than_an_hour_is_no_end():
    state = firing(alert(), notified_at=T0)
    state = lifecycle.advance(state, None, T0, gone=True)
    state = lifecycle.advance(state, None, T0 + GONE_FOR - timedelta(minutes=1), gone=True)
    assert state.phase is Phase.PAUSED
    assert lifecycle.advance(state, None, T0 + GONE_FOR, gone=True).phase is Phase.GONE
