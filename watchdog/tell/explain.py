"""One screen about one pack, to act on at 3 a.m.: what is wrong, since when, what was tried and found, what to do.

It is made of the row of ``commands.explanation``, and as wide as the terminal. What is to be copied (the names and
values of records) stands on a line of its own and is never broken.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from watchdog.model.text import clean, counted, sentence
from watchdog.tell.times import ago, clock, localised, moment, parsed
from watchdog.tell.wrapping import wrapped

_LONGEST = 1000
_LABEL = 14
_HOSTS_NAMED = 3
_LINES_SHOWN = 8
"""Of the journal: the last two restarts, so that all of it is one screen."""
_ANY = "HOST"
"""Stands for each of several hosts in a finding that is the same for all of them."""


def explained(row: Mapping[str, Any], now: datetime, width: int) -> str:
    """The row as text for a person who reads it ``now``."""
    return "\n".join(_Screen(row, now, width).lines())


class _Screen:
    """One pack."""

    def __init__(self, row: Mapping[str, Any], now: datetime, width: int) -> None:
        self._row, self._now, self._width = row, now, width
        self._findings = _folded(row["findings"])
        self._records = row["records"]

    def lines(self) -> Iterator[str]:
        row = self._row
        yield from self._text(f"{row['zone']}: pack {row['pack_id']}, {row['type'] or 'of no type'}")
        yield from self._text(f"for {_named(row['hosts'])}", "  ", "  ")
        yield ""
        for name, text in self._items():
            if text:
                yield from self._text(text, f"  {name:{_LABEL - 2}}", " " * _LABEL)
        yield from self._section("Found", (self._finding(finding, hosts) for finding, hosts in self._findings))
        numbered = enumerate(self._records, 1)
        yield from self._section("To be placed", (self._record(number, record) for number, record in numbered))
        yield from self._section("What happened, newest first", self._journal())

    def _items(self) -> Iterator[tuple[str, str]]:
        row = self._row
        if row["why"]:
            yield str(row["severity"]), f"{sentence(row['why'])}."
            yield "do", row["next_step"]
        yield "status", f"{row['status'] or 'no status'} since {self._at(row['since'])}"
        yield "decision", f"{row['decision'].replace('_', ' ')}: {row['reason'].replace('_', ' ')}"
        yield "next", row["next"]
        yield "silenced", f"nobody is told before {self._at(row['silenced_until'])}" if row["silenced_until"] else ""
        yield "tried", self._tried()
        method, authority = row["validation_method"], row["certificate_authority"] or "an unknown authority"
        yield "validation", f"{method}, by {authority}" if method else f"by {authority}"
        yield "last error", row["last_error"] or ""
        yield "certificate", self._certificate()
        yield "looked at", self._at(row["seen_at"]) if row.get("seen_at") else ""

    def _section(self, heading: str, parts: Iterable[Iterable[str]]) -> Iterator[str]:
        lines = [line for part in parts for line in part]
        if lines:
            yield from ("", heading, *lines)

    def _journal(self) -> Iterator[Iterable[str]]:
        lines = self._row["journal"]
        yield from map(self._happened, lines[:_LINES_SHOWN])
        if len(lines) > _LINES_SHOWN:
            yield self._text(f"`certpack-watchdog events --zone {self._row['zone']}` has more.", "  ", "  ")

    def _finding(self, finding: Mapping[str, Any], hosts: list[str]) -> Iterator[str]:
        about = f"{_named(hosts)}: " if hosts else ""
        yield from self._text(f"{about}{finding['says']}", f"  {finding['certainty']:8}", " " * 10)
        number = self._number(finding.get("record")) if len(hosts) < 2 else None  # noqa: PLR2004  of one host
        placed = f" (record {number} below)" if number and len(self._records) > 1 else ""
        yield from self._text(f"{finding['remedy']}{placed}", " " * 10 + "→ ", " " * 12)

    def _record(self, number: int, record: Mapping[str, str]) -> Iterator[str]:
        hosts = [each["host"] for each in self._row["findings"] if each.get("record") == record and each["host"]]
        mark = f"{number}  " if len(self._records) > 1 else ""
        yield f"  {mark}{_said(record['name'])}"
        yield f"  {' ' * len(mark)}{_said(record['type'])}  {_said(record['value'])}"
        if hosts and len(self._records) > 1:
            yield from self._text(f"for {_named(list(dict.fromkeys(hosts)))}", "     ", "     ")

    def _number(self, record: Mapping[str, str] | None) -> int | None:
        return self._records.index(record) + 1 if record in self._records else None

    def _happened(self, line: Mapping[str, Any]) -> Iterator[str]:
        at, reason = parsed(line["at"]), f" ({line['reason']})" if line["reason"] else ""
        brief = (line["detail"] or "").partition("found=")[0]  # what was found stands above
        detail = f": {brief}" if brief else ""
        when = f"{clock(at, self._now)}, {ago(at, self._now)}"
        yield from self._text(f"{when}: {line['event']}{reason}{detail}", "  ", "      ")

    def _tried(self) -> str:
        if not self._row["attempts"]:
            return "no restart yet"
        return f"{counted(self._row['attempts'], 'restart')}, the last {self._at(self._row['last_restart_at'])}"

    def _certificate(self) -> str:
        window = self._row["renewal"]
        if window is None:
            return "none was issued yet"
        opens = window["opens_at"] or "at a time that Cloudflare does not document for a certificate of this life"
        text = f"expires {self._row['expires_at']}"
        if parsed(window["closes_at"]) <= self._now:
            return f"{text}; its renewal closed {window['closes_at']}"
        verb = "opened" if window["opens_at"] and parsed(opens) <= self._now else "opens"
        used = f" ({window['used']:.0%} of that is used)" if window["used"] else ""
        text += f"; its renewal {verb} {opens} and closes {window['closes_at']}{used}"
        return f"{text}; a restart helps until {window['last_restart_at']}"

    def _at(self, text: str) -> str:
        return moment(parsed(text), self._now)

    def _text(self, text: str, first: str = "", others: str = "") -> Iterator[str]:
        yield from wrapped(localised(_said(text), self._now), self._width, first, others)


def _folded(findings: list[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], list[str]]]:
    """Findings, those that are equal but for their host as one, each with its hosts."""
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for finding in findings:
        says, remedy = (_hostless(finding[text], finding["host"]) for text in ("says", "remedy"))
        groups[finding["certainty"], says, remedy].append(finding)
    found = []
    for (_, says, remedy), same in groups.items():
        shown = same[0] if len(same) == 1 else {**same[0], "says": says, "remedy": remedy}
        found.append((shown, list(dict.fromkeys(each["host"] for each in same if each["host"]))))
    return found


def _hostless(text: str, host: str | None) -> str:
    return text.replace(host.removeprefix("*."), _ANY) if host else text


def _named(hosts: list[str]) -> str:
    if len(hosts) <= _HOSTS_NAMED + 1:
        return ", ".join(hosts)
    return f"{', '.join(hosts[:_HOSTS_NAMED])} and {len(hosts) - _HOSTS_NAMED} more"


def _said(text: str) -> str:
    return clean(text, _LONGEST)
