"""A queue: in order, tried until accepted, bounded, and alone."""

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.harness.builders import message, notice
from tests.harness.time import LoopClock, in_simulated_time
from tests.harness.values import replace
from watchdog.model.alerts import Kind
from watchdog.model.outcomes import DeliveryOutcome
from watchdog.notify.channel import Undelivered
from watchdog.notify.queue import HOPELESS_TRIES, MOST, OLDEST, MessageQueue, wait_after

HOUR = timedelta(hours=1)


class Channel:
    """Accepts unless there is an answer left: an ``Undelivered``, or any other exception."""

    def __init__(self, *answers, check=None):
        self.answers = list(answers)
        self.tried, self.arrived = [], []
        self._check = check

    async def check(self):
        if self._check is not None:
            raise self._check

    async def send(self, sent):
        self.tried.append((asyncio.get_running_loop().time() - 1000, sent.id))
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        self.arrived.append(sent.id)


class Run:
    """A queue that runs, and all that is heard of it."""

    def __init__(self, channel, *messages):
        self.clock = LoopClock()
        self.told, self.gone = [], []
        self.queue = MessageQueue("ops", channel, clock=self.clock, forget=self._gone, report=self.told.append)
        for waiting in messages:
            self.queue.put(waiting)

    async def _gone(self, sent):
        self.gone.append(sent.id)

    async def __aenter__(self):
        self.task = asyncio.create_task(self.queue.run())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def outcomes(self):
        return [str(told.outcome) for told in self.told]


def here(number=1):
    return message(number, now=LoopClock().now())


@in_simulated_time
async def test_messages_go_in_order_and_are_gone_only_once_accepted():
    channel = Channel(Undelivered("HTTP 500"), Undelivered("HTTP 500"))
    async with Run(channel, here(1), here(2)) as run:
        run.queue.put(here(3))
        assert run.gone == []
        await asyncio.sleep(60)
    assert [number for _, number in channel.tried] == [1, 1, 1, 2, 3]
    assert run.gone == channel.arrived == [1, 2, 3]
    assert run.outcomes() == ["failed", "failed", "accepted", "accepted", "accepted"]


@in_simulated_time
async def test_waits_grow_from_five_seconds_to_a_quarter_of_an_hour():
    channel = Channel(*[Undelivered("HTTP 500")] * 20)
    async with Run(channel, here()):
        await asyncio.sleep(4 * 3600)
    times = [time for time, _ in channel.tried]
    waits = [round(later - sooner) for sooner, later in pairwise(times)]
    assert waits[:9] == [5, 10, 20, 40, 80, 160, 320, 640, 900]
    assert set(waits[9:]) == {900}
    assert channel.arrived == [1]


@in_simulated_time
async def test_a_destination_that_asks_for_more_time_gets_it_within_reason():
    channel = Channel(Undelivered("HTTP 429", retry_after=timedelta(minutes=2)), Undelivered("x", retry_after=HOUR))
    async with Run(channel, here()) as run:
        assert run.told[0].next_at - run.clock.now() == timedelta(minutes=2)
        await asyncio.sleep(121)
        assert run.told[1].next_at - run.told[0].next_at == timedelta(minutes=15)


@in_simulated_time
async def test_a_message_the_destination_will_not_take_is_dropped_and_the_next_one_goes():
    channel = Channel(*[Undelivered("HTTP 400", hopeless=True)] * HOPELESS_TRIES)
    async with Run(channel, here(1), here(2)) as run:
        await asyncio.sleep(60)
    assert channel.arrived == [2]
    assert run.gone == [1, 2]
    assert run.outcomes() == ["failed", "failed", "dropped", "accepted"]


@in_simulated_time
async def test_a_message_that_seems_too_old_at_a_start_is_tried_first_as_the_clock_may_be_wrong():
    async with Run(channel := Channel(), message(1, now=LoopClock().now() - 9 * OLDEST), here(2)) as run:
        await asyncio.sleep(1)
    assert (channel.arrived, run.outcomes()) == ([1, 2], ["accepted", "accepted"])


@pytest.mark.parametrize(("minutes", "dropped"), [(59, False), (80, True)])
@in_simulated_time
async def test_it_is_dropped_and_told_where_that_has_failed_for_an_hour(minutes, dropped):
    channel = Channel(*[Undelivered("HTTP 500")] * 1000)
    async with Run(channel, message(1, now=LoopClock().now() - 9 * OLDEST)) as run:
        await asyncio.sleep(minutes * 60)
    assert run.gone == [1] * dropped
    assert (run.told[-1].error == "it is older than 3 days") is dropped


@in_simulated_time
async def test_a_message_grows_too_old_while_its_destination_is_down():
    channel = Channel(*[Undelivered("HTTP 500")] * 1000)
    async with Run(channel, here()) as run:
        await asyncio.sleep(OLDEST.total_seconds() + 3600)
    assert run.told[-1].outcome is DeliveryOutcome.DROPPED
    assert run.gone == [1]


@in_simulated_time
async def test_a_message_that_waits_grows_no_older_because_the_clock_is_set_forward():
    channel = Channel(Undelivered("HTTP 500"))
    async with Run(channel, here()) as run:
        await asyncio.sleep(1)
        run.clock.step = 2 * OLDEST
        await asyncio.sleep(60)
    assert (channel.arrived, run.outcomes()) == ([1], ["failed", "accepted"])


@in_simulated_time
async def test_a_message_that_waits_goes_in_its_time_though_the_clock_is_set_back():
    channel = Channel(*[Undelivered("HTTP 500")] * 1000)
    async with Run(channel, here()) as run:
        await asyncio.sleep(1)
        run.clock.step = -2 * OLDEST
        await asyncio.sleep(OLDEST.total_seconds() + 3600)
    assert run.told[-1].outcome is DeliveryOutcome.DROPPED


@in_simulated_time
async def test_of_two_messages_that_got_one_number_without_the_state_both_go():
    async with Run(channel := Channel(), here(1), about("unseen", 1)):
        await asyncio.sleep(1)
    assert channel.arrived == [1, 1]


@in_simulated_time
async def test_the_oldest_go_when_there_are_too_many():
    async with Run(channel := Channel(), *(here(number) for number in range(1, MOST + 4))):
        await asyncio.sleep(1)
    assert channel.arrived == list(range(4, MOST + 4))


@in_simulated_time
async def test_a_defect_of_a_channel_does_not_end_its_queue_and_its_text_stays_here():
    channel = Channel(*[RuntimeError("s3cr3t")] * HOPELESS_TRIES)
    async with Run(channel, here(1), here(2)) as run:
        await asyncio.sleep(60)
    assert channel.arrived == [2]
    assert all("s3cr3t" not in repr(told) for told in run.told)
    assert "defect" in run.told[0].error


@in_simulated_time
async def test_a_destination_that_can_never_be_reached_is_told_at_once():
    async with Run(Channel(check=Undelivered("Apprise knows no service"))) as run:
        assert [(told.outcome, told.error) for told in run.told] == [("failed", "Apprise knows no service")]


def test_no_number_of_tries_overflows_the_wait():
    assert wait_after(10**6) == timedelta(minutes=15)


def about(reason, number):
    return replace(here(number), reason=reason)


class Picky(Channel):
    """Never accepts the messages of these numbers, and does not say that it never will."""

    def __init__(self, *bad):
        super().__init__()
        self._bad = bad

    async def send(self, sent):
        await super().send(sent)
        if sent.id in self._bad:
            self.arrived.remove(sent.id)
            raise Undelivered("HTTP 500")


@in_simulated_time
async def test_a_message_that_is_never_accepted_holds_up_none_behind_it_and_is_dropped():
    others = [about("expiring", 2), about("unseen", 3), about("expired", 4), about("unseen", 5)]
    async with Run(channel := Picky(1), here(1), *others) as run:
        await asyncio.sleep(180)
    assert channel.arrived == [2, 3, 4, 5]
    assert run.outcomes().count("dropped") == 1
    assert run.gone == [2, 3, 4, 1, 5]


@in_simulated_time
async def test_what_is_about_the_same_thing_never_overtakes():
    channel = Channel(*[Undelivered("HTTP 500")] * 4)
    async with Run(channel, here(1), about("unseen", 2), here(3), about("unseen", 4)):
        await asyncio.sleep(600)
    assert channel.arrived.index(1) < channel.arrived.index(3)
    assert channel.arrived.index(2) < channel.arrived.index(4)


@pytest.mark.parametrize("account", ["main", "another"])
@in_simulated_time
async def test_a_new_trouble_of_a_pack_never_overtakes_the_end_of_its_last_one(account):
    pack = {"hosts": ("a.example",)}
    end = message(1, "ops", notice(Kind.OVER, **pack), now=LoopClock().now())
    trouble = replace(message(2, "ops", notice(Kind.STARTED, **pack, account=account), now=end.at), reason="ca_refuses")
    other = replace(message(3, "ops", notice(Kind.STARTED, "p2", hosts=("b.example",)), now=end.at), reason="unseen")
    async with Run(channel := Channel(*[Undelivered("HTTP 500")] * 3), end, trouble, other):
        await asyncio.sleep(600)
    assert channel.arrived == [3, 1, 2]


@in_simulated_time
async def test_a_message_that_is_never_accepted_is_kept_while_nothing_shows_that_the_destination_works():
    async with Run(channel := Picky(1, 2), here(1), about("unseen", 2)) as run:
        await asyncio.sleep(3600)
    assert channel.arrived == run.gone == []
    assert {number for _, number in channel.tried} == {1, 2}
