"""The ways out: for each destination of the configuration what runs for it, and the heartbeat beside them.

``alerting`` hands letters in and says when what holds has changed; nobody waits for what happens then. A reload leaves
alone what it does not change.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from watchdog.config.schema import Config, Destination
from watchdog.model.alerts import AlertLog, Letter, Route
from watchdog.model.clock import Clock
from watchdog.model.reasons import Severity
from watchdog.notify.alertmanager import RESEND, Alertmanager
from watchdog.notify.apprise import Service
from watchdog.notify.channel import Channel, Undelivered
from watchdog.notify.heartbeat import Heartbeat
from watchdog.notify.http import HttpSender
from watchdog.notify.messages import trial
from watchdog.notify.queue import DeliveryAttempt, DeliveryOutcome, Lane, Refresh
from watchdog.notify.webhook import Webhook


class Logs(Protocol):
    """Where events are logged."""

    def say(self, level: str, event: str, **fields: object) -> None:
        """One line."""


@dataclass(slots=True)
class _Running:
    """One destination as it is configured, and what runs for it."""

    destination: Destination
    route: Route
    runs: Lane | Refresh
    task: asyncio.Task[None]


class Destinations:
    """Every destination. To be made and used in the loop's thread."""

    def __init__(
        self,
        post: HttpSender,
        clock: Clock,
        logs: Logs,
        count: Callable[[str, str], None],
        arrived: Callable[[Letter], Awaitable[None]],
        log: Callable[[], AlertLog],
    ) -> None:
        """``count`` hears of every try, ``arrived`` of every letter that need not be kept; ``log`` is the alert log."""
        self._post = post
        self._clock = clock
        self._logs = logs
        self._count = count
        self._arrived = arrived
        self._log = log
        self._ways: dict[str, _Running] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._heartbeat_url = ""
        self._heartbeat: Heartbeat | None = None
        self._beating: asyncio.Task[None] | None = None
        self._failing: dict[str, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Every destination's."""
        return tuple(self._ways)

    def lanes(self) -> Iterator[tuple[str, Route]]:
        """The destinations that take letters, and what they want to hear of."""
        return ((name, way.route) for name, way in self._ways.items() if isinstance(way.runs, Lane))

    def put(self, letter: Letter) -> bool:
        """Send a letter on its way; false when there is no way to its destination any more."""
        way = self._ways.get(letter.destination)
        if way is None or not isinstance(way.runs, Lane):
            return False
        way.runs.put(letter)
        return True

    def ping(self, *, failed: bool) -> None:
        """A pass is over."""
        if self._heartbeat is not None:
            self._heartbeat.ping(failed=failed)

    def changed(self) -> None:
        """What holds has changed."""
        for way in self._ways.values():
            if isinstance(way.runs, Refresh):
                way.runs.wake()

    def open(self, config: Config, letters: Iterable[Letter] = ()) -> list[Letter]:
        """Run what the configuration asks for, end what it no longer does. Gives the letters that go nowhere now."""
        wanted = {destination.name or "": destination for destination in config.alerts.destinations}
        waiting = list(letters)
        for name, way in list(self._ways.items()):
            if wanted.get(name) != way.destination:
                way.task.cancel()
                if isinstance(way.runs, Lane):
                    waiting += way.runs.left()
                del self._ways[name]
                self._failing.pop(name, None)
        for name, destination in wanted.items():
            if name not in self._ways:
                self._ways[name] = self._way(name, destination, [each for each in waiting if each.destination == name])
        secret = config.alerts.heartbeat_url
        self._beat("" if secret is None else secret.get_secret_value())
        lanes = dict(self.lanes())
        return [each for each in waiting if each.destination not in lanes]

    async def settled(self, patience: timedelta) -> None:
        """Wait until each destination has taken, or not taken, what there is for it, but at most ``patience``."""
        events = [way.runs.settled for way in self._ways.values()]
        events += [self._heartbeat.settled] if self._heartbeat is not None else []
        waiting = [asyncio.ensure_future(event.wait()) for event in events]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=patience.total_seconds())
            for each in late:
                each.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def close(self, patience: timedelta) -> None:
        """Let letters that are on the wire arrive for at most ``patience``, and end."""
        sending: set[asyncio.Task[None]] = set()
        for way in self._ways.values():
            if isinstance(way.runs, Lane) and way.runs.sending:
                way.runs.last()
                sending.add(way.task)
        for task in self._tasks - sending:
            task.cancel()
        if sending:
            await asyncio.wait(sending, timeout=patience.total_seconds())
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._post.close()

    def _way(self, name: str, destination: Destination, letters: list[Letter]) -> _Running:
        route = route_of(destination)
        channel = channel_of(destination, self._post, self._clock)
        runs: Lane | Refresh
        if isinstance(channel, Alertmanager):
            runs = Refresh(name, RESEND, self._telling(channel, route), self._heard)
        else:
            runs = Lane(name, channel, letters, self._clock, self._arrived, self._heard)
        return _Running(destination, route, runs, self._spawn(runs.run()))

    def _beat(self, url: str) -> None:
        if url == self._heartbeat_url:
            return
        if self._beating is not None:
            self._beating.cancel()
        self._heartbeat_url, self._heartbeat, self._beating = url, None, None
        if url:
            lost: Callable[[str], None] = lambda why: self._logs.say("warning", "heartbeat_failed", error=why)  # noqa: E731
            self._heartbeat = Heartbeat(url, self._post, self._clock, lost)
            self._beating = self._spawn(self._heartbeat.run())

    def _telling(self, alertmanager: Alertmanager, route: Route) -> Callable[[], Awaitable[str]]:
        told: frozenset[tuple[str, Severity]] = frozenset()

        async def tell() -> str:
            nonlocal told
            now = self._clock.now()
            log = AlertLog({name: each for name, each in self._log().entries.items() if route.wants(each.alert)})
            await alertmanager.tell(log.entries.values(), now)
            before, told = told, log.firing(now)
            return f"{len(told)} alerts fire" if told != before else ""

        return tell

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _heard(self, told: DeliveryAttempt) -> None:
        """Count a try, and log it: what an Alertmanager is told every minute only where something is new."""
        self._count(told.destination, told.outcome)
        name, title = told.destination, told.title or None
        if told.outcome is DeliveryOutcome.ACCEPTED:
            self._failing.pop(name, None)
            if title:
                self._logs.say("info", "alert_sent", destination=name, title=title)
        elif title or self._failing.get(name) != told.error:
            self._failing[name] = told.error
            dropped = True if told.outcome is DeliveryOutcome.DROPPED else None
            fields = {"title": title, "error": told.error, "next_at": told.next_at, "dropped": dropped}
            self._logs.say("error" if dropped else "warning", "alert_failed", destination=name, **fields)


def route_of(destination: Destination) -> Route:
    """What a destination wants to hear of."""
    return Route(Severity(destination.min_severity), frozenset(destination.reasons), destination.zones)


def channel_of(destination: Destination, post: HttpSender, clock: Clock) -> Channel:
    """The way to a destination."""
    if destination.alertmanager is not None:
        url, route = destination.alertmanager.get_secret_value(), route_of(destination)
        return Alertmanager(url, post, route, heartbeat=destination.heartbeat)
    if destination.webhook is not None:
        secret = destination.secret.get_secret_value() if destination.secret is not None else ""
        return Webhook(destination.webhook.get_secret_value(), secret, post, clock.now)
    return Service(destination.url.get_secret_value() if destination.url is not None else "")


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a test at one destination; ``error`` is empty when it was accepted."""

    destination: str
    error: str = ""


async def try_out(config: Config, name: str, clock: Clock, post: HttpSender) -> list[Tried]:
    """``test-alert``: send a marked test to one destination, or with no ``name`` to all of them, and say what happened.

    Nothing is kept, so nothing is tried again.
    """
    found = [each for each in config.alerts.destinations if name in ("", each.name)]

    async def attempt(destination: Destination) -> Tried:
        to = destination.name or ""
        channel = channel_of(destination, post, clock)
        try:
            await channel.send(Letter(0, to, trial(to, clock.now())))
        except Undelivered as why:
            return Tried(to, str(why))
        return Tried(to)

    try:
        return list(await asyncio.gather(*map(attempt, found)))
    finally:
        await post.close()
