"""Lines of JSON that are put together say what the rows say."""

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.harness.builders import HEALTHY, NOW, TROUBLED, WAITING, inventory, pack
from tests.harness.values import rows_of
from watchdog.model.findings import Certainty, Diagnosis, Finding, FindingName
from watchdog.model.history import UNTROUBLED
from watchdog.model.renewal import LONGEST_WINDOW
from watchdog.model.report import Inventory
from watchdog.model.silences import Silence
from watchdog.tell.rows import pack_lines
from watchdog.tell.terminal import json_line

FOUND = Diagnosis(
    NOW,
    (
        Finding(
            name=FindingName.DNS_FAILURE,
            certainty=Certainty.LIKELY,
            host="example.com",
            says="DNS fails.",
            remedy="Mend it.",
        ),
    ),
)
ENDS = [None, NOW - timedelta(days=1), NOW + LONGEST_WINDOW, NOW + LONGEST_WINDOW + timedelta(seconds=1)]
words = st.text(max_size=8)


@st.composite
def fleets(draw):
    """Packs of which some have nothing to tell, with words that JSON has to escape, and a silence or none."""
    packs = []
    for number in range(draw(st.integers(1, 6))):
        known, history = pack(
            f"p{number}{draw(words)}",
            draw(st.sampled_from(["active", "active", "staging_active", "validation_timed_out", "deleted"])),
            zone=draw(st.sampled_from(["example.com", "münchen.example", 'quo"ted'])),
            decision=draw(st.sampled_from([HEALTHY, HEALTHY, HEALTHY, WAITING])),
            history=draw(st.sampled_from([UNTROUBLED, UNTROUBLED, TROUBLED])),
        )
        of_pack = replace(
            known.pack,
            type=draw(st.sampled_from(["advanced", "universal", "sni_custom"])),
            hosts=tuple(draw(st.lists(words, max_size=3))),
            expires_at=draw(st.sampled_from([*ENDS, NOW + timedelta(days=60), NOW + timedelta(days=60)])),
            validation_errors=draw(st.sampled_from([(), (), ("an old one",)])),
        )
        since = NOW - timedelta(hours=draw(st.integers(0, 50)))
        diagnosis = draw(st.sampled_from([None, None, FOUND]))
        packs.append((replace(known, pack=of_pack, since=since, diagnosis=diagnosis), history))
    silence = Silence(
        account="main",
        zone="example.com",
        zone_id="id-of-example.com",
        at=NOW,
        until=NOW + timedelta(hours=draw(st.sampled_from([-1, 1]))),
        comment="",
    )
    return Inventory.of(packs, [], NOW, silences=draw(st.sampled_from([(), (silence,)])))


@given(fleets())
def test_each_line_is_the_row_of_its_pack(found):
    rows = [json.loads(json_line(row)) for row in rows_of(found)["packs"]]
    assert [json.loads(line) for line in pack_lines(found)] == rows


@given(fleets())
def test_each_line_is_in_ascii_for_any_terminal(found):
    assert all(line.isascii() for line in pack_lines(found))


@pytest.mark.parametrize("many", [0, 3])
def test_there_is_a_line_for_each_pack(many):
    found = inventory(*(pack(f"p{number}") for number in range(many)), pack("bad", "validation_timed_out"))
    assert len(list(pack_lines(found))) == many + 1
