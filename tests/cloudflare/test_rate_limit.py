import asyncio
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.time import LoopClock, simulated
from watchdog.cloudflare.address import PER_ADDRESS, Address
from watchdog.cloudflare.block import LONGEST_BLOCK, PATIENCE, TooLong
from watchdog.cloudflare.bookings import PARTS
from watchdog.cloudflare.policies import LONGEST_WINDOW
from watchdog.cloudflare.rate_limit import Quota, Urgency
from watchdog.cloudflare.sliding_window import Allowance

PLENTY = 10_000_000


def quota(requests: int = 1200, per: float = 300, share: float = 0.5, address: Address | None = None) -> Quota:
    return Quota(Allowance(requests, per, share), address or Address(PLENTY, LoopClock()), LoopClock())


def run_requests(quota: Quota, count: int, latency: float, urgency: Urgency = Urgency.ACT, at_once: int = 16) -> list:
    """Send ``count`` requests, ``at_once`` at a time; the moments at which Cloudflare received each."""
    received: list[float] = []

    async def work() -> list[float]:
        left = deque(range(count))

        async def worker() -> None:
            while left:
                left.pop()
                await quota.acquire(urgency)
                await asyncio.sleep(latency / 2)
                received.append(asyncio.get_running_loop().time())
                await asyncio.sleep(latency / 2)
                quota.release({})

        await asyncio.gather(*(worker() for _ in range(at_once)))
        return sorted(received)

    return simulated(work)


def test_once_all_ends_nobody_waits_for_a_look_and_an_act_no_longer_than_there_is_patience():
    async def work() -> tuple[list[str], float]:
        limited, ended = quota(4, per=60, share=1), list[str]()

        async def one(name: str, urgency: Urgency) -> None:
            try:
                await limited.acquire(urgency)
                ended.append(f"{name} begins")
            except asyncio.CancelledError:
                ended.append(f"{name} is cancelled")

        for _ in range(4):
            await limited.acquire(Urgency.ACT)
            limited.release({})
        waiting = [asyncio.create_task(one("look", Urgency.CALM)), asyncio.create_task(one("act", Urgency.ACT))]
        await asyncio.sleep(50)
        limited.end(20)
        waiting.append(asyncio.create_task(one("later look", Urgency.TROUBLED)))
        await asyncio.wait(waiting)
        limited.block({"retry-after": "300"})
        before = asyncio.get_running_loop().time()
        await one("blocked act", Urgency.ACT)
        return ended, asyncio.get_running_loop().time() - before

    ended, waited = simulated(work)
    assert ended == ["look is cancelled", "later look is cancelled", "act begins", "blocked act is cancelled"]
    assert waited == 0


def most_in_any_window(moments: list[float], seconds: float) -> int:
    most, first = 0, 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


@settings(max_examples=40)
@given(
    requests=st.integers(1, 60),
    per=st.floats(0.5, 30),
    share=st.floats(0.05, 1),
    latency=st.floats(0, 3),
    at_once=st.integers(1, 20),
)
def test_cloudflare_never_receives_more_than_the_share_in_any_window(requests, per, share, latency, at_once):
    moments = run_requests(quota(requests, per, share), 150, latency, at_once=at_once)
    # To the microsecond: a sum of floats may fall short of the window by its last digit.
    assert most_in_any_window(moments, per - 1e-6) <= Allowance(requests, per, share).ours


@pytest.mark.parametrize("urgency", list(Urgency))
def test_at_least_95_percent_of_the_share_is_used_while_there_is_work(urgency):
    moments = run_requests(quota(1200, 300, 0.5), 3000, 0.05, urgency)
    windows = (moments[-1] - moments[0]) / 300
    assert len(moments) >= 0.95 * 600 * windows


def test_a_restart_goes_before_every_look_that_waits():
    async def work() -> list[str]:
        q = quota(40, 10, 1.0)
        order: list[str] = []

        async def ask(urgency: Urgency, name: str) -> None:
            await q.acquire(urgency)
            order.append(name)
            q.release({})

        for _ in range(40):
            await q.acquire(Urgency.ACT)
            q.release({})
        calls = [ask(Urgency.CALM, "calm"), ask(Urgency.TROUBLED, "troubled"), ask(Urgency.ACT, "restart")]
        await asyncio.gather(*calls)
        return order

    assert simulated(work) == ["restart", "troubled", "calm"]


def test_looks_leave_a_reserve_so_that_a_restart_need_not_wait_for_a_window():
    async def work() -> float:
        q = quota(1200, 300, 0.5)
        for _ in range(600 - 600 // 32):
            await q.acquire(Urgency.CALM)
            q.release({})
        look = asyncio.create_task(q.acquire(Urgency.CALM))
        await asyncio.sleep(1)
        assert not look.done()
        began = asyncio.get_running_loop().time()
        await q.acquire(Urgency.ACT)
        look.cancel()
        await asyncio.gather(look, return_exceptions=True)
        return asyncio.get_running_loop().time() - began

    assert simulated(work) == 0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "600"}, 600),
        ({"ratelimit": '"default";r=0;t=42'}, 42),
        ({"ratelimit": '"a";r=0;t=42, "b";r=3;t=90'}, 90),
        ({"retry-after": "soon"}, 300),
        ({"ratelimit": '"default";r=0;t=10'}, 10),
        ({"ratelimit": '"default";r=0;t=9'}, 300),
        ({"ratelimit": '"default";r=0;t=1'}, 300),
        ({}, 300),
    ],
)
def test_a_429_is_obeyed_for_exactly_as_long_as_it_says(headers, seconds):
    async def work() -> float:
        q = quota()
        assert q.block(headers) == seconds
        began = asyncio.get_running_loop().time()
        await q.acquire(Urgency.ACT)
        return asyncio.get_running_loop().time() - began

    assert simulated(work) == pytest.approx(seconds)


YEAR = {"retry-after": "31536000"}


@pytest.mark.parametrize(
    "headers",
    [YEAR, {"retry-after": "3601"}, {"retry-after": "9" * 40}, {"ratelimit": '"default";r=0;t=999999999'}],
)
def test_a_429_that_asks_for_more_is_obeyed_for_an_hour(headers):
    async def work() -> float:
        q = quota()
        assert q.block(headers) == LONGEST_BLOCK == 3600
        await asyncio.sleep(3600)
        began = asyncio.get_running_loop().time()
        await q.acquire(Urgency.CALM)
        return asyncio.get_running_loop().time() - began

    assert simulated(work) == 0


def test_of_a_block_beyond_patience_whoever_asks_is_told_at_once_until_when():
    async def work() -> tuple[float, float]:
        q, now = quota(), LoopClock().now()
        q.block(YEAR)
        began = asyncio.get_running_loop().time()
        with pytest.raises(TooLong) as told:
            await q.acquire(Urgency.ACT)
        return (told.value.until - now).total_seconds(), asyncio.get_running_loop().time() - began

    assert simulated(work) == (3600, 0)


def test_of_a_block_beyond_patience_those_are_told_too_who_waited_before_it_came():
    async def work() -> list[type]:
        q = quota(1, share=1)
        await q.acquire(Urgency.ACT)
        waiting = [asyncio.create_task(q.acquire(urgency)) for urgency in Urgency]
        await asyncio.sleep(1)
        q.block(YEAR)
        return [type(error) for error in await asyncio.gather(*waiting, return_exceptions=True)]

    assert simulated(work) == [TooLong, TooLong, TooLong]


def test_who_is_cancelled_at_the_moment_a_long_block_comes_gives_back_nothing_that_never_began():
    async def work() -> int:
        q = quota(1, share=1)
        await q.acquire(Urgency.ACT)
        waiting = asyncio.create_task(q.acquire(Urgency.ACT))
        await asyncio.sleep(1)
        q.block(YEAR)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        q.release({})
        await asyncio.sleep(3600)
        return await q.reserve(Urgency.ACT)

    assert simulated(work) == 1


def test_the_last_of_a_long_block_is_waited_out():
    async def work() -> float:
        q = quota()
        q.block(YEAR)
        await asyncio.sleep(LONGEST_BLOCK - PATIENCE)
        began = asyncio.get_running_loop().time()
        await q.acquire(Urgency.CALM)
        return asyncio.get_running_loop().time() - began

    assert simulated(work) == pytest.approx(PATIENCE)


def test_it_learns_a_smaller_allowance_and_never_a_larger_one():
    async def send(policy: str) -> int:
        q, sent = quota(1200, 300, 0.5), 0

        async def count() -> None:
            nonlocal sent
            while True:
                await q.acquire(Urgency.ACT)
                q.release({"ratelimit-policy": policy})
                sent += 1
                await asyncio.sleep(0)

        try:
            async with asyncio.timeout(1):
                await count()
        except TimeoutError:
            pass
        return sent

    assert simulated(lambda: send('"default";q=100;w=300')) == 50
    assert simulated(lambda: send('"default";q=1200;w=300, "burst";q=10;w=60')) == 5
    assert simulated(lambda: send('"default";q=9999;w=300')) == 600
    assert simulated(lambda: send('";;q=;w=x,,"')) == 600


def test_a_configured_allowance_that_is_far_too_large_does_not_starve_the_looks():
    async def work() -> float:
        q = quota(1_000_000, 300, 1.0)
        for _ in range(100):
            await q.acquire(Urgency.CALM)
            q.release({"ratelimit-policy": '"default";q=1200;w=300', "ratelimit": '"default";r=1100;t=300'})
        return asyncio.get_running_loop().time() - 1000

    assert simulated(work) == 0


def test_it_stops_before_what_others_have_left_is_gone():
    async def work() -> tuple[bool, bool]:
        q = quota(1200, 300, 1.0)
        await q.acquire(Urgency.CALM)
        q.release({"ratelimit": '"default";r=20;t=100'})
        look = asyncio.create_task(q.acquire(Urgency.CALM))
        await asyncio.sleep(99)
        early = look.done()
        await asyncio.sleep(2)
        return early, look.done()

    assert simulated(work) == (False, True)


def test_all_credentials_together_stay_under_the_limit_of_one_address():
    address = Address(PER_ADDRESS, LoopClock())
    received: list[float] = []

    async def work() -> None:
        async def worker(q: Quota) -> None:
            for _ in range(60):
                await q.acquire(Urgency.CALM)
                await asyncio.sleep(0.01)
                received.append(asyncio.get_running_loop().time())
                q.release({})

        quotas = [quota(100_000, 300, 1.0, address) for _ in range(3)]
        await asyncio.gather(*(worker(q) for q in quotas for _ in range(16)))

    simulated(work)
    assert len(received) == 3 * 16 * 60
    assert most_in_any_window(sorted(received), 1.0) <= PER_ADDRESS


def test_a_cancelled_wait_gives_its_turn_back():
    async def work() -> int:
        q = quota(2, 10, 1.0)
        for _ in range(2):
            await q.acquire(Urgency.ACT)
        waiting = asyncio.create_task(q.acquire(Urgency.ACT))
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        q.release({})
        q.release({})
        await asyncio.sleep(11)
        await q.acquire(Urgency.ACT)
        await q.acquire(Urgency.ACT)
        return q._window.in_flight  # noqa: SLF001  the leak would show here only

    assert simulated(work) == 2


def test_a_wait_that_is_cancelled_in_the_moment_of_its_turn_gives_it_back_too():
    async def work() -> tuple[int, bool]:
        q = quota(2, 10, 1.0)
        q.block({"retry-after": "5"})
        waiting = asyncio.create_task(q.acquire(Urgency.ACT))
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        loop.call_at(1005 + 5e-10, waiting.cancel)  # after the turn was given, before the task could take it
        await asyncio.gather(waiting, return_exceptions=True)
        return q._window.in_flight, waiting.cancelled()  # noqa: SLF001  the leak would show here only

    assert simulated(work) == (0, True)


def test_it_tells_what_is_left_and_how_long_it_is_blocked_until_that_is_over():
    async def work() -> list:
        q = quota()
        told = [(q.remaining, q.blocked_for)]
        await q.acquire(Urgency.CALM)
        q.release({"ratelimit": '"default";r=1100;t=60'})
        q.block({"retry-after": "90"})
        for _ in range(3):
            told.append((q.remaining, q.blocked_for))
            await asyncio.sleep(45)
        return told

    assert simulated(work) == [(None, 0), (1100, 90), (1100, 45), (1100, 0)]


@pytest.mark.parametrize("reset", [1, 60, 300])
def test_what_is_left_is_told_for_a_window_however_soon_it_resets(reset):
    async def work() -> list:
        q, told = quota(), []
        await q.acquire(Urgency.CALM)
        q.release({"ratelimit": f'"default";r=40;t={reset}'})
        for wait in (299, 1):
            await asyncio.sleep(wait)
            told.append(q.remaining)
        return told

    assert simulated(work) == [40, None]


def left(headers: dict, operation: str, urgency: Urgency, heard_by: str = "list_zones") -> float:
    """Seconds that a call waits after another call heard these headers."""

    async def work() -> float:
        q = quota(1200, 300, 1.0)
        await q.acquire(Urgency.CALM, heard_by)
        q.release(headers, heard_by)
        began = asyncio.get_running_loop().time()
        await q.acquire(urgency, operation)
        return asyncio.get_running_loop().time() - began

    return simulated(work)


def test_an_exhausted_policy_of_one_call_stops_that_call_and_no_other():
    headers = {"ratelimit": '"list_zones";r=0;t=40'}
    assert left(headers, "list_zones", Urgency.CALM) == pytest.approx(40)
    assert left(headers, "restart_validation", Urgency.ACT) == 0
    assert left(headers, "list_packs", Urgency.CALM) == 0


def test_an_exhausted_default_policy_stops_every_call_that_named_no_other():
    headers = {"ratelimit": '"default";r=0;t=40'}
    assert left(headers, "restart_validation", Urgency.ACT, "list_packs") == pytest.approx(40)
    assert left(headers, "list_packs", Urgency.CALM, "list_packs") == pytest.approx(40)


@pytest.mark.parametrize(("reset", "waits"), [(1, 10), (10, 10), (11, 11)])
def test_a_reset_within_ten_seconds_is_not_believed(reset, waits):
    assert left({"ratelimit": f'"default";r=24;t={reset}'}, "get_pack", Urgency.CALM, "get_pack") == waits
    assert left({"ratelimit": f'"default";r=25;t={reset}'}, "get_pack", Urgency.CALM, "get_pack") == 0


@pytest.mark.parametrize(("window", "waits"), [(3, 1), (60, 2), (300, 10)])
def test_a_reset_of_a_shorter_window_than_cloudflares_is_believed_sooner(window, waits):
    said = {"ratelimit": '"default";r=0;t=1', "ratelimit-policy": f'"default";q={3 * window};w={window}'}
    assert left(said, "get_pack", Urgency.CALM, "get_pack") == waits


def test_while_little_is_left_one_look_asks_how_things_are_and_not_all_that_wait():
    async def work() -> list:
        q, sent = quota(1200, 300, 1.0), []

        async def look() -> None:
            await q.acquire(Urgency.CALM)
            sent.append(round(asyncio.get_running_loop().time() - began))
            q.release({"ratelimit": '"default";r=10;t=1'})

        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(look() for _ in range(4)))
        return sent

    assert simulated(work) == [0, 10, 20, 30]


def test_a_smaller_policy_of_one_call_is_obeyed_by_that_call_alone():
    async def work() -> tuple:
        q, sent = quota(1200, 300, 0.5), []
        loop = asyncio.get_running_loop()

        async def calls(operation: str, count: int) -> None:
            for _ in range(count):
                await q.acquire(Urgency.ACT, operation)
                sent.append((operation, loop.time() - 1000))
                policy = '"list_zones";q=10;w=60' if operation == "list_zones" else '"default";q=1200;w=300'
                q.release({"ratelimit-policy": policy}, operation)

        await asyncio.gather(calls("list_zones", 6), calls("list_packs", 100))
        return tuple(max(at for name, at in sent if name == operation) for operation in ("list_packs", "list_zones"))

    assert simulated(work) == (0, 60)


@pytest.mark.parametrize(
    ("left", "policy", "plenty"),
    [
        ('"default";r=120;t=1', "", True),
        ('"default";r=119;t=1', "", False),
        ('"default";r=20;t=1', '"default";q=200;w=300', True),
        ('"default";r=1199;t=1, "list_zones";r=0;t=9', "", False),
        ("", '"default";q=1200;w=300', False),
        ("rubbish", "", False),
    ],
)
def test_a_tenth_of_every_policy_is_plenty(left, policy, plenty):
    assert quota().has_plenty({"ratelimit": left, "ratelimit-policy": policy}) is plenty


@pytest.mark.parametrize(
    "headers",
    [
        {"ratelimit": '"default";r=0;t=999999999'},
        {"ratelimit-policy": '"default";q=1;w=999999999'},
        {"ratelimit": '"default";r=0;t=999999999', "ratelimit-policy": '"default";q=1;w=999999999'},
    ],
)
def test_no_header_but_a_429_ends_all_work_for_more_than_an_hour(headers):
    async def work() -> float:
        q = quota()
        await q.acquire(Urgency.CALM)
        q.release(headers)
        began = asyncio.get_running_loop().time()
        await asyncio.wait_for(q.acquire(Urgency.CALM), 2 * LONGEST_WINDOW)
        return asyncio.get_running_loop().time() - began

    assert simulated(work) == pytest.approx(LONGEST_WINDOW)


# ── reserved ahead, and booked on the disk ───────────────────────────────────────────────────────────────────────


def test_two_turns_are_had_at_once_or_not_at_all():
    async def work() -> float:
        q = quota(10, 60, 0.5)
        began = asyncio.get_running_loop().time()
        for _ in range(4):
            await q.acquire(Urgency.ACT)
            q.release({})
        both = asyncio.create_task(q.reserve(Urgency.ACT, 2))
        await asyncio.sleep(1)
        single = asyncio.create_task(q.acquire(Urgency.ACT))  # there is room for one, and it is not this one's turn
        await asyncio.sleep(1)
        assert not single.done()
        await both
        await single
        return asyncio.get_running_loop().time() - began

    assert simulated(work) == 60.0


def test_of_a_window_that_has_one_turn_one_is_had_in_place_of_two():
    async def work() -> float:
        q = quota(1, 60, 1.0)
        began = asyncio.get_running_loop().time()
        await q.acquire(Urgency.ACT)
        q.release({})
        assert await q.reserve(Urgency.ACT, 2) == 1
        return asyncio.get_running_loop().time() - began

    assert simulated(work) == 60.0


def test_another_allowance_forgets_nothing_that_was_sent():
    async def work() -> float:
        q = quota(20, 60, 0.5)
        began = asyncio.get_running_loop().time()
        for _ in range(10):
            await q.acquire(Urgency.ACT)
            q.release({})
        q.allow(Allowance(24, 60, 0.5))
        for _ in range(3):
            await q.acquire(Urgency.ACT)
            q.release({})
        return asyncio.get_running_loop().time() - began

    assert simulated(work) == 60.0


@settings(max_examples=25)
@given(
    requests=st.integers(4, 60),
    share=st.floats(0.2, 1),
    kills=st.lists(st.floats(0.1, 40), min_size=1, max_size=6),
    write=st.floats(0, 0.2),
)
def test_a_process_that_is_killed_again_and_again_stays_within_its_share(requests, share, kills, write):
    """Each kill forgets everything but what was booked; the next process begins at once, and is in a hurry."""
    disk: list[tuple[float, int]] = []
    received: list[float] = []

    async def book(count: int, until: float, _before: float) -> None:
        await asyncio.sleep(write)
        disk.append((until, count))

    async def life(seconds: float) -> None:
        q = Quota(Allowance(requests, 30, share), Address(PLENTY, LoopClock()), LoopClock(), book, list(disk))

        async def worker() -> None:
            while True:
                await q.acquire(Urgency.ACT)
                received.append(asyncio.get_running_loop().time())
                await asyncio.sleep(0.05)
                q.release({})

        workers = [asyncio.create_task(worker()) for _ in range(4)]
        await asyncio.sleep(seconds)
        for each in workers:
            each.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    async def work() -> None:
        for seconds in kills:
            await life(seconds)

    simulated(work)
    assert most_in_any_window(received, 30 - 1e-6) <= Allowance(requests, 30, share).ours


def test_a_busy_window_costs_few_writes_more_than_it_has_parts():
    writes = []

    async def work() -> None:
        async def book(count: int, _until: float, _before: float) -> None:
            writes.append(count)

        q = Quota(Allowance(1200, 300, 0.5), Address(PLENTY, LoopClock()), LoopClock(), book)
        for _ in range(600):
            await q.acquire(Urgency.ACT)
            q.release({})

    simulated(work)
    assert writes[:4] == [4, 8, 16, 32]
    assert max(writes) == 600 // PARTS
    assert len(writes) <= PARTS + 4


@given(st.floats(0.2, 3.0))
@settings(max_examples=20)
def test_a_steady_pace_costs_one_booking_for_as_long_as_a_booking_holds(per_second):
    writes = []

    async def work() -> None:
        async def book(_count: int, _until: float, _before: float) -> None:
            writes.append(asyncio.get_running_loop().time())

        q = Quota(Allowance(100_000, 300, 1.0), Address(PLENTY, LoopClock()), LoopClock(), book)
        began = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < began + 1200:
            await q.acquire(Urgency.CALM)
            q.release({})
            await asyncio.sleep(1 / per_second)

    simulated(work)
    late = [at for at in writes if at > writes[0] + 600]
    assert len(late) <= 1.5 * 600 / (300 / PARTS)


def test_a_daemon_that_crashes_again_and_again_does_not_spend_its_share_on_bookings():
    """30 starts within a window, as systemd makes them, of a daemon that dies after three requests."""
    disk: list[tuple[float, int]] = []

    async def work() -> float:
        async def book(count: int, until: float, _before: float) -> None:
            disk.append((until, count))

        began = asyncio.get_running_loop().time()
        for _ in range(30):
            q = Quota(Allowance(1200, 300, 0.5), Address(PLENTY, LoopClock()), LoopClock(), book, list(disk))
            for _ in range(3):
                await q.acquire(Urgency.ACT)
                q.release({})
            await asyncio.sleep(10)
        return asyncio.get_running_loop().time() - began

    assert simulated(work) == 300.0


def test_a_disk_that_is_slower_than_a_part_of_a_short_window_stops_no_request():
    async def work() -> float:
        async def book(_count: int, _until: float, _before: float) -> None:
            await asyncio.sleep(2)

        q = Quota(Allowance(16, 10, 1.0), Address(PLENTY, LoopClock()), LoopClock(), book)
        began = asyncio.get_running_loop().time()
        await q.acquire(Urgency.ACT)
        return asyncio.get_running_loop().time() - began

    assert simulated(lambda: asyncio.wait_for(work(), 60)) == 2.0


def test_a_turn_taken_ahead_is_released_when_its_booking_is_given_up():
    async def work() -> float:
        async def book(_count: int, _until: float, _before: float) -> None:
            await asyncio.Event().wait()

        q = Quota(Allowance(2, 60, 1.0), Address(PLENTY, LoopClock()), LoopClock(), book)
        await q.reserve(Urgency.ACT, 2)
        q.release()
        booking = asyncio.create_task(q.use_a_booking())
        await asyncio.sleep(1)
        booking.cancel()
        await asyncio.gather(booking, return_exceptions=True)
        began = asyncio.get_running_loop().time()
        await q.reserve(Urgency.ACT, 2)
        return asyncio.get_running_loop().time() - began

    assert simulated(lambda: asyncio.wait_for(work(), 120)) == 60.0
