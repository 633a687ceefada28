"""The other spine: how people are alerted.

After each pass: which alerts hold (``rules``) → what of them is new (``dedup``) → a message for each destination that
wants it (``messages``; all three are ``evaluation``) → log and messages on disk in one transaction (``writing``) → to
the destinations (``destinations``). Nothing of that ever raises, and nothing is waited for but, a while, the disk: each
destination has a task of its own.

Built and closed by ``daemon``. Everything happens in the loop's thread, but for the arithmetic over a large fleet.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from msgspec.structs import replace

from watchdog.config.schema import Config
from watchdog.model.alerts import AlertLog, Message
from watchdog.model.clock import Clock
from watchdog.model.event_names import EventName
from watchdog.model.events import Event
from watchdog.model.leases import ALONE, WATCHDOG, Tenure
from watchdog.model.report import Inventory
from watchdog.model.text import defect
from watchdog.notify.dedup import unsilenced
from watchdog.notify.destinations import Destinations, Logs
from watchdog.notify.evaluation import Evaluated, addressed, evaluate
from watchdog.notify.http import HttpSender
from watchdog.notify.messages import firing_json
from watchdog.notify.retirement import Strangers, ended, retired
from watchdog.notify.rules import ALL_WELL, HealthReport, nothing_seen
from watchdog.notify.writing import AlertWriter, Ask
from watchdog.state import outbox
from watchdog.state.database import StateError
from watchdog.state.leases import LeaseLost
from watchdog.state.outbox import Unwritten
from watchdog.state.store import Store


class Pipeline:
    """Alerts people. ``start`` it before the first pass, ``close`` it after the last.

    ``destinations`` are there to be asked; what they are to do is said here.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        ask: Ask,
        *,
        clock: Clock,
        logs: Logs,
        count: Callable[[str, str], None] = lambda _destination, _outcome: None,
        http: HttpSender,
        journal: Callable[[list[Event]], None] = lambda _events: None,
        tenure: Tenure = ALONE,
        worked: Callable[[str], bool] = lambda _account: True,
        once: bool = False,
    ) -> None:
        """``ask`` runs what it is given in the thread that ``store`` belongs to. ``count`` counts tries.

        ``journal`` keeps what people were told, for looking back. What is not held by ``tenure`` is told by others;
        nor is anything of an account before it was ``worked``: nobody knows yet what has ended meanwhile. ``once``
        where there is a single pass, and no later.
        """
        self._worked = worked
        self._tenure = tenure
        self._alone = tenure.fence() is None
        self._config = config
        self._store = store
        self._ask = ask
        self._writer = AlertWriter(store, ask, logs, tenure)
        self._clock = clock
        self._logs = logs
        self._started_at = clock.now()
        self._log = AlertLog()
        self._silenced: dict[str, datetime] = {}
        self._dropped: set[str] = set()
        self._strangers = Strangers(once=once)
        self._considering = asyncio.Lock()
        self.destinations = Destinations(
            http=http,
            clock=clock,
            logs=logs,
            count=count,
            forget=self._forget,
            log=lambda: unsilenced(self._log, self._silenced),
            journal=journal,
            may_tell=self._may_tell,
        )

    # ── lifetime ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Load the log and what is still to be delivered, and begin to deliver."""
        messages: list[Message] = []
        try:
            kept = await self._writer.load(None if self._alone else ())
        except StateError as error:  # what was sent may be sent again
            self._logs.write(EventName.ALERT_FAILED, "error", error=str(error))
        else:
            self._log, messages = kept.log, kept.messages
        self._writer.forget(self.destinations.prepare(self._config)(messages))

    async def adopt(self, accounts: Collection[str]) -> None:
        """These are this process's to tell of: load what was told of them, and go on. Raises ``StateError``.

        What is told from now on has higher numbers than whatever was told of them before.
        """
        kept, last_id = await self._writer.take_over(accounts)
        async with self._considering:
            _, others = self._log.split(accounts)
            self._log = others.joined(kept.log)
            self._writer.go_on_from(last_id)
            self._writer.forget(message for message in kept.messages if not self.destinations.put(message))

    def release(self, accounts: Collection[str]) -> None:
        """Another replica tells of these accounts: forget what is known of them."""
        _, self._log = self._log.split(accounts)
        for account in accounts:
            self.destinations.withdraw(account)
            self._writer.release(account)
            self._dropped.add(account)

    async def flush(self) -> None:
        """Write what has gathered, as far as the disk takes it."""
        await self._writer.write_soon()

    def _may_tell(self, account: str) -> bool:
        """Of the watchdog itself whoever told last goes on while nobody is known to have taken over."""
        return self._tenure.keeps(account) if account == WATCHDOG else self._tenure.holds(account)

    def prepare(self, config: Config) -> Callable[[], None]:
        """Make what another configuration asks for. What is given switches to it, and cannot fail.

        What the configuration does not change goes on; messages to what is gone go too.
        """
        switch = self.destinations.prepare(config)

        def take() -> None:
            self._config = config
            self._writer.forget(switch([]))

        return take

    async def close(self, patience: timedelta = timedelta(seconds=3)) -> None:
        """Let messages that are on the wire arrive for at most ``patience``; others wait on disk for the next start."""
        await self.destinations.close(patience)
        await self._writer.write_soon()

    # ── after a pass ─────────────────────────────────────────────────────────────────────────────────────────────

    async def after_pass(
        self, inventory: Inventory, health: HealthReport = ALL_WELL, *, heartbeat: bool = True
    ) -> None:
        """A pass is over: ping the ``heartbeat``, if it is ours to ping, then send what is to be sent."""
        if heartbeat:
            blind = nothing_seen(inventory.zones, health)
            self.destinations.pass_completed(failed=blind or bool(health.state_error))
        await self.consider(inventory, health)

    async def consider(self, inventory: Inventory, health: HealthReport = ALL_WELL) -> None:
        """Send what is to be sent now; also between two passes, when the watchdog itself is in trouble."""
        async with self._considering:
            try:
                await self._consider(inventory, health)
            except Exception as surprise:  # noqa: BLE001  a defect here must not end the watch
                self._logs.write(EventName.ALERT_FAILED, "error", error=defect(surprise))

    async def _consider(self, inventory: Inventory, health: HealthReport) -> None:
        now, config, before, mine = self._clock.now(), self._config, self._log, None
        if not self._alone:
            mine = {name for name in config.accounts if self._may_tell(name) and self._worked(name)}
            mine |= {WATCHDOG} if self._may_tell(WATCHDOG) else set()
            before, _ = before.split(mine)
        self._dropped.clear()
        routes = dict(self.destinations.routes())
        # While zones cannot be listed, nobody knows whether an account only got another name.
        all_known = self._alone and not health.discovery and all(map(self._worked, config.accounts))
        kept = not health.state_error and self._writer.keeps

        def step() -> tuple[Evaluated, Unwritten]:
            found = evaluate(
                before,
                inventory,
                health,
                config,
                routes,
                started_at=self._started_at,
                now=now,
                mine=mine,
                all_known=all_known,
                kept=kept,
            )
            return found, outbox.difference(before, found.log)

        found, changes = await asyncio.to_thread(step)
        log, new = found.log, found.messages
        if mine is not None:
            await self._writer.see_to_numbers(len(new))  # before it is asked what was lost: that may take its time
            if lost := {*self._dropped} & mine:  # somebody else tells of them by now
                _, log = log.split(lost)
                new = [message for message in new if message.owner not in lost]
                for account in lost:
                    changes.drop(account)
            _, others = self._log.split(mine)
            log = others.joined(log)
        then, self._silenced = self._silenced, found.silenced
        whole, self._log = self._log, log
        numbered = self._writer.numbered(new)
        self._writer.note(changes, numbered)
        await self._writer.write_soon()
        self._put(numbered)
        if not self._alone and self._may_tell(WATCHDOG):
            await self._retire(inventory, health, now)
        if unsilenced(whole, then).firing() != unsilenced(log, found.silenced).firing():
            self.destinations.alerts_changed()

    async def _retire(self, inventory: Inventory, health: HealthReport, now: datetime) -> None:
        """Tell the end of alerts of accounts that no replica is configured with, and keep nothing of them.

        They have no holder. Whoever tells of the watchdog itself does it, under that lease.
        """
        if not health.configured:
            return
        config, known = self._config, {WATCHDOG, *self._config.accounts, *health.configured}
        try:
            found = await self._ask(partial(outbox.accounts, self._store)) - known
            log = (await self._ask(partial(outbox.load, self._store, found))).log if found else AlertLog()
            certain = retired((each.alert for each in log.states.values()), known, config, inventory)
            certain = certain if not health.discovery else frozenset()  # as above
            for account in self._strangers.due(log, found, certain, health.worked, now):
                await self._retire_account(account, log.split([account])[0], now)
        except LeaseLost as lost:
            self._tenure.lost(lost.epochs)
        except StateError:  # as above: then the next time
            return

    async def _retire_account(self, account: str, log: AlertLog, now: datetime) -> None:
        routes = dict(self.destinations.routes())
        decided = ended(log, now, self._config.alerts.repeat_every, listening=bool(routes))
        new = addressed(log, decided, routes, now)
        await self._writer.see_to_numbers(len(new))
        numbered = [replace(message, told_under=WATCHDOG) for message in self._writer.numbered(new)]
        fence = self._tenure.fence()
        fence = fence.of([WATCHDOG]) if fence is not None else None
        self._put(await self._ask(partial(outbox.retire, self._store, account, numbered, fence)))

    def _put(self, numbered: list[Message]) -> None:
        """On their way, but for what lies in the outbox for who tells of the account by now."""
        kept = (message for message in numbered if message.owner not in self._dropped)
        # Else a reload took its destination away meanwhile.
        self._writer.forget(message for message in kept if not self.destinations.put(message))

    async def _forget(self, message: Message) -> None:
        self._writer.forget([message])
        await self._writer.write_soon()

    # ── answers to those who ask ─────────────────────────────────────────────────────────────────────────────────

    def rows(self) -> dict[str, Any]:
        """What fires, as JSON; in any thread."""
        return firing_json(self._log.states.values(), self._silenced)

    def firing(self) -> Mapping[tuple[str, str], int]:
        """How many alerts fire, by reason and severity."""
        return self._log.firing_counts()
