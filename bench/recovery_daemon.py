"""One account's year with the daemon: its spine, backoff, budget, diagnosis, alerts and state, in simulated time.

What is simulated is the network: Cloudflare (the simulator's endpoints over ``recovery_pack``), DNS, token pages, and a
webhook behind which people read. They act on the text of a message as they get it.

Looks at which nothing can be found are left out. A zone's looks keep to the minutes at which they would have come; of
these, the next one is made that follows a change in the world, a time that the daemon itself waits for, or a refusal
that would meet it. ``exact`` leaves nothing out, and a test holds the two against each other.
"""

import asyncio
import contextlib
import json
import logging
import math
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import httpx
from msgspec.structs import replace
from recovery_assumptions import HOUR, MINUTE
from recovery_fate import Fate
from recovery_pack import CHECKS, PENDING, Pack, Tally

from tests.harness.cloudflare_client import InProcess
from tests.harness.dns import Responder
from tests.harness.simulation.environment import START, MachineClock, MortalLoop, Time, TrueClock
from watchdog.config.load import load
from watchdog.daemon import new_metrics
from watchdog.decide.rechecks import ANEW_EVERY, same_tokens_at
from watchdog.diagnose import fetch
from watchdog.diagnose.fetch import Page
from watchdog.health import Health
from watchdog.model.alerts import AlertState, Phase
from watchdog.model.pack_ids import canonical_id
from watchdog.model.packs import IN_PROGRESS, ZoneRef
from watchdog.model.reasons import Reason
from watchdog.model.renewal import PRESSING, VALIDATION_TAKES
from watchdog.model.report import Inventory
from watchdog.model.trouble import WORKS_WITHIN
from watchdog.notify.http import HttpSender
from watchdog.notify.lifecycle import calm
from watchdog.notify.pipeline import Pipeline
from watchdog.observe.facts import KEPT_FOR
from watchdog.runtime import open_runtime
from watchdog.schedule.agenda import Agenda
from watchdog.simulator.life import Life
from watchdog.simulator.scenario import Fault, RateLimit, Scenario, Token, ZoneStart
from watchdog.simulator.shapes import delegation_uuid
from watchdog.simulator.world import Restart, World
from watchdog.state.store import Store

TICK = MINUTE
TIDY = 6 * HOUR
SLACK = 2.0
"""A look takes a moment: what is due by its end is found by it."""
MEMORY = Path("/dev/shm")  # noqa: S108  a power cut is not among the troubles
CHALLENGE = "_acme-challenge."
MOST_REPLIES = 10_000


# ── the network ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Cloudflare(World):
    """The simulator's endpoints over the packs of one account."""

    def __init__(self, fate: Fate, account: int, time: Time, tally: Tally) -> None:
        self.fate, self.time = fate, time
        drawn = fate.of(account)
        by_hand = {each.zone: each.validation in ("txt_manual", "delegated") for each in drawn}
        zones = tuple(
            ZoneStart(name=name, type="partial" if partial else "full", packs=()) for name, partial in by_hand.items()
        )
        limit = RateLimit(others=fate.assumed.others)
        scenario = Scenario(tokens=(Token(value="simulated-token"),), zones=zones, rate_limit=limit)
        super().__init__(scenario, TrueClock(time))
        ids = {zone.name: zone for zone in zones}
        self.all = [Pack(fate, each, ids[each.zone], tally) for each in drawn]
        self.by_host = {pack.hosts[0]: pack for pack in self.all}
        self.of_zone: dict[str, list[Pack]] = {zone.id: [] for zone in zones}
        for pack in self.all:
            self.of_zone[pack.zone.id].append(pack)
        self.faults = Refusals(self)  # type: ignore[assignment]  # it strikes as a ``FaultBook`` does

    def packs(self, zone_id: str) -> list[Life]:
        """The packs of a zone as they are now."""
        for pack in self.of_zone[zone_id]:
            pack.live(self.time.seconds)
        return list(self.of_zone[zone_id])  # type: ignore[arg-type]  # as good as lives

    def restart(self, life: Any) -> Any:
        """Begin the validation anew."""
        life.restart(self.time.seconds)
        self.restarts.append(Restart(self.clock.now(), life.zone.id, life.id, life.id))
        return life

    def refresh(self, zone: ZoneStart) -> None:
        """A zone that moved away says so."""
        moved = any(pack.open and pack.met.trouble == "zone_moved_away" for pack in self.packs(zone.id))
        status = "moved" if moved else "active"
        if self.zones[zone.id].status != status:
            self.zones[zone.id] = zone.model_copy(update={"status": status})


class Refusals:
    """Which request is refused for no reason, or because all of Cloudflare's API fails."""

    _BLIP = Fault(kind="json_error", status=403, code=10000, message="Authentication error")
    _SLOW = Fault(
        kind="json_error", status=200, code=971, message="Please wait and consider throttling your request speed"
    )
    _OUT = Fault(kind="html_error", status=502, message="Bad gateway")

    def __init__(self, world: Cloudflare) -> None:
        self._world = world
        self.minutes = {zone.id: world.fate.refusals(zone.name) for zone in world.zones.values()}
        self._asked: dict[str, tuple[int, int]] = {}

    def strike(self, _method: str, _path: str, zone: ZoneStart | None, _now: datetime) -> Fault | None:
        """As ``FaultBook.strike``."""
        seconds = self._world.time.seconds
        if zone is not None:
            self._world.refresh(zone)
        if self._world.fate.out(seconds):
            return self._OUT
        if zone is None:
            return None
        minute = int(seconds // MINUTE)
        before, asked = self._asked.get(zone.id, (-1, 0))
        asked = asked if before == minute else 0
        self._asked[zone.id] = (minute, asked + 1)
        code, which = self.minutes[zone.id].get(minute, ("", -1))
        if which != asked:
            return None
        return self._SLOW if code == "971" else self._BLIP

    def next(self, zone_id: str, after: float, period: float) -> float:
        """The first look of those that follow every ``period`` that would be refused."""
        for minute in self._minutes_from(zone_id, after):
            at = minute * MINUTE
            if abs((at - after) / period - round((at - after) / period)) < 1e-6:
                return at
        return math.inf

    def _minutes_from(self, zone_id: str, after: float) -> Iterator[int]:
        return (minute for minute in self.minutes[zone_id] if minute * MINUTE > after)


class Names(Responder):
    """DNS, as the packs have it."""

    def __init__(self, world: Cloudflare) -> None:
        super().__init__({".": ["NS a.root.test."]})
        self._world = world
        for zone in world.zones.values():
            self.records[zone.name] = ["SOA . . 1 2 3 4 5", "NS a.root.test.", "A 1.1.1.1"]
        self.delegations = {
            f"{pack.hosts[0]}.{delegation_uuid(pack.zone)}.dcv.cloudflare.com": pack for pack in world.all
        }

    def of(self, name: str) -> Pack | None:
        """Whose name it is, as the pack is now."""
        pack = self._world.by_host.get(name.removeprefix(CHALLENGE).removeprefix("*."))
        if pack is not None:
            pack.live(self._world.time.seconds)
        return pack

    def _odd(self, name: str, _kind: str) -> str:
        pack = self.of(name)
        if pack is None or not pack.open or self._world.time.seconds >= pack.clear_at:
            return ""
        return {"dnssec_bogus": "bogus-ede", "dns_outage": "servfail"}.get(pack.met.trouble, "")

    def at(self, name: str) -> list[str] | None:
        """The records of a name."""
        if name in self.records:
            return self.records[name]
        if name in self.delegations:
            pack = self.delegations[name]
            pack.live(self._world.time.seconds)
            return _tokens(pack, pack.serial) if pack.status == PENDING else []
        found = self.of(name)
        if found is None:
            return [] if name in ("example", "com") else None
        troubled = found.open and self._world.time.seconds < found.clear_at
        if name.startswith(CHALLENGE):
            return self._challenged(found, troubled=troubled)
        if name.startswith("*."):
            return None
        return [
            "A 1.1.1.1",
            *(['CAA 0 issue "nobody.test"'] if troubled and found.met.trouble == "caa_forbids" else []),
        ]

    def _challenged(self, pack: Pack, *, troubled: bool) -> list[str] | None:
        match pack.drawn.validation:
            case "txt_managed":
                there = pack.status == PENDING and not (troubled and pack.met.trouble == "zone_moved_away")
                return _tokens(pack, pack.serial) if there else None
            case "txt_manual":
                return _tokens(pack, pack.placed) if pack.placed else None
            case "delegated":
                missing = troubled and pack.met.trouble == "delegation_missing"
                target = f"{pack.hosts[0]}.{delegation_uuid(pack.zone)}.dcv.cloudflare.com."
                return None if missing else [f"CNAME {target}"]
            case _:
                return None


def _tokens(pack: Pack, serial: int) -> list[str]:
    return [f'TXT "{token}"' for _, token in pack.tokens(serial)]


class Resolvers:
    """What the loop asks, whichever resolver."""

    def __init__(self, world: Cloudflare) -> None:
        self._world, self._names = world, Names(world)
        self._replies: dict[object, bytes] = {}

    def reply(self, data: bytes) -> bytes | None:
        """What the loop asks. The same question is answered the same way while nothing about its pack changes."""
        name = _asked_for(data)
        pack, seconds = self._names.of(name) or self._names.delegations.get(name), self._world.time.seconds
        state = pack and (
            pack.status,
            pack.serial,
            pack.placed,
            pack.open and seconds < pack.clear_at,
            pack.met.trouble,
        )
        key = (data[2:], state)
        if key not in self._replies:
            if len(self._replies) >= MOST_REPLIES:
                self._replies.clear()
            self._replies[key] = (self._names.answer(data, "udp") or b"")[2:]
        return data[:2] + self._replies[key]


def _asked_for(query: bytes) -> str:
    """The name in a question's packet."""
    labels, at = [], 12
    while size := query[at]:
        labels.append(query[at + 1 : at + 1 + size].decode().lower())
        at += 1 + size
    return ".".join(labels)


def pages(world: Cloudflare) -> Any:
    """Reads token pages: what ``fetch`` does over the network."""

    async def read(_address: str, _port: int, host: str, target: str) -> Page:
        pack = world.by_host[host]
        pack.live(world.time.seconds)
        if pack.open and pack.met.trouble == "http_blocked" and world.time.seconds < pack.clear_at:
            return Page(status=403, body="denied")
        here = [token for _, token in pack.tokens() if token[:32] in target]
        return Page(status=200, body=f"ca3-{here[0][32:]}") if here else Page(status=404, body="not found")

    return read


class People(httpx.AsyncBaseTransport):
    """Those who read what the webhook brings."""

    def __init__(self, world: Cloudflare, tally: Tally) -> None:
        self._world, self._tally = world, tally
        self.touched: set[str] = set()  # zones of which somebody heard something

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Take a message."""
        self._read(json.loads(await request.aread()))
        return httpx.Response(200, stream=httpx.ByteStream(b""))

    def _read(self, letter: dict[str, Any]) -> None:
        if letter["status"] == "resolved":
            self._tally.counts["messages that all is well again"] += 1
            return
        self._tally.counts["messages"] += 1
        self._tally.counts[f"messages: {letter['reason']}"] += 1
        by_id = {canonical_id(pack.id): pack for pack in self._world.all}
        if "this is a defect of certpack-watchdog" in letter["text"]:
            self._world.time.broken = RuntimeError(letter["text"])  # ours or the bench's: the numbers mean nothing
        for place, alert in enumerate(letter["alerts"]):
            pack = by_id.get(canonical_id(alert["pack_id"] or ""))
            if pack is None:
                continue
            # What a person reads: the text; of the second and further alerts that is a line, and two of the records.
            whole = place == 0
            said = alert["body"] if whole else alert["summary"]
            records = alert["records"] if whole else alert["records"][:2]
            said += " ".join(f"{each['name']} {each['type']} {each['value']}" for each in records)
            if letter["reason"] == Reason.GAVE_UP:
                pack.restart_wanted = True
            begins = f"[{alert['severity']}] {alert['kind']} {letter['reason']} ({place + 1} of {letter['total']})"
            well = _says_what_to_do(pack, said)
            pack.told(self._world.time.seconds, well=well, serial=pack.serial, said=f"{begins}: {alert['summary']}")
            self.touched.add(pack.zone.id)


def _says_what_to_do(pack: Pack, said: str) -> bool:
    """Whether a text names the cause, and so the remedy."""
    if pack.drawn.by_hand and pack.placed != pack.serial and pack.status in ("initializing", PENDING):
        return pack.token(pack.hosts[0], 0) in said
    if pack.open and pack.now >= pack.closes:
        return "order another" in said
    words = {
        "dnssec_bogus": "DNSSEC",
        "caa_forbids": "CAA records at",
        "delegation_missing": "dcv.cloudflare.com",
        "http_blocked": "is guarded",
        "zone_moved_away": "The zone is moved",
        "authority_refuses": "another certificate authority",
    }
    return words.get(pack.met.trouble, "") in said


# ── whose turn it is ─────────────────────────────────────────────────────────────────────────────────────────────────


class Turns(Agenda):
    """The agenda, of which looks can be left out. ``looked`` are the zones that were looked at since the last tick."""

    def __init__(self, interval: timedelta, attention: timedelta) -> None:
        super().__init__(interval, attention)
        self.looked: dict[tuple[str, str], ZoneRef] = {}

    def done(self, zone: ZoneRef, now: datetime, *, troubled: bool, failed: bool) -> None:
        """As ``Agenda.done``; and note that somebody looked."""
        super().done(zone, now, troubled=troubled, failed=failed)
        self.looked[zone.key] = zone

    def put_off(self, zone: ZoneRef, looks: int) -> None:
        """Leave out so many looks of a zone."""
        turn = self._turns[zone.key]
        turn.due += looks * turn.period
        self._queue(turn)

    def turn(self, zone: ZoneRef) -> tuple[datetime, timedelta]:
        """When a zone is due, and how often."""
        turn = self._turns[zone.key]
        return turn.due, turn.period

    def next(self, account: str) -> datetime | None:
        """When somebody is due."""
        heads = [head.due for urgent in (True, False) if (head := self._head(account, urgent)) is not None]
        return min(heads, default=None)


class Year:
    """The daemon's year."""

    def __init__(self, fate: Fate, account: int, folder: Path, *, exact: bool = False) -> None:
        self.fate, self.account, self.exact = fate, account, exact
        self.folder = folder
        self.time, self.tally = Time(), Tally()
        self.world = Cloudflare(fate, account, self.time, self.tally)
        self.people = People(self.world, self.tally)
        self.clock = MachineClock(self.time)
        self._before: dict[tuple[str, str], object] = {}
        self._put_off: dict[tuple[str, str], int] = {}
        self.ticks = 0

    def live(self, changes: dict[str, Any] | None = None) -> Tally:
        """From the first day to the last."""
        loop = MortalLoop(self.time)
        loop.resolver = Resolvers(self.world)
        asyncio.set_event_loop(loop)
        try:
            with mock.patch.object(fetch, "fetch", pages(self.world)):
                loop.run_until_complete(self._live(changes or {}))
        finally:
            asyncio.set_event_loop(None)
            loop.close()
        for pack in self.world.all:
            pack.end(self.fate.end)
        self.tally.counts["requests"] += len(self.world.ledger)
        self.tally.counts["Cloudflare's limit run into"] += sum(each.status == 429 for each in self.world.ledger)
        self.tally.counts["ticks"] += self.ticks
        return self.tally

    def _config(self, changes: dict[str, Any]) -> Path:
        path = self.folder / "config.yaml"
        path.touch(mode=0o600)
        told = {
            "accounts": {"main": {"api_token": "simulated-token"}},
            "zones": [{"name": zone.name, "id": zone.id} for zone in self.world.zones.values()],
            "alerts": {"destinations": [{"name": "people", "webhook": "http://people.test/"}]},
            "state": {"url": f"sqlite:///{self.folder / 'state.db'}"},
            "web": {"listen": ""},
            "log": {"level": "error", "format": "json"},
            "api": {"base_url": "http://127.0.0.1:9/client/v4"},
            **changes,
        }
        path.write_text(json.dumps(told))
        return path

    async def _live(self, changes: dict[str, Any]) -> None:
        config = load(self._config(changes), {})
        schedule = config.schedule
        turns = self.turns = Turns(schedule.interval, schedule.attention_interval)
        store = Store.open(config.state.url.get_secret_value(), exclusive=True)
        metrics = new_metrics()
        async with open_runtime(
            config,
            store,
            clock=self.clock,
            metrics=metrics,
            http=InProcess(self.world),
            dice=Random(f"{self.fate.seed}/{self.account}/daemon"),  # noqa: S311  a year repeats
            agenda=turns,
        ) as runtime:
            self.runtime, health = runtime, Health(runtime)
            pipeline = runtime.pipeline = Pipeline(
                config,
                store,
                runtime.components.memory.writer.ask,
                clock=self.clock,
                logs=runtime.telemetry.logs,
                http=HttpSender("bench", self.people),
                journal=runtime.components.memory.journal,
            )
            await pipeline.start()
            runtime.passes.enrol()
            tidied = 0.0
            while self.time.seconds < self.fate.end:
                self.ticks += 1
                tick = self.time.seconds
                self._read_facts()
                health.pass_ended(await runtime.passes.run_pass(schedule.attention_interval))
                await pipeline.after_pass(self._inventory(), health.report())
                await pipeline.destinations.settled(timedelta(seconds=20))
                if self.time.seconds - tidied >= TIDY:
                    tidied = self.time.seconds
                    await runtime.passes.tidy()
                following = self._next_tick(tick, pipeline)
                await asyncio.sleep(following - self.time.seconds)  # noqa: TID251  a clock's would round
            await runtime.passes.stop(timedelta(seconds=20))
            await pipeline.close()
        store.close()

    def _inventory(self) -> Inventory:
        """What is remembered, as if the looks that were left out had been made."""
        found = self.runtime.inventory()
        zones = [replace(zone, seen_at=found.at) if self._put_off.get(zone.key) else zone for zone in found.zones]
        return replace(found, zones=zones)

    # ── what is left out ─────────────────────────────────────────────────────────────────────────────────────────

    def _read_facts(self) -> None:
        """What the looks that were left out would have read anew of their zones."""
        kept = self.runtime.components.facts._known  # noqa: SLF001  nobody else needs to know
        now = self.clock.now()
        for zone in self.runtime.components.watched.zones() if kept else ():
            if self._put_off.get(zone.key) and zone.id in kept:
                kept[zone.id] = kept[zone.id]._replace(at=now - KEPT_FOR, read_at=now - timedelta(seconds=TICK))

    def _next_tick(self, tick: float, pipeline: Pipeline) -> float:
        following = TICK * (math.floor(self.time.seconds / TICK) + 1)
        if self.exact:
            return following
        by_id = {zone.id: zone for zone in self.runtime.components.watched.zones()}
        touched = {by_id[zone_id].key: by_id[zone_id] for zone_id in self.people.touched}
        looked, self.turns.looked = self.turns.looked, {}
        self.people.touched.clear()
        for key, zone in looked.items():
            self._put_off[key] = 0
            now = self._what_is_known(zone)
            quiet, self._before[key] = now is not None and now == self._before.get(key), now
            if quiet:
                self._leave_out(zone)
            else:
                touched.pop(key, None)
        for key, zone in touched.items():
            if self._put_off.get(key) and key not in looked:
                self.turns.put_off(zone, -self._put_off.pop(key))
                self._leave_out(zone)
        if self.runtime.passes.busy:
            return following
        due = self.turns.next("main")
        wanted = min(self._seconds(due), self._alerts_due(pipeline), tick + TIDY)
        return max(following, TICK * math.floor(wanted / TICK + 1e-9))

    def _seconds(self, at: datetime | None) -> float:
        return math.inf if at is None else (at - START).total_seconds()

    def _what_is_known(self, zone: ZoneRef) -> object:
        """All that a look may have changed; ``None`` where the next look is due whatever happens."""
        memory = self.runtime.components.memory
        if memory.zone(zone).error:
            return None
        found = []
        for known in memory.packs_of(zone):
            if known.decision.reason in (Reason.OVER_BUDGET, Reason.VALIDATION_TIMED_OUT, Reason.UNSEEN):
                return None
            findings = known.diagnosis.findings if known.diagnosis else ()
            asked = known.diagnosis.rechecked_at if known.diagnosis else None
            found.append((known.pack, known.decision, memory.history(known.pack), findings, asked))
        return found

    def _leave_out(self, zone: ZoneRef) -> None:
        """Put off the zone's next look to the first at which something may be new."""
        due, every = self.turns.turn(zone)
        first, period = self._seconds(due), every.total_seconds()
        tick = TICK * math.floor(first / TICK + 1e-9)
        now = self.time.seconds
        times = [at for at in self._changes(zone) if at > now]
        out = [begins for begins, ends in self.fate.outages if ends > now]
        refused = self.world.faults.next(zone.id, tick - period, period)  # type: ignore[attr-defined]  these faults know
        coming = min([*times, *out, self.fate.end, refused])
        looks = max(0, math.ceil((coming - SLACK - tick) / period))
        if looks:
            self.turns.put_off(zone, looks)
            self._put_off[zone.key] = looks

    def _changes(self, zone: ZoneRef) -> Iterator[float]:
        """When something about a zone may be new: in the world, or for the daemon."""
        memory, initial = self.runtime.components.memory, self.runtime.config.restart.backoff.initial
        for pack in self.world.of_zone[zone.id]:
            pack.live(self.time.seconds)
            yield pack.next()
            if pack.open:
                yield self.fate.authority_out(pack.authority, self.time.seconds) or math.inf
                yield pack.clear_at
                yield pack.begun + CHECKS[0]  # from then on it shows what is in the way
                yield from _pressing(pack)
        for known in memory.packs_of(zone):
            history = memory.history(known.pack)
            moments = [known.decision.until, history.next_restart_at, known.since + WORKS_WITHIN]
            moments.append(known.since + self.runtime.config.alerts.pending_for)
            moments += [history.last_restart_at + initial] if history.last_restart_at else []
            asked = known.diagnosis.rechecked_at if known.diagnosis else None
            moments += [same_tokens_at(known.pack, asked), asked + ANEW_EVERY] if asked else []
            yield from (self._seconds(at) for at in moments if at is not None)

    def _alerts_due(self, pipeline: Pipeline) -> float:
        """When people may have to be told something though nothing is new."""
        settings, now = self.runtime.config.alerts, self.time.seconds
        log = pipeline._log  # noqa: SLF001  nobody else knows what waits to be told
        found = [self._told_at(state, settings.repeat_every) for state in log.states.values()]
        if -math.inf in found:
            return now
        for pack in self.world.all:
            if pack.open:
                found += _pressing(pack)
        for known in self.runtime.components.memory.read():
            if known.pack.status in IN_PROGRESS:
                found += [self._seconds(known.since + patience) for patience in (WORKS_WITHIN, settings.pending_for)]
        return min((at for at in found if at > now), default=math.inf)

    def _told_at(self, state: AlertState, repeat_every: timedelta) -> float:
        """When there is something to say of an alert: minus infinity where there is and its group is silent still."""
        match state.phase:
            case Phase.CLOSED | Phase.WAITING:
                return math.inf
            case Phase.PENDING:
                return self._seconds(state.first_at + state.alert.patience)
            case Phase.PAUSED:
                return self._seconds((state.ceased_at or state.first_at) + calm(state.flaps))
            case Phase.FIRING if state.notified_at is not None and state.alert.gravity <= state.notified:
                return self._seconds(state.notified_at + repeat_every)
            case _:
                return -math.inf


def _pressing(pack: Pack) -> Iterator[float]:
    """When the end of a certificate comes nearer in a way that is told."""
    opens, closes = pack.opens, pack.closes
    yield opens + PRESSING * (closes - opens)
    yield closes - VALIDATION_TAKES.total_seconds()
    yield closes
    yield pack.expires


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def daemon(fate: Fate, account: int, changes: dict[str, Any] | None = None, *, exact: bool = False) -> Tally:
    """One account's year with the daemon."""
    place = MEMORY if MEMORY.is_dir() else None
    with (
        _silence(),
        tempfile.TemporaryDirectory(dir=place) as folder,
        Path("/dev/null").open("w") as nowhere,
        contextlib.redirect_stderr(nowhere),
    ):
        return Year(fate, account, Path(folder), exact=exact).live(changes)
