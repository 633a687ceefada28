"""Silences on disk: added and expired beside a daemon, which minds them from its next pass on."""

from datetime import timedelta

from tests.harness.time import in_simulated_time
from watchdog.model.silences import Silence

HOUR = timedelta(hours=1)


def a_silence(kit, **more):
    kept = {"account": "main", "zone": "example.com", "zone_id": "z1", "at": kit.t0, "until": kit.t0 + HOUR}
    return Silence(**{**kept, "comment": "moving", **more})


def test_a_silence_is_read_back_as_it_was_added_with_an_id_that_no_other_ever_has(kit, store):
    first = store.add_silence(a_silence(kit, pack_id="p1", pack="z1 example.com google advanced"))
    assert store.silences() == (first,)
    store.end_silences([first], kit.t0)
    assert store.add_silence(a_silence(kit)).id == first.id + 1


def test_the_journal_says_when_a_silence_was_added_and_when_it_ended(kit, store):
    kept = store.add_silence(a_silence(kit, pack_id="p1"))
    store.end_silences([kept], kit.t0 + HOUR)
    store.end_silences([kept], kit.t0 + HOUR)  # another was faster
    lines = store.journal_of("z1", "p1", 10)
    assert [(line.event, line.at) for line in lines] == [("silence_ended", kit.t0 + HOUR), ("silence_added", kit.t0)]
    assert "comment=moving" in lines[0].detail


@in_simulated_time
async def test_a_daemon_minds_what_another_process_adds_and_expires(kit, mind, url):
    async with mind() as memory:
        with kit.opened(url, exclusive=False) as beside:
            kept = beside.add_silence(a_silence(kit))
            await memory.refresh()
            assert [event.name for event in await memory.follow_silences(kit.t0)] == ["silence_added"]
            assert memory.silences == (kept,)
            beside.end_silences([kept], kit.t0)
            await memory.refresh()
            assert [event.name for event in await memory.follow_silences(kit.t0)] == ["silence_ended"]
            assert memory.silences == ()


@in_simulated_time
async def test_a_silence_ends_by_itself_once(kit, mind, store):
    store.add_silence(a_silence(kit))
    store.close()
    async with mind() as memory:
        assert await memory.follow_silences(kit.t0 + HOUR - timedelta(seconds=1)) == []
        assert [event.name for event in await memory.follow_silences(kit.t0 + HOUR)] == ["silence_ended"]
        assert await memory.follow_silences(kit.t0 + 2 * HOUR) == []
        assert memory.writer.error == ""


@in_simulated_time
async def test_a_start_recalls_silences_and_does_not_say_again_that_they_were_added(kit, mind, store):
    store.add_silence(a_silence(kit, until=kit.t0 + 3 * HOUR))
    store.close()
    async with mind() as memory:
        assert len(memory.silences) == 1
        assert await memory.follow_silences(kit.t0 + HOUR) == []
