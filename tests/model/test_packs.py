"""How packs are named."""

from hypothesis import given
from hypothesis import strategies as st

from watchdog.model.pack_ids import SHORTEST_PREFIX, short_length, short_length_in_zones

IDS = st.lists(st.text("ab-", min_size=1, max_size=9), max_size=12)


@given(IDS)
def test_so_many_characters_tell_all_packs_apart_and_no_fewer_do(ids):
    length, different = short_length(ids), len(set(ids))

    def told_apart(characters):
        return len({each[:characters] for each in ids}) == different

    assert told_apart(length)
    assert length <= SHORTEST_PREFIX or not told_apart(length - 1)


@given(st.dictionaries(st.sampled_from("xyz"), IDS))
def test_in_zones_so_many_characters_are_needed_as_in_the_zone_that_needs_most(zones):
    keys = [(zone_id, pack_id) for zone_id, ids in zones.items() for pack_id in ids]
    longest = max((len(pack_id) for _, pack_id in keys), default=SHORTEST_PREFIX)
    needed = max(map(short_length, zones.values()), default=SHORTEST_PREFIX)
    assert min(short_length_in_zones(keys), longest) == min(needed, longest)
