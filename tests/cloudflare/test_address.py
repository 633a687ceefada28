"""Accounts under the limit of one address, which is less than they all want."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.time import LoopClock, simulated
from watchdog.cloudflare.address import PER_ADDRESS, SHORTEST_NAP, TOGETHER, Address
from watchdog.cloudflare.rate_limit import Quota, Urgency
from watchdog.cloudflare.sliding_window import Allowance

LATENCY = 0.05
PLENTY = Allowance(10_000_000, 300, 1.0)


class Crowd:
    """Accounts that each look at their zones as fast as they may, and when each look began."""

    def __init__(self, limit: int, latency: Callable[[], float] = lambda: LATENCY) -> None:
        self.address = Address(limit, LoopClock())
        self.latency = latency
        self.begun: list[tuple[float, str]] = []
        self._tasks: list[asyncio.Task[None]] = []

    def account(self, allowance: Allowance = PLENTY) -> Quota:
        """One that does nothing yet."""
        return Quota(allowance, self.address, LoopClock())

    def look(self, name: str, quota: Quota, urgency: Urgency = Urgency.CALM, lanes: int = 16) -> None:
        """From now on this account looks."""
        self._tasks += [asyncio.create_task(self._lane(name, quota, urgency)) for _ in range(lanes)]

    async def _lane(self, name: str, quota: Quota, urgency: Urgency) -> None:
        while True:
            await quota.acquire(urgency)
            self.begun.append((now(), name))
            await asyncio.sleep(self.latency())
            quota.release({})

    async def disperse(self) -> None:
        """Nobody looks any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def crowd(limit: int, accounts: int, urgency: Urgency = Urgency.CALM):
    """So many accounts that have looked for three seconds."""
    those = Crowd(limit)
    for number in range(accounts):
        those.look(f"{number}", those.account(), urgency)
    await asyncio.sleep(3)
    try:
        yield those
    finally:
        await those.disperse()


def within(seconds: float, work: Coroutine) -> Coroutine:
    return asyncio.wait_for(work, seconds)


@settings(max_examples=20)
@given(accounts=st.integers(2, 24), limit=st.integers(2, 60), troubled=st.integers(0, 3))
def test_the_limit_of_the_address_is_shared_evenly_whatever_the_accounts_look_at(accounts, limit, troubled):
    async def work() -> Counter[str]:
        those = Crowd(limit)
        for number in range(accounts):
            urgency = Urgency.TROUBLED if number < troubled else Urgency.CALM
            those.look(f"{number}", those.account(), urgency, limit + 1)  # so each has one that waits, all the time
        await asyncio.sleep(3)  # the first to come finds the address idle, and takes what there is
        those.begun.clear()
        await asyncio.sleep(60)
        await those.disperse()
        return Counter(name for _, name in those.begun)

    looks = simulated(work)
    assert len(looks) == accounts
    assert max(looks.values()) - min(looks.values()) <= 1


@settings(max_examples=20)
@given(accounts=st.integers(1, 64), limit=st.integers(2, 190))
def test_an_account_that_comes_late_has_its_first_turn_after_one_round_of_the_others(accounts, limit):
    async def work() -> float:
        async with crowd(limit, accounts, Urgency.TROUBLED) as those:
            came = now()
            await those.account().acquire(Urgency.CALM)
            return now() - came

    rounds = -(-(accounts + 1) // limit)  # in each second as many go as the limit says, however they are spread in it
    assert simulated(work) <= rounds * (1 + LATENCY + SHORTEST_NAP)


async def looks_of_twelve_accounts(latency: Callable[[], float]) -> list[float]:
    """When looks began in 20 s at the limit of an address, of more than it lets through."""
    those = Crowd(PER_ADDRESS, latency)
    for number in range(12):
        those.look(f"{number}", those.account())
    await asyncio.sleep(5)
    began = now()
    await asyncio.sleep(20)
    await those.disperse()
    return [at for at, _ in those.begun if at >= began]


@pytest.mark.parametrize(("answers", "part"), [((0.002, 0.008), 0.98), ((0.02, 0.08), 0.96), ((0.05, 0.25), 0.94)])
@settings(max_examples=3)
@given(dice=st.randoms(use_true_random=True))
def test_nearly_all_of_a_window_is_used_of_what_the_time_of_the_answers_leaves(answers, part, dice):
    looks = simulated(lambda: looks_of_twelve_accounts(lambda: dice.uniform(*answers)))
    cut_off = 2 * PER_ADDRESS // TOGETHER  # what begins together right before and right behind the 20 s
    assert len(looks) + cut_off >= part * 20 * PER_ADDRESS / (1 + sum(answers) / 2)


@settings(max_examples=3)
@given(dice=st.randoms(use_true_random=True))
def test_at_the_limit_of_the_address_a_tenth_of_its_window_begins_at_the_same_moment(dice):
    looks = simulated(lambda: looks_of_twelve_accounts(lambda: dice.uniform(0.02, 0.08)))
    assert len(looks) >= (len(set(looks)) - 1) * (PER_ADDRESS // TOGETHER)  # the last moment may be cut short


def test_no_look_of_any_account_begins_while_a_restart_waits_for_the_address():
    async def work() -> int:
        async with crowd(10, 16) as those:
            busy = those.account()
            those.look("busy", busy)
            await asyncio.sleep(2)
            before = len(those.begun)
            assert await busy.reserve(Urgency.ACT, 2) == 2
            return len(those.begun) - before

    assert simulated(work) == 0


def test_a_restart_that_was_given_up_in_line_holds_up_no_look_of_its_account():
    async def work() -> float:
        async with crowd(10, 4) as those:
            account = those.account()
            restart = asyncio.create_task(account.reserve(Urgency.ACT, 2))
            await asyncio.sleep(0)
            look = asyncio.create_task(account.acquire(Urgency.CALM))
            await asyncio.sleep(0)
            restart.cancel()
            await asyncio.gather(restart, return_exceptions=True)
            began = now()
            await within(60, look)
            return now() - began

    assert simulated(work) <= 1.1


def test_an_account_that_is_blocked_while_it_waits_in_line_stops_no_other():
    async def work() -> tuple[Counter[str], float]:
        async with crowd(10, 3) as those:
            blocked = those.account()
            waits = asyncio.create_task(blocked.acquire(Urgency.CALM))
            await asyncio.sleep(0)
            began = now()
            blocked.block({"retry-after": "30"})
            those.begun.clear()
            await asyncio.sleep(10)
            looks = Counter(name for _, name in those.begun)
            await within(60, waits)
            return looks, now() - began

    looks, waited = simulated(work)
    assert looks.total() >= 90
    assert 30 <= waited <= 31.1


def test_of_an_address_with_room_for_one_request_one_is_had_in_place_of_two():
    async def work() -> int:
        return await within(10, Crowd(1).account().reserve(Urgency.ACT, 2))

    assert simulated(work) == 1


def test_who_waits_for_an_answer_of_another_account_goes_one_second_after_it():
    async def work() -> float:
        those = Crowd(1)
        slow, next_ = those.account(), those.account()
        await slow.acquire(Urgency.CALM)
        began = now()
        waits = asyncio.create_task(next_.acquire(Urgency.CALM))
        await asyncio.sleep(0.3)
        slow.release({})
        await waits
        return now() - began

    assert abs(simulated(work) - 1.3) < 1e-6


def test_an_account_with_little_of_its_own_left_takes_no_more_than_that_and_the_others_have_the_rest():
    async def work() -> Counter[str]:
        those = Crowd(20)
        those.look("small", those.account(Allowance(60, 60, 1.0)))
        for number in range(3):
            those.look(f"{number}", those.account())
        await asyncio.sleep(120)
        await those.disperse()
        return Counter(name for _, name in those.begun)

    looks = simulated(work)
    assert looks.pop("small") <= 120
    assert max(looks.values()) - min(looks.values()) <= 20  # the first to come found the address idle
    assert sum(looks.values()) >= 0.9 * (20 * 120 - 120)
