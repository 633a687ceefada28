"""What happens when an account comes to this replica, or goes: memory, budget, quota, alerts, the agenda, the log.

``replicas.keeper`` says when; this knows all there is of an account. Built by ``daemon``, and by ``commands.once``.
"""

from collections import Counter
from collections.abc import Callable, Collection
from datetime import timedelta

from watchdog.model.clock import anchor
from watchdog.model.event_names import EventName
from watchdog.model.events import Event
from watchdog.model.leases import WATCHDOG, Lease
from watchdog.runtime import Runtime, take_up

_AGAIN = timedelta(milliseconds=50)


class Handover:
    """Attends the accounts of one ``Runtime``. ``arrived`` is called when there is new work."""

    def __init__(self, runtime: Runtime, arrived: Callable[[], None] = lambda: None) -> None:
        self._runtime = runtime
        self._arrived = arrived
        self.transitions: Counter[str] = Counter()
        """How often the lease of each account came or went."""

    async def take_in(self, leases: Collection[Lease]) -> None:
        """Load all that is known of these accounts. Raises ``StateError``."""
        runtime, lasting = self._runtime, self._runtime.lasting
        accounts = [lease.account for lease in leases]
        if worked := [account for account in accounts if account != WATCHDOG]:
            lasting.budget.shift(lasting.memory.observe_clock(anchor(lasting.clock)))
            take_up(lasting, await lasting.memory.adopt(worked), settling=True)
            for account in worked:
                if (client := runtime.components.clients.get(account)) is not None:
                    client.quota.count_anew(lasting.memory.booked.of(account))
        if runtime.pipeline is not None:
            await runtime.pipeline.adopt(accounts)

    def taken(self, leases: Collection[Lease]) -> None:
        """Begin to watch these accounts."""
        for lease in leases:
            self._note(EventName.LEASE_ACQUIRED, lease)
        self._runtime.passes.enrol([lease.account for lease in leases])
        if leases:
            self._arrived()

    async def finish(self, account: str) -> None:
        """Wait until no look or restart of the account is under way, and write all that is known of it."""
        runtime = self._runtime
        while runtime.passes.busy[account]:
            await runtime.lasting.clock.sleep(_AGAIN)
        await runtime.lasting.memory.writer.flush()
        if runtime.pipeline is not None:
            await runtime.pipeline.flush()

    def let_go(self, leases: Collection[Lease], *, given: bool) -> None:
        """Forget what is known of these accounts."""
        runtime, accounts = self._runtime, {lease.account for lease in leases}
        runtime.lasting.memory.release(accounts)
        runtime.passes.worked -= accounts
        if runtime.pipeline is not None:
            runtime.pipeline.release(accounts)
        runtime.passes.enrol(accounts)
        for lease in leases:
            if lease.instance:
                self._note(EventName.LEASE_HANDED_OVER if given else EventName.LEASE_LOST, lease)

    def _note(self, event: EventName, lease: Lease) -> None:
        """In the log and in the journal, of which it is part once the database can be reached."""
        self.transitions[lease.account] += 1
        lasting, account = self._runtime.lasting, lease.account or None
        lasting.memory.note_leases([Event.of_lease(event, lease, lasting.clock.now())])
        self._runtime.telemetry.logs.write(event, account=account, epoch=lease.epoch, holder=lease.holder)
