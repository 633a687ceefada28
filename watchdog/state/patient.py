"""psycopg's connection, but for how long an answer is waited for: a pooler whose server is away gives none for minutes.

What libpq is asked for in ``libpq.CONNECTION`` notices a connection that is cut; this one is well, and silent.
Imported by ``libpq`` alone, together with psycopg.
"""

from collections.abc import Generator
from typing import Any, TypeVar

import psycopg

ANSWERS_WITHIN = 12.0
"""Seconds for which nothing may come of an answer: the server ends a statement after ``SILENT``, which is 10."""

_ASKED_EVERY = 0.1
"""Seconds, as psycopg has it."""

_Found = TypeVar("_Found")


class PatientConnection(psycopg.Connection[Any]):
    """Closed once an answer is too late, as nobody knows then what comes of the statement."""

    waits_for_ever = False
    """For another process, say, that brings the tables up to date."""

    def wait(  # type: ignore[override]  # psycopg before 3.3 has no ``timeout``, so it is not named
        self, gen: Generator[Any, Any, _Found], interval: float = _ASKED_EVERY, **more: Any
    ) -> _Found:
        """As psycopg has it. Raises ``psycopg.OperationalError`` where nothing has come in time."""
        return super().wait(gen if self.waits_for_ever else self._in_time(gen, interval), interval, **more)

    def _in_time(self, gen: Generator[Any, Any, _Found], interval: float) -> Generator[Any, Any, _Found]:
        silent = 0.0
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                silent = 0.0 if ready else silent + interval  # it is asked as often
                if silent >= ANSWERS_WITHIN:
                    self.close()
                    raise psycopg.OperationalError(f"it has not answered within {ANSWERS_WITHIN:g} s")
                wanted = gen.send(ready)
        except StopIteration as done:
            found: _Found = done.value
            return found
