"""How the daemon stands: for ``/healthz``, ``/readyz``, ``systemctl status`` and the alerts about the watchdog itself.

``daemon`` notes here what happens to it; whoever asks is answered from that and from what is remembered.
"""

import asyncio
from datetime import datetime, timedelta

from msgspec.structs import replace

from watchdog.model.clock import rfc3339, span
from watchdog.model.leases import WATCHDOG, Replica, away
from watchdog.model.reasons import Reason
from watchdog.model.report import Inventory, PassReport
from watchdog.model.text import counted
from watchdog.notify.rules import HealthReport
from watchdog.runtime import Runtime
from watchdog.state.quarantine import caution
from watchdog.version import VERSION

SEEN_WITHIN, SEEN_GRACE = 3, timedelta(seconds=60)
"""The heartbeat ceases where the replica that works an account has seen no zone of it for so many passes, and so much
longer."""

ANSWERS_WITHIN = timedelta(seconds=3)
"""How long whoever asks whether we are ready waits for the state: behind a pooler it may let us wait for minutes."""


class Health:
    """What is known of the daemon's own work."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._clock = runtime.components.clock
        self.pass_due: float | None = None
        """When the pass under way is to end (monotonic, in seconds); ``None`` where there is none."""
        self.last: PassReport | None = None
        self.refusal = ""
        """Why the configuration was not taken at the last reload; empty when it was."""
        self.overdue_since: datetime | None = None
        self._unheld: dict[str, datetime] = {}
        self.loaded_at = self._clock.now()
        """When the configuration that holds was loaded."""

    def pass_begun(self, due: float) -> None:
        """A pass is under way, which is to end before ``due`` (monotonic, in seconds)."""
        self.pass_due = due

    def pass_ended(self, report: PassReport) -> None:
        """It has ended."""
        self.pass_due, self.last = None, report

    def configuration_taken(self) -> None:
        """Another configuration holds from now on."""
        self.refusal, self.loaded_at = "", self._clock.now()

    def healthy(self) -> tuple[bool, str]:
        """Whether the loop turns and no pass hangs, and a sentence."""
        if self.pass_due is not None and self._clock.monotonic() >= self.pass_due:
            return False, "a pass does not end"
        return True, "ok"

    async def ready(self) -> tuple[bool, str]:
        """Whether the first pass is done and the state can be written, and a sentence."""
        writer, keeper = self._runtime.components.memory.writer, self._runtime.keeper
        if self.last is None:
            return False, "the first pass is not done"
        if keeper is not None and keeper.trouble:
            return False, f"the state cannot be used: {keeper.trouble}"
        try:
            async with asyncio.timeout(ANSWERS_WITHIN.total_seconds()):
                writable = await writer.writable()
        except TimeoutError:
            return False, f"the state cannot be used: it has not answered within {span(ANSWERS_WITHIN)}"
        if not writable:
            return False, f"the state cannot be written: {writer.error or 'the disk refuses'}"
        if keeper is None:
            return True, "ok"
        accounts = [account for account in self._runtime.config.accounts if keeper.held.holds(account)]
        if not accounts:
            return True, "standby: works no account, ready to take over"
        return True, f"ok: works {counted(len(accounts), 'account')} of {len(self._runtime.config.accounts)}"

    def state_error(self) -> str:
        """Why the state could not be used when that was last tried; empty when it could."""
        keeper = self._runtime.keeper
        return (keeper.trouble if keeper is not None else "") or self._runtime.components.memory.writer.error

    # ── as one of several replicas ───────────────────────────────────────────────────────────────────────────────

    def described(self, me: Replica) -> Replica:
        """What the other replicas are told of this one."""
        config, troubles = self._runtime.config, {}
        if self.refusal:
            troubles[str(Reason.CONFIG_REFUSED)] = self.refusal
        if self.overdue_since is not None:
            troubles[str(Reason.PASS_OVERDUE)] = f"a pass has not ended since {rfc3339(self.overdue_since)}"
        return replace(me, accounts=tuple(config.accounts), troubles=troubles, version=VERSION, config=config.digest)

    def seeing(self, found: Inventory) -> list[str]:
        """The accounts of ours of which zones were seen at the last look, or which have none."""
        components, worked = self._runtime.components, self._runtime.passes.worked
        looked_at = [zone for zone in found.zones if zone.tried_at is not None]
        blind = {zone.account for zone in looked_at} - {zone.account for zone in looked_at if not zone.error}
        blind |= components.watched.failures.keys() - {zone.account for zone in looked_at}
        return [account for account in worked - blind if components.tenure.holds(account)]

    def all_seen(self) -> bool:
        """Whether every account has a holder that sees its zones, and it is ours to say so."""
        keeper, schedule = self._runtime.keeper, self._runtime.config.schedule
        if keeper is None:
            return True
        if not keeper.held.holds(WATCHDOG) or keeper.roll is None:
            return False
        at, lately = keeper.roll.at, SEEN_WITHIN * schedule.attention_interval + SEEN_GRACE
        leases = [keeper.roll.leases.get(account) for account in self._runtime.config.accounts]
        return all(
            lease is not None and lease.held(at) and lease.seen_at is not None and at - lease.seen_at <= lately
            for lease in leases
        )

    def _accounts_unheld(self) -> dict[str, datetime]:
        """Accounts that some replica could work, or worked until it died, and none does, and since when that is known.

        One that was handed back by a replica that stopped is none: somebody meant it to stop.
        """
        keeper = self._runtime.keeper
        if keeper is None or keeper.roll is None:
            return {}
        roll, now = keeper.roll, self._clock.now()
        known = {account for replica in roll.replicas.values() for account in replica.accounts}
        known |= {account for account in away(roll, known) if roll.leases[account].instance}
        free = {account for account in known if (lease := roll.leases.get(account)) is None or not lease.held(roll.at)}
        self._unheld = {account: self._unheld.get(account, now) for account in sorted(free)}
        return dict(self._unheld)

    def _configured(self) -> frozenset[str]:
        """Every account that this replica, another that lives, or one that may come back, is configured with.

        Empty where that is not known.
        """
        keeper = self._runtime.keeper
        if keeper is None or keeper.roll is None:
            return frozenset()
        others = (each for each in keeper.roll.replicas.values() if each.instance != keeper.me.instance)
        living = frozenset(self._runtime.config.accounts).union(*(each.accounts for each in others))
        return living | away(keeper.roll, living)

    def _worked(self) -> dict[str, datetime]:
        """When each account was last worked, as the leases show it."""
        roll = self._runtime.keeper.roll if self._runtime.keeper is not None else None
        return {account: lease.worked_at for account, lease in roll.leases.items()} if roll is not None else {}

    def _elsewhere(self, reason: Reason) -> str:
        """What another replica has to say of its own trouble: it is told by one of all."""
        keeper = self._runtime.keeper
        if keeper is None or keeper.roll is None:
            return ""
        others = (each for each in keeper.roll.replicas.values() if each.instance != keeper.me.instance)
        said = ((each.name, each.troubles.get(str(reason), "")) for each in others)
        return next((f"replica {name}: {why}" for name, why in said if why), "")

    def newly_overdue(self) -> bool:
        """Whether a pass is found to hang for the first time since all was well."""
        if self.healthy()[0]:
            self.overdue_since = None
            return False
        newly = self.overdue_since is None
        self.overdue_since = self.overdue_since or self._clock.now()
        return newly

    def report(self) -> HealthReport:
        """What there is to be alerted of about the watchdog itself."""
        components = self._runtime.components
        lost = caution(components.memory.lost, self._runtime.config.restart.backoff.initial, self._clock.now())
        return HealthReport(
            state_error=self.state_error(),
            config_error=self.refusal or self._elsewhere(Reason.CONFIG_REFUSED),
            overdue_since=self.overdue_since,
            overdue_elsewhere=self._elsewhere(Reason.PASS_OVERDUE),
            discovery=dict(components.watched.failures),
            state_lost=lost,
            unheld=self._accounts_unheld(),
            configured=self._configured(),
            worked=self._worked(),
        )

    def summary(self, found: Inventory) -> str:
        """How things stand, in one line for ``systemctl status``. What was refused at a reload comes first.

        ``found`` is what is remembered now.
        """
        if not self.refusal:
            return self._work(found)
        first, *others = self.refusal.splitlines()
        more = f" (and {len(others)} more)" if others else ""
        goes_on = f"The configuration of {self.loaded_at:%H:%M:%S} UTC goes on."
        return f"Reload refused: {first}{more}. {goes_on} {self._work(found)}"

    def _work(self, found: Inventory) -> str:
        if self.last is None:
            return "The first pass is under way."
        need, unseen = sum(need.of_a_person for _, _, need in found.asking()), len(found.unseen())
        packs, zones = counted(found.count, "pack"), counted(len(found.zones), "zone")
        needed = f"{need} {'needs' if need == 1 else 'need'} a person" if need else "none needs a person"
        parts = [f"{packs} in {zones}; {needed}"]
        parts += [f"{counted(unseen, 'zone')} not seen"] if unseen else []
        return "; ".join(parts) + f". Last pass {self.last.started_at:%H:%M:%S} UTC."
