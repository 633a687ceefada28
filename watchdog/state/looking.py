"""What a state answers to those who only look, however it was opened: ``store`` and ``glance`` inherit it.

Each answer is one transaction, or a part of the one that its owner has begun. What is asked is ``survey``'s matter.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime

from watchdog.model.history import JournalLine, JournalQuery, ZoneMemory
from watchdog.model.pack_ids import PackKey
from watchdog.model.silences import Silence
from watchdog.state import survey
from watchdog.state.changes import Plain, Snapshot, Survey
from watchdog.state.rows import Ask, AsText


class Looking(ABC):
    """An open state, as far as it is only read."""

    _row_as_text: Callable[[Sequence[str]], str]
    """Gives the SQL for a row as JSON; see ``rows.row_as_text``."""
    _rows_as_text: AsText

    @abstractmethod
    def _asking(self) -> AbstractContextManager[Ask]:
        """A transaction that is asked statements as texts."""

    def time(self) -> datetime | None:
        """What the clock says that the state's times are of, where that is the database's; else ``None``."""
        return None

    def survey(self, ending_by: datetime) -> Survey:
        """What is not well, or has a certificate that ends by then, and how much there is in all."""
        with self._asking() as ask:
            return survey.survey(ask, self._rows_as_text, ending_by)

    def with_zones(self, found: Snapshot, zone_ids: Iterable[str]) -> Snapshot:
        """What was found, with all packs of these zones besides."""
        with self._asking() as ask:
            return survey.with_zones(ask, found, zone_ids)

    def plain(self, ending_by: datetime) -> Iterator[Plain]:
        """The packs that are well and whose certificates last longer than until then."""
        with self._asking() as ask:
            yield from survey.plain(ask, self._row_as_text, ending_by)

    def zones(self) -> list[ZoneMemory]:
        """Every zone."""
        with self._asking() as ask:
            return survey.zones(ask)

    def zone_keys(self) -> list[tuple[str, str]]:
        """Account and label of every zone."""
        with self._asking() as ask:
            return survey.zone_keys(ask)

    def counts(self) -> dict[tuple[str, str], int]:
        """How many packs each zone has, by account and label."""
        with self._asking() as ask:
            return survey.counts(ask)

    def pack_ids(self) -> list[str]:
        """The id of every pack."""
        with self._asking() as ask:
            return survey.ids(ask)

    def alike(self, keys: Collection[PackKey], length: int) -> list[PackKey]:  # noqa: ARG002  all are more than asked
        """Of the packs in the zones of these, at least the others whose ids begin as one of theirs, for ``length``."""
        with self._asking() as ask:
            return survey.beside(ask, keys)

    def listed(self) -> list[tuple[str, str, str, str, str, datetime | None]]:
        """Account, zone, its id, id, status and expiry of every pack, by zone."""
        with self._asking() as ask:
            return list(survey.listed(ask))

    def journal(self, query: JournalQuery) -> list[tuple[int, JournalLine]]:
        """The lines of the journal that are wanted with their numbers, newest first."""
        with self._asking() as ask:
            return survey.journal(ask, query)

    def silences(self) -> tuple[Silence, ...]:
        """Every silence, also those whose time is over, in the order they were added."""
        with self._asking() as ask:
            return survey.silences(ask)
