"""How packs are named."""

from hypothesis import given
from hypothesis import strategies as st

from watchdog.model.packs import SHORTEST_PREFIX, short_length

IDS = st.lists(st.text("ab-", min_size=1, max_size=9), max_size=12)


@given(IDS)
def test_so_many_characters_tell_all_packs_apart_and_no_fewer_do(ids):
    length, different = short_length(ids), len(set(ids))

    def told_apart(characters):
        return len({each[:characters] for each in ids}) == different

    assert told_apart(length)
    assert length <= SHORTEST_PREFIX or not told_apart(length - 1)
