"""The destinations of the configuration: for each, and for the heartbeat, a ``Delivery`` with a task of its own.

``pipeline`` hands messages in and says when other alerts fire; nobody waits for what happens then. A reload leaves
alone what it does not change.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

import msgspec

from watchdog.config.schema import Config, Destination
from watchdog.config.secrets import Secret
from watchdog.model.alerts import AlertLog, Message, Route
from watchdog.model.clock import Clock
from watchdog.model.event_names import EventName
from watchdog.model.events import Event
from watchdog.model.outcomes import DeliveryOutcome
from watchdog.notify.alertmanager import RESEND
from watchdog.notify.channel import Delivery
from watchdog.notify.heartbeat import Heartbeat
from watchdog.notify.http import HttpSender
from watchdog.notify.queue import DeliveryAttempt, MessageQueue, Refresh
from watchdog.notify.routing import alertmanager_of, channel_of, route_of

_ZONES_SHOWN = 10
"""Zones that a line of the log names; its fingerprints are those of all alerts that the message carries."""

HEARTBEAT = "(heartbeat)"
"""The heartbeat's place among the destinations: none can have this name."""


class Logs(Protocol):
    """Where events are logged."""

    def write(self, event: EventName, level: str = "", /, **fields: object) -> None:
        """One line."""


Switch = Callable[[Iterable[Message]], list[Message]]
"""Switches to other destinations, which take these messages as well; gives those that go nowhere now."""


class _Running(msgspec.Struct):
    """What runs for one destination, and the settings it was made from."""

    settings: Destination | Secret
    delivery: Delivery
    task: asyncio.Task[None]


class Destinations:
    """Every destination. To be made and used in the loop's thread."""

    def __init__(
        self,
        *,
        http: HttpSender,
        clock: Clock,
        logs: Logs,
        count: Callable[[str, str], None],
        forget: Callable[[Message], Awaitable[None]],
        log: Callable[[], AlertLog],
        journal: Callable[[list[Event]], None],
        may_tell: Callable[[str], bool] = lambda _account: True,
    ) -> None:
        """``count`` counts tries, ``forget`` takes each message that need not be kept; ``log`` is the alert log.

        ``journal`` keeps what people were told, and what they could not be.
        """
        self._http = http
        self._clock = clock
        self._logs = logs
        self._count = count
        self._forget = forget
        self._log = log
        self._journal = journal
        self._may_tell = may_tell
        self._running: dict[str, _Running] = {}
        self._routes: dict[str, Route] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._failing: dict[str, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Every destination's."""
        return tuple(name for name in self._running if name != HEARTBEAT)

    def routes(self) -> Iterator[tuple[str, Route]]:
        """The destinations that take messages, and what they want."""
        return ((name, self._routes[name]) for name, each in self._running.items() if each.delivery.takes_messages)

    def backlog(self) -> dict[str, tuple[int, str]]:
        """By destination: how many messages wait for it, and why the last try failed (empty: it did not)."""
        return {
            name: (len(each.delivery.undelivered()), self._failing.get(name, ""))
            for name, each in self._running.items()
            if name != HEARTBEAT
        }

    def put(self, message: Message) -> bool:
        """Send a message on its way; false when its destination is gone."""
        running = self._running.get(message.destination)
        if running is None or not running.delivery.takes_messages:
            return False
        running.delivery.put(message)
        return True

    def withdraw(self, account: str) -> None:
        """Another replica delivers what there is of this account."""
        for running in self._running.values():
            running.delivery.withdraw(account)

    def pass_completed(self, *, failed: bool) -> None:
        """A pass is over."""
        for running in self._running.values():
            running.delivery.pass_completed(failed=failed)

    def alerts_changed(self) -> None:
        """Other alerts fire than before."""
        for running in self._running.values():
            running.delivery.alerts_changed()

    def prepare(self, config: Config) -> Switch:
        """Make what the configuration asks for and is not there yet; what is there goes on meanwhile.

        What is given switches to it, and cannot fail. It must not be waited for anything before it is called.
        """
        wanted: dict[str, tuple[Destination | Secret, Callable[[], Delivery]]] = {}
        for destination in config.alerts.destinations:
            name = destination.name or ""
            wanted[name] = (destination, partial(self._delivery, name, destination))
        if (url := config.alerts.heartbeat_url) is not None:
            wanted[HEARTBEAT] = (url, partial(self._heartbeat, url))
        routes = {destination.name or "": route_of(destination) for destination in config.alerts.destinations}
        kept = {name for name, each in self._running.items() if name in wanted and wanted[name][0] == each.settings}
        made = {name: (settings, make()) for name, (settings, make) in wanted.items() if name not in kept}

        def switch(messages: Iterable[Message] = ()) -> list[Message]:
            waiting = list(messages)
            for name in self._running.keys() - kept:
                ended = self._running.pop(name)
                ended.task.cancel()
                waiting += ended.delivery.undelivered()
                self._failing.pop(name, None)
            for name, (settings, delivery) in made.items():
                self._running[name] = _Running(settings, delivery, self._spawn(delivery.run()))
            self._routes = routes
            return [message for message in waiting if not self.put(message)]

        return switch

    async def settled(self, patience: timedelta) -> None:
        """Wait until each destination has taken, or not taken, what there is for it, but at most ``patience``."""
        waiting = [asyncio.ensure_future(each.delivery.settled.wait()) for each in self._running.values()]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=patience.total_seconds())
            for each in late:
                each.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def close(self, patience: timedelta) -> None:
        """Let messages that are on the wire arrive for at most ``patience``, and end."""
        sending: set[asyncio.Task[None]] = set()
        for running in self._running.values():
            if running.delivery.sending:
                running.delivery.finish()
                sending.add(running.task)
        for task in self._tasks - sending:
            task.cancel()
        if sending:
            await asyncio.wait(sending, timeout=patience.total_seconds())
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._http.close()

    def _delivery(self, name: str, destination: Destination) -> Delivery:
        if destination.alertmanager is not None:
            alertmanager = alertmanager_of(destination, self._http)
            return Refresh(name, RESEND, lambda: alertmanager.refresh(self._log(), self._clock.now()), self._report)
        channel = channel_of(destination, self._http, self._clock)
        return MessageQueue(
            name,
            channel,
            clock=self._clock,
            forget=self._forget,
            report=self._report,
            may_tell=self._may_tell,
        )

    def _heartbeat(self, url: Secret) -> Delivery:
        def lost(why: str) -> None:
            self._logs.write(EventName.HEARTBEAT_FAILED, error=why)

        return Heartbeat(url.get_secret_value(), self._http, self._clock, lost)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _report(self, attempt: DeliveryAttempt) -> None:
        """Count a try, and log it: of what is sent again every minute only what is new."""
        self._count(attempt.destination, attempt.outcome)
        name, title, message = attempt.destination, attempt.title or None, attempt.message
        told = {**_told(message), "destinations": [name], "title": title}
        if attempt.outcome is DeliveryOutcome.ACCEPTED:
            self._failing.pop(name, None)
            if title:
                self._logs.write(EventName.ALERT_SENT, **told)
            if message is not None:
                self._journal(Event.alerted(message, self._clock.now()))
            return
        again = self._failing.get(name) == attempt.error
        dropped = attempt.outcome is DeliveryOutcome.DROPPED
        self._failing[name] = attempt.error
        if title or not again:
            fields = {"error": attempt.error, "next_at": attempt.next_at, "dropped": dropped or None}
            self._logs.write(EventName.ALERT_FAILED, "error" if dropped else "warning", **told, **fields)
        if message is not None and (dropped or not again):
            self._journal(Event.alerted(message, self._clock.now(), attempt.error, dropped=dropped))


def _told(message: Message | None) -> dict[str, object]:
    """What a line says of a message."""
    if message is None:
        return {}
    alerts = [notice.alert for notice in message.notices]
    return {
        "message_id": message.id,
        "reason": message.reason,
        "severity": message.severity,
        "kind": message.notices[0].kind if message.notices else None,
        "zones": list(dict.fromkeys(alert.zone for alert in alerts if alert.zone))[:_ZONES_SHOWN] or None,
        "fingerprints": [alert.fingerprint for alert in alerts] or None,
    }
