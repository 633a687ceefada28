"""What a command beside the daemon has booked, and what the daemon could not."""

import sqlalchemy as sa

from tests.harness.time import in_simulated_time


def rename(store, name, to):
    with store.writing() as connection:
        connection.execute(sa.text(f"ALTER TABLE {name} RENAME TO {to}"))


@in_simulated_time
async def test_what_could_not_be_booked_counts_on_when_others_have_booked(mind, url, kit):
    async with mind() as memory:
        until = kit.now.monotonic + 60
        rename(memory._store, "bookings", "away")  # noqa: SLF001 - as where the database takes no write
        assert not await memory.booked.book("main", 3, until, 0.0)
        rename(memory._store, "away", "bookings")  # noqa: SLF001 - as a database that takes no writes
        assert await memory.booked.book("main", 5, until, 0.0)
        with kit.opened(url, exclusive=False) as beside:
            boot = "shared" if beside.shared else kit.now.boot
            [(_, theirs, _)] = beside.booked(boot)
            beside.book("main", boot, theirs + 1, 7, 0.0)
        await memory.refresh()
        assert memory.booked.elsewhere == {"main"}
        assert sorted(number for _, number in memory.booked.of("main")) == [3, 5, 7]


@in_simulated_time
async def test_what_could_not_be_booked_counts_on_when_an_account_comes_back(mind, kit):
    async with mind() as memory:
        rename(memory._store, "bookings", "away")  # noqa: SLF001 - as a database that takes no writes
        await memory.booked.book("main", 3, kit.now.monotonic + 60, 0.0)
        rename(memory._store, "away", "bookings")  # noqa: SLF001 - as a database that takes no writes
        memory.release(["main"])
        await memory.adopt(["main"])
        assert [number for _, number in memory.booked.of("main")] == [3]
