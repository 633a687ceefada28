"""What is not well, for somebody who is tired: what needs them first, in words, in as many columns as there are.

``lines`` is the report of ``status``, ``once`` and the demo. A line is never longer than the terminal is wide, and no
word is cut but one that is longer than that. With ``wide``, each pack is one line in columns, for ``grep`` and wide
terminals. Only what is shown is looked at, so that 100,000 packs that are well cost nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime

import msgspec

from watchdog.model.clock import span
from watchdog.model.history import DISCOVERY, History, Remembered, ZoneMemory, as_it_is_since, next_restart_at
from watchdog.model.meanings import listing_remedy, meaning
from watchdog.model.names import matcher
from watchdog.model.pack_ids import PackKey, short_length, short_length_in_zones, shortened
from watchdog.model.packs import GOING_AWAY, HEALTHY
from watchdog.model.reasons import Reason, Severity
from watchdog.model.report import next_step
from watchdog.model.text import clean, counted, sentence
from watchdog.model.trouble import TROUBLE, Need
from watchdog.tell.overview import Listed, Overview
from watchdog.tell.times import ago, localised, moment
from watchdog.tell.wrapping import wrapped

_LONGEST = 1000
_COLUMNS = ("SEVERITY", "ZONE", "PACK", "STATUS", "SINCE", "REASON", "RESTARTS", "NEXT", "EXPIRES", "WHY")
_COLOURS = {Severity.CRITICAL: "\x1b[1;31m", Severity.WARNING: "\x1b[33m"}
_SAID_BY_NEXT_STEP = frozenset({Reason.RESTARTED, Reason.IN_PROGRESS, Reason.DISABLED})
_RESET = "\x1b[0m"
_NOTHING_YET = (
    "No zone was seen yet, so nothing is known. `certpack-watchdog check-config --online` says whether the credentials"
    " work and which zones they find."
)


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to see. ``zone`` is a pattern, and shows what is well too; ``width`` counts columns."""

    everything: bool = False
    zone: str = ""
    reason: str = ""
    wide: bool = False
    width: int = 80
    colours: bool = False


class _Row(msgspec.Struct, frozen=True):
    known: Remembered
    history: History
    need: Need | None

    @property
    def of_a_person(self) -> bool:
        return self.need is not None and self.need.of_a_person

    @property
    def since(self) -> datetime:
        return as_it_is_since(self.known, self.history)


def lines(overview: Overview, view: View) -> Iterator[str]:
    """The report, line by line."""
    report = _Report(overview, view)
    return report.wide() if view.wide else report.narrow()


class _Report:
    """One overview as somebody wants to see it."""

    def __init__(self, overview: Overview, view: View) -> None:
        self._overview, self._view, self._now = overview, view, overview.inventory.at
        wanted = matcher(view.zone) if view.zone else None
        inventory = overview.inventory
        rows = [_Row(*each) for each in inventory.asked]
        self._needing = sum(row.of_a_person for row in rows)
        self._unseen = inventory.unseen()
        shown = [row for row in rows if self._wants(row) and (wanted is None or wanted(row.known.zone))]
        needy = [row for row in shown if row.of_a_person]
        self._needy = sorted(needy, key=lambda each: (-each.need.severity.rank if each.need else 0, each.since))
        held = [row for row in shown if not row.of_a_person and not _is_well(row)]
        self._held = sorted(held, key=lambda each: (not each.history.attempts, self._next(each), each.known.zone))
        unseen = self._unseen if view.reason == "" else [zone for zone in self._unseen if zone.reason == view.reason]
        self._shown_unseen = [zone for zone in unseen if wanted is None or wanted(zone.label)]
        self._well = self._wellness(wanted) if view.everything or view.zone or view.reason == Reason.HEALTHY else []
        keys = [each.known.pack.key for each in (*self._needy, *self._held)]
        keys += [(each.zone_id, each.pack_id) for each in self._well]
        self._short = 0 if view.wide else self._told_apart(keys)

    def narrow(self) -> Iterator[str]:
        yield from self._wrapped(self._sum(), "", "")
        groups = self._unseen_groups()
        if self._needy or groups:
            yield from ("", "Needs you")
        ranked = [(-row.need.severity.rank if row.need else 0, self._needed(row)) for row in self._needy]
        ranked += [(-severity.rank, self._not_seen(severity, zones)) for severity, zones in groups]
        for _, said in sorted(ranked, key=lambda each: each[0]):
            yield from said
        if self._held:
            yield from ("", "Under way, or held")
            for row in self._held:
                yield from self._held_lines(row)
        if self._well:
            yield from ("", "Well")
            for pack in self._well:
                yield from self._wrapped(self._well_line(pack), "  ", "    ")
        if not (groups or self._needy or self._held or self._well) and (self._view.zone or self._view.reason):
            yield from ("", "Nothing else is remembered that fits.")

    def wide(self) -> Iterator[str]:
        rows = [_COLUMNS, *map(self._columns, [*self._needy, *self._held]), *map(self._well_columns, self._well)]
        rows += [self._unseen_columns(zone) for zone in self._shown_unseen]
        widths = [max(len(row[number]) for row in rows) for number in range(len(_COLUMNS))]
        if len(rows) > 1:
            for row in rows:
                cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
                yield "  ".join(cells).rstrip()
            yield ""
        yield self._sum()

    # ── which ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _told_apart(self, shown: Collection[PackKey]) -> int:
        """By how many characters of their ids these are told apart from each other, and from all others of their zones.

        A zone is named wherever one of its packs is.
        """
        length = short_length(pack_id for _, pack_id in shown)
        alike = list(self._overview.alike(shown, length)) if shown else []
        return max(length, short_length_in_zones([*shown, *alike])) if alike else length

    def _wants(self, row: _Row) -> bool:
        reason = self._view.reason
        return not reason or reason in (row.known.decision.reason, row.need.reason if row.need else "")

    def _wellness(self, wanted: Callable[[str], bool] | None) -> list[Listed]:
        """The packs that are listed, and not told of above."""
        told = {(each.known.account, each.known.zone, each.known.pack.id) for each in (*self._needy, *self._held)}
        if self._view.reason:
            packs: Iterable[Listed] = (each for each in self._overview.listed() if each.status in HEALTHY)
            packs = packs if self._view.reason == Reason.HEALTHY else ()
        else:
            packs = self._overview.listed()
        return [
            each
            for each in packs
            if (wanted is None or wanted(each.zone)) and (each.account, each.zone, each.pack_id) not in told
        ]

    def _next(self, row: _Row) -> datetime:
        return next_restart_at(row.known, row.history) or self._now

    def _unseen_groups(self) -> list[tuple[Severity, list[ZoneMemory]]]:
        """The zones not seen, those of one account and one error together."""
        groups: dict[tuple[str, str, str], list[ZoneMemory]] = defaultdict(list)
        for zone in self._shown_unseen:
            groups[zone.account, zone.reason, zone.error].append(zone)
        return [(_severity(zones[0]), zones) for zones in groups.values()]

    # ── in words ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _sum(self) -> str:
        blind = [zone for zone in self._unseen if zone.label == DISCOVERY]
        if not self._overview.zones and not self._overview.packs:  # nobody may say that none needs you
            return f"No zone was seen: {_unlisted(blind)}" if blind else _NOTHING_YET
        text = f"{counted(self._overview.packs, 'pack')} in {counted(self._overview.zones, 'zone')}"
        if self._needing:
            text += f"; {self._needing} {'needs' if self._needing == 1 else 'need'} you"
        elif not self._unseen:
            text += "; none needs you"
        if unseen := len(self._unseen) - len(blind):
            text += f"; {counted(unseen, 'zone')} not seen"
        text += f"; {_unlisted(blind)}" if blind else ""
        if self._overview.last_look is not None:
            text += f"; last look {ago(self._overview.last_look, self._now)}"
        return text

    def _needed(self, row: _Row) -> Iterator[str]:
        need = row.need
        if need is None:
            return
        what = need.what
        if need.family == TROUBLE and row.history.trouble_since is not None:
            what += f"; in trouble for {span(self._now - row.since)}"
        what += self._silenced(row)
        pack_id, remedy = row.known.pack.id, sentence(need.remedy)
        if pack_id:
            remedy = remedy.replace(pack_id, shortened(pack_id, self._short))
        yield from self._graded(need.severity, f"{self._name(row)}: {what}.", remedy)

    def _not_seen(self, severity: Severity, zones: Sequence[ZoneMemory]) -> Iterator[str]:
        first = zones[0]
        seen = max((zone.seen_at for zone in zones if zone.seen_at is not None), default=None)
        last = f"last seen {ago(seen, self._now)}" if seen is not None else "never seen"
        names = f"{first.label} is" if len(zones) == 1 else f"{len(zones)} zones are"
        found = meaning(first.reason)
        said = f"{names} not seen ({_words(first.reason)}, account {first.account}; {last}): {first.error}"
        if [zone.label for zone in zones] == [DISCOVERY]:
            said = f"discovery of account {first.account} failed ({_words(first.reason)}): {first.error}"
            yield from self._graded(severity, said, sentence(listing_remedy(first.reason)))
            return
        if len(zones) > 1:
            said = f"{said.rstrip('.')}. The zones: {', '.join(zone.label for zone in zones)}"
        yield from self._graded(severity, said, sentence(found.zone_remedy))

    def _graded(self, severity: Severity, said: str, remedy: str) -> Iterator[str]:
        wrapped = self._wrapped(said, f"  {severity:8}  ", " " * 12)
        if self._view.colours and severity in _COLOURS:
            wrapped[0] = wrapped[0].replace(severity, f"{_COLOURS[severity]}{severity}{_RESET}", 1)
        yield from wrapped
        if remedy:
            yield from self._wrapped(remedy, " " * 10 + "→ ", " " * 12)

    def _held_lines(self, row: _Row) -> Iterator[str]:
        known, history = row.known, row.history
        status = known.pack.status or "no status"
        tried = f"; {counted(history.attempts, 'restart')} so far" if history.attempts else ""
        yield from self._wrapped(
            f"{self._name(row)}: {status} for {span(self._now - known.since)}{tried}{self._silenced(row)}.",
            "  ",
            "    ",
        )
        reason, step = known.decision.reason, next_step(known, history, self._now)
        why = step if reason in _SAID_BY_NEXT_STEP else f"{sentence(_words(reason))}. {step}"
        yield from self._wrapped(why, "    ", "    ")

    def _silenced(self, row: _Row) -> str:
        known = row.known
        until = self._overview.inventory.silenced.until(known.account, known.zone, known.pack)
        return f"; silenced until {moment(until, self._now)}" if until is not None else ""

    def _well_line(self, pack: Listed) -> str:
        ends = f", expires {moment(pack.expires_at, self._now)}" if pack.expires_at is not None else ""
        return f"{pack.zone} {shortened(pack.pack_id, self._short)}: {pack.status or 'no status'}{ends}"

    def _name(self, row: _Row) -> str:
        return f"{row.known.zone} {shortened(row.known.pack.id, self._short)}"

    def _wrapped(self, text: str, first: str, others: str) -> list[str]:
        return wrapped(localised(clean(text, _LONGEST), self._now), self._view.width, first, others)

    # ── in columns ───────────────────────────────────────────────────────────────────────────────────────────────

    def _columns(self, row: _Row) -> Sequence[str]:
        known, pack, need = row.known, row.known.pack, row.need
        due = next_restart_at(known, row.history)
        why = need.what if need is not None else next_step(known, row.history, self._now)
        return self._cells(
            need.severity if need is not None else "",
            known.zone,
            pack.id,
            pack.status,
            span(self._now - known.since),
            need.reason if need is not None else known.decision.reason,
            str(row.history.attempts),
            ago(due, self._now) if due is not None else "",
            ago(pack.expires_at, self._now) if pack.expires_at is not None else "",
            why,
        )

    def _well_columns(self, pack: Listed) -> Sequence[str]:
        ends = ago(pack.expires_at, self._now) if pack.expires_at is not None else ""
        return self._cells("", pack.zone, pack.pack_id, pack.status, "", "", "", "", ends, "")

    def _unseen_columns(self, zone: ZoneMemory) -> Sequence[str]:
        seen = span(self._now - zone.seen_at) if zone.seen_at is not None else ""
        return self._cells(_severity(zone), zone.label, "", "", seen, zone.reason, "", "", "", zone.error)

    def _cells(self, *texts: str) -> Sequence[str]:
        return tuple(localised(clean(text, _LONGEST), self._now) or "-" for text in texts)


def _unlisted(accounts: Sequence[ZoneMemory]) -> str:
    """Of which accounts the zones could not be listed, and which have none."""
    empty = [account for account in accounts if account.reason == Reason.NOT_FOUND]
    failed = [account for account in accounts if account.reason != Reason.NOT_FOUND]
    said = [f"the zones of {_accounts(failed)} could not be listed"] if failed else []
    said += [f"{_accounts(empty)} {'has' if len(empty) == 1 else 'have'} no zone to watch"] if empty else []
    return "; ".join(said)


def _accounts(found: Sequence[ZoneMemory]) -> str:
    return f"account {found[0].account}" if len(found) == 1 else f"{len(found)} accounts"


def _severity(zone: ZoneMemory) -> Severity:
    return next(iter(meaning(zone.reason).severities), Severity.WARNING)


def _words(reason: str) -> str:
    return reason.replace("_", " ")


def _is_well(row: _Row) -> bool:
    return row.need is None and (row.known.decision.reason is Reason.HEALTHY or row.known.pack.status in GOING_AWAY)
