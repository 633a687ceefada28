"""One pack's year at Cloudflare, and the people who answer for it. Pure: told the time in seconds, it never asks.

What is assumed of Cloudflare is what ``docs/cloudflare.md`` says is known. A renewal begins when its window opens.
Cloudflare places the tokens, or shows them to whoever does, and checks after 60 s, then ever more seldom, at most every
4 h. The first check with nothing in the way leads to the certificate; where none does in time, the validation has timed
out, its tokens are spent, and nothing happens until a restart brings new ones. In the last 24 hours nothing is renewed.

Nothing ticks: ``next`` says when something would change if nobody interferes, ``live`` goes there.
"""

import hashlib
import math
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate

from recovery_assumptions import ASKED, CLOSES, DAY, HOUR, MINUTE, Assumptions
from recovery_fate import CALM, Fate, PackFate, RenewalFate

from tests.harness.simulation.environment import START
from watchdog.simulator.life import Certificate
from watchdog.simulator.scenario import PackStart, ZoneStart

TIMED_OUT = "validation_timed_out"
PENDING = "pending_validation"
INITIALIZING, ISSUING, DEPLOYING = 10.0, 40.0, 30.0
"""How long the other stages of an order take."""


def _checks() -> list[float]:
    """When Cloudflare looks, from the beginning of a validation.

    The wait grows by 16 % each time, so that it reaches 4 h after some 29 h, as documented.
    """
    waits, wait = [], 60.0
    while sum(waits) < 15 * DAY:
        waits.append(wait)
        wait = min(wait * 1.16, 4 * HOUR)
    return list(accumulate(waits))


CHECKS = _checks()

SAYS = {
    "authority_hiccup": "Internal error with Certificate Authority",
    "dns_outage": "The Certificate Authority had trouble performing a DNS lookup: SERVFAIL",
    "dnssec_bogus": "The Certificate Authority had trouble performing a DNS lookup: dnssec: bogus",
    "caa_forbids": "CAA records block issuance for this domain",
    "http_blocked": "The token page answered HTTP 403",
    "authority_refuses": "The Certificate Authority will not issue for this domain",
    "authority_rate_limited": "The Certificate Authority has rate limited these domains",
}
"""What Cloudflare shows of a validation that the authority refused."""


def day_of(at: float, begins: float = 0.0) -> int:
    """The day, of those that begin at midnight (UTC), or so many seconds after it."""
    return int((at + START.hour * HOUR - begins) // DAY)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one troubled renewal, and how many seconds late it was."""

    trouble: str
    opened: float
    became: str
    expired: bool
    late: float


@dataclass(slots=True)
class Tally:
    """What became of a year, to be added up."""

    counts: Counter[str] = field(default_factory=Counter)
    renewals: dict[tuple[int, int], "Outcome"] = field(default_factory=dict)
    mails: Counter[tuple[int, int, int]] = field(default_factory=Counter)  # by pack, renewal and day
    said: dict[tuple[int, int, int], list[tuple[float, str]]] = field(default_factory=dict)  # the same, as they begin
    trace: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Take in another part of the same year."""
        self.counts += other.counts
        self.renewals |= other.renewals
        self.mails += other.mails
        self.said |= other.said
        self.trace += other.trace


class Pack:
    """One pack. What the simulator's endpoints and shapes ask of a ``Life``, it answers as well."""

    branded = False

    def __init__(self, fate: Fate, drawn: PackFate, zone: ZoneStart, tally: Tally) -> None:
        self.fate, self.drawn, self.zone, self.tally = fate, drawn, zone, tally
        self.assumed: Assumptions = fate.assumed
        host = f"p{drawn.number}.{drawn.zone}"
        wild = drawn.validation != "http"
        self.hosts = (host, f"*.{host}") if wild else (host,)
        self.validation_method = "txt" if wild else "http"
        self.authority = drawn.authority
        self.generation = 0  # of orders: a person who orders anew brings another id
        self.start = self._ordered()
        self.status, self.since = "active", 0.0
        self.number = -1  # of the renewal
        self.met: RenewalFate = CALM
        self.opens, self.expires = drawn.first - drawn.period, drawn.first + drawn.window
        self.done_at: float | None = 0.0
        self.clear_at = 0.0  # when the renewal's own trouble is over
        self.begun = 0.0  # when the validation did
        self.serial = 0  # of its tokens
        self.placed = 0  # of the tokens in DNS, where a person places them
        self.ever_placed = False
        self.passes_at = self.ends_at = math.inf
        self.restarted: int | None = None  # the tokens of the last restart
        self.limited_until = 0.0
        self.failed: deque[float] = deque()  # what the authority counts against the name
        self.told_at: float | None = None
        self.told_well = False
        self.told_serial = 0
        self.acts_at = math.inf
        self.acted = 0
        self.heard: deque[float] = deque()
        self.tired_until = 0.0
        self.reordered = False
        self.restart_wanted = False
        self.now = 0.0  # of the last look
        self.checked_at = -math.inf  # when somebody last asked for a check

    # ── what happens by itself ───────────────────────────────────────────────────────────────────────────────────

    @property
    def closes(self) -> float:
        """When Cloudflare stops renewing it."""
        return self.expires - CLOSES

    @property
    def open(self) -> bool:
        """Whether a renewal is under way, or was lost."""
        return self.done_at is None

    def next(self) -> float:
        """When something changes, if nobody interferes."""
        times = [self._stage()[0], self.acts_at, self.drawn.first + (self.number + 1) * self.drawn.period]
        if self.open:
            times.append(self.expires if not self._gone else math.inf)
            times.append(self._seen_clear)
        return min(times)

    def live(self, now: float) -> None:
        """Go through everything that has happened until ``now``."""
        while (at := self.next()) <= now:
            self._step(at)
        self.now = now

    def _step(self, at: float) -> None:
        when, status = self._stage()
        if at == when:
            self._enter(status, at)
        elif at == self.acts_at:
            self._act(at)
        elif self.open and at == self._seen_clear:
            self._noticed_clear = True
        elif self.open and at == self.expires and not self._gone:
            self._expire(at)
        else:
            self._renew(at)

    def _stage(self) -> tuple[float, str]:
        match self.status:
            case "initializing":
                return self.since + INITIALIZING, PENDING
            case "pending_validation":
                if self.passes_at <= self.ends_at:
                    return self.passes_at, "pending_issuance"
                return self.ends_at, TIMED_OUT
            case "pending_issuance":
                return self.since + ISSUING, "pending_deployment"
            case "pending_deployment":
                return self.since + DEPLOYING, "active"
            case _:
                return math.inf, ""

    def _enter(self, status: str, at: float) -> None:
        if status == TIMED_OUT:
            self._note(at, "timed out")
            self._spend("failed")
        elif status == "pending_issuance":
            self._spend("worked")
        elif status == "active":
            self._finish(at)
        self.status, self.since = status, at

    def _renew(self, at: float) -> None:
        """The next renewal begins, whatever became of the last one."""
        if self.open:
            self._close(at)
        self.number += 1
        self.authority = self.drawn.authority
        self.start = self._ordered()
        self.opens, self.expires = at, at + self.drawn.window
        self.met = self.fate.renewal(self.drawn, self.number)
        self.clear_at = at + self.met.lasts if self.met.trouble else 0.0
        self.done_at = None
        self._gone = self._noticed_clear = False
        self.told_at, self.told_well, self.acts_at, self.acted = None, False, math.inf, 0
        self.reordered = self.restart_wanted = False
        self._begin(at)
        if self.drawn.by_hand and self.met.trouble != "records_not_placed":
            self.placed, self.ever_placed = self.serial, True
            self.ends_at = self._ends(self.begun, at)
            self._schedule(at)
        else:
            self.ever_placed = False
        self.tally.counts["renewals"] += 1
        if self.met.trouble:
            self.tally.counts[f"troubles: {self.met.trouble}"] += 1

    _gone = False
    _noticed_clear = False

    @property
    def _seen_clear(self) -> float:
        """When the trouble is over: whoever looks finds it gone."""
        return self.clear_at if not self._noticed_clear and self.clear_at > self.opens else math.inf

    def _begin(self, at: float) -> None:
        self.status, self.since = "initializing", at
        self.begun, self.serial = at + INITIALIZING, self.serial + 1
        self.ends_at = self._ends(self.begun, math.inf if self._unplaced else self.begun)
        self._schedule(at)

    @property
    def _unplaced(self) -> bool:
        """Whether its tokens wait for a person: until then there is nothing to ask the authority."""
        return self.drawn.by_hand and self.placed != self.serial and not self.reordered

    def _ends(self, begun: float, placed: float) -> float:
        """When a validation that begins then, and its tokens are ``placed`` then, times out if nothing gets better."""
        short = self.assumed.refused_times_out
        after = bisect_left(CHECKS, placed - begun) if short and placed < math.inf else len(CHECKS)
        if after < len(CHECKS) and self._refused(begun + CHECKS[after]):
            return begun + CHECKS[after] - CHECKS[0] + short
        return begun + self.assumed.times_out[self.authority]

    def _schedule(self, now: float) -> None:
        """When this validation passes."""
        self.passes_at = self._first_pass(now)

    def would_work(self, at: float) -> bool:
        """Whether a restart now leads to a certificate, if people are told at once: only an oracle can ask that."""
        begun, clear = at + INITIALIZING, self.clear_at
        placed = max(begun, at + self._reaction()) if self.drawn.by_hand else begun
        if math.isinf(clear):
            clear = self.acts_at if self._told_kind(self.met.trouble) else math.inf
        clear = max(clear, placed, begun + CHECKS[0], self.limited_until)
        clear = max(clear, self._authority_out(clear) if clear < math.inf else 0.0)
        return clear + 2 * MINUTE <= min(self._ends(begun, placed), self.closes)

    def people_come_too_late(self, at: float) -> bool:
        """Whether nothing but the people who place the records of a restart keeps it from being in time."""
        return self.drawn.by_hand and not math.isinf(self.clear_at) and at + self._reaction() >= self.closes

    def _reaction(self) -> float:
        """How long people take this time."""
        return self.met.reactions[min(self.acted, len(self.met.reactions) - 1)] if self.met.reactions else 4 * HOUR

    def _first_pass(self, now: float) -> float:
        """The first check that finds nothing in the way; never, where that depends on somebody."""
        clear = max(now, self.clear_at, self.limited_until)
        if self._unplaced:
            return math.inf
        if math.isinf(clear):
            return math.inf
        last = math.inf if self.reordered else self.closes
        place = bisect_left(CHECKS, clear - self.begun)
        for after in CHECKS[place:]:
            at = self.begun + after
            if at > last or at > self.ends_at:
                break
            if not self.fate.authority_out(self.authority, at):
                return at
        return math.inf

    def blocked(self, now: float) -> bool:
        """Whether a check now would find something in the way."""
        return self._unplaced or now < max(self.clear_at, self.limited_until) or bool(self._authority_out(now))

    def _authority_out(self, now: float) -> float:
        return self.fate.authority_out(self.authority, now)

    def _refused(self, now: float) -> bool:
        """Whether the authority, asked now, says no."""
        own = now < self.clear_at and self.met.trouble in ASKED
        return own or now < self.limited_until or bool(self._authority_out(now))

    def _finish(self, at: float) -> None:
        usual = INITIALIZING + CHECKS[0] + ISSUING + DEPLOYING
        self.done_at = at
        late = max(0.0, at - self.opens - usual)
        self._settle("recovered", late)
        self.acts_at = math.inf
        self._note(at, "active")

    def _settle(self, became: str, late: float) -> None:
        if self.met.trouble or late > HOUR:
            trouble = self.met.trouble or "authority_hiccup"
            outcome = Outcome(trouble, self.opens, became, self._gone, late)
            self.tally.renewals[self.drawn.number, self.number] = outcome

    def _close(self, at: float) -> None:
        """The renewal is over for good without a certificate."""
        self._spend("failed")
        self._settle("lost", at - self.opens)
        self.done_at = at

    def end(self, at: float) -> None:
        """The year is over."""
        self.live(at)
        if self.open:
            self._settle("open", at - self.opens)

    def _expire(self, at: float) -> None:
        """Visitors see it at once, and whoever answers for the site hears of it; nobody has to name the cause then."""
        self._gone = True
        self.tally.counts["expired"] += 1
        self._note(at, "expired")
        self.told(at, well=True, message=False)

    # ── what somebody does ───────────────────────────────────────────────────────────────────────────────────────

    def restart(self, at: float, *, by_person: bool = False) -> None:
        """Begin the validation anew, with new tokens."""
        self._note(at, "restarted")
        self.tally.counts["restarts by people" if by_person else "restarts"] += 1
        self.restarted = None if by_person else self.serial + 1
        if self._limited(at):
            self.tally.counts["authority limits run into"] += 1
        self._begin(at)
        if self._refused(self.begun + CHECKS[0]):
            self.failed.append(at)

    def recheck_at(self, at: float) -> None:
        """Have the check made at once."""
        if self.status != PENDING:
            return
        self.tally.counts["rechecks"] += 1
        self.checked_at = at
        self._note(at, "rechecked")
        if self._limited(at):
            self.tally.counts["authority limits run into"] += 1
            self._schedule(at)
        if not self.blocked(at) and (at <= self.closes or self.reordered):
            self.passes_at = at
        elif self._refused(at):
            self.failed.append(at)

    def _limited(self, at: float) -> bool:
        """Whether the authority has had enough of the name; then nothing passes until it lets one more through."""
        while self.failed and self.failed[0] <= at - HOUR:
            self.failed.popleft()
        if self.authority != "lets_encrypt" or len(self.failed) < self.assumed.failed_per_hour:
            return False
        self.limited_until = max(self.limited_until, self.failed[0] + HOUR)
        return True

    def _spend(self, how: str) -> None:
        """What became of the last restart."""
        if self.restarted is not None and self.restarted == self.serial:
            self.tally.counts[f"restarts that {how}"] += 1
            self.restarted = None

    # ── people ───────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def needs_people(self) -> bool:
        """Whether a person can do anything now."""
        if not self.open:
            return False
        unplaced = self.drawn.by_hand and self.placed != self.serial and self.status in ("initializing", PENDING)
        return unplaced or math.isinf(self.clear_at) or self._gone or self.restart_wanted

    def told(self, at: float, *, well: bool, serial: int = 0, message: bool = True, said: str = "") -> None:
        """A person hears of it: ``well`` where the cause and the remedy are named. ``serial``: of the tokens shown."""
        if message:
            key = self.drawn.number, self.number, day_of(at)
            self.tally.mails[key] += 1
            self.tally.said.setdefault(key, []).append((at, f"{self.met.trouble or 'no trouble'}: {said}"))
            self.heard.append(at)
            while self.heard[0] <= at - DAY:
                self.heard.popleft()
            if len(self.heard) > self.assumed.ignore_after and at >= self.tired_until:
                self.tired_until = at + self.assumed.ignore_for
                self.tally.counts["times people stopped listening"] += 1
                if self.acts_at < math.inf:
                    self.acts_at = at + (self.acts_at - at) * self.assumed.slower
        self.told_serial = max(self.told_serial, serial)
        if not self.needs_people or (self.acts_at < math.inf and (self.told_well or not well)):
            return
        wait = self._reaction()
        wait *= (1 if well else self.assumed.slower) * (self.assumed.slower if at < self.tired_until else 1)
        self.acts_at = min(self.acts_at, at + wait)
        self.told_at, self.told_well = at, well

    def _act(self, at: float) -> None:
        """A person does what is to be done."""
        told_well, self.told_well = self.told_well, False
        self.acts_at, self.acted = math.inf, self.acted + 1
        trouble = self.met.trouble
        self._note(at, "a person acts")
        if math.isinf(self.clear_at) and self._told_kind(trouble):
            self.clear_at, self._noticed_clear = at, True
        if trouble == "zone_moved_away":
            return
        if at >= self.closes or self._gone or trouble == "authority_refuses":
            self._order_anew(at)
            return
        if self.drawn.by_hand and self.status == PENDING and self.placed != self.serial:
            self._place(at, self.told_serial if told_well and self.told_serial else self.serial)
        if self.restart_wanted and self.status == TIMED_OUT:
            self.restart_wanted = False
            self.restart(at, by_person=True)
            return
        if self.status in ("initializing", PENDING):
            self._schedule(at)

    def _told_kind(self, trouble: str) -> bool:
        kind = self.assumed.troubles.get(trouble)
        return kind is not None and kind.when == "told"

    def _place(self, at: float, serial: int) -> None:
        records = len(self.hosts) * (2 if self.authority == "ssl_com" else 1)
        self.tally.counts["TXT records placed again" if self.ever_placed else "TXT records placed"] += records
        self.ever_placed, self.placed = True, serial
        if not self._unplaced:
            self.ends_at = min(self.ends_at, self._ends(self.begun, at))
        if serial != self.serial:
            self.tally.counts["TXT records placed in vain"] += records
        self._note(at, "records placed")

    def _order_anew(self, at: float) -> None:
        """Another pack for the same hosts; by then nothing is in its way."""
        if self.met.trouble == "authority_refuses":
            self.authority = "ssl_com" if self.authority != "ssl_com" else "google"
        self._spend("failed")
        self.generation += 1
        self.start = self._ordered()
        self.reordered, self.clear_at, self._noticed_clear = True, min(self.clear_at, at), True
        if math.isinf(self.clear_at) or self.clear_at > at:
            self.clear_at = at
        self._begin(at)
        self.tally.counts["orders by people"] += 1

    # ── what Cloudflare shows of it ──────────────────────────────────────────────────────────────────────────────

    def _ordered(self) -> PackStart:
        return PackStart(
            id=hashlib.sha256(f"{self.drawn.number}/{self.generation}".encode()).hexdigest()[:32],
            hosts=self.hosts,
            certificate_authority=self.authority,
            validation_method=self.validation_method,
            validity_days=self.drawn.validity,
        )

    @property
    def id(self) -> str:
        """Its id at Cloudflare."""
        return self.start.id

    @property
    def restartable(self) -> bool:
        """Whether a restart means something now."""
        return self.status == TIMED_OUT

    @property
    def errors(self) -> tuple[str, ...]:
        """What is shown of the last check of this validation, also once it has timed out."""
        if self.status not in (PENDING, TIMED_OUT):
            return ()
        until = self.now if self.status == PENDING else self.since
        checked = self.begun + CHECKS[place - 1] if (place := bisect_right(CHECKS, until - self.begun)) else -math.inf
        checked = max(checked, self.checked_at)
        if checked < self.begun:
            return ()
        trouble = self.met.trouble if checked < self.clear_at else ""
        if trouble not in SAYS and self._authority_out(checked):
            trouble = "authority_hiccup"
        if trouble not in SAYS:
            return ()
        said = SAYS[trouble]
        if trouble == "authority_rate_limited" and self.authority == "lets_encrypt":
            again = START + timedelta(seconds=self.clear_at)
            said += f": too many certificates already issued, retry after {again:%Y-%m-%d %H:%M:%S} UTC"
        return (said,)

    def token(self, host: str, number: int, serial: int | None = None) -> str:
        """The authority's ``number``-th token for a host; those that count now, or of an earlier validation."""
        which = self.serial if serial is None else serial
        return hashlib.sha256(f"{self.drawn.number}/{which}/{host}/{number}".encode()).hexdigest()

    def tokens(self, serial: int | None = None) -> list[tuple[str, str]]:
        """Each host with a token of its own; SSL.com wants two."""
        numbers = range(2 if self.authority == "ssl_com" else 1)
        return [(host, self.token(host, number, serial)) for host in self.hosts for number in numbers]

    def recheck(self, now: datetime) -> None:
        """As ``recheck_at``, for the simulator's endpoints."""
        self.recheck_at((now - START).total_seconds())
        self.live(self.now)

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """Of the last renewal that was done, as if it had been so when its window opened: the year stays in step."""
        end = self.expires if self.open else self.opens + self.drawn.validity * DAY
        if self.reordered and self.open:
            return ()
        issued, expires = (START + timedelta(seconds=at) for at in (end - self.drawn.validity * DAY, end))
        name = f"{self.drawn.number}/{end}"
        return tuple(
            Certificate(hashlib.sha256(f"{name}/{kind}".encode()).hexdigest()[:32], kind, issued, expires)
            for kind in ("ECDSAWithSHA256", "SHA256WithRSA")
        )

    def _note(self, at: float, what: str) -> None:
        if self.met.trouble or what in ("timed out", "restarted", "expired"):
            self.tally.trace.append(f"{at:.0f} {self.drawn.number}/{self.number} {self.met.trouble}: {what}")
