"""Core's statements on one connection of SQLite, each compiled once, whatever values and lists it is given.

What Core does besides for each statement of each beat (events, a pool, results of its own) was two fifths of a history
of several replicas.
"""

from sqlalchemy.dialects.sqlite import dialect

from watchdog.state import driver
from watchdog.state.deferred import real

_SQLITE = dialect()


class Prepared(driver.Connection):
    """The product's own, for statements that are not stored with the program as well."""

    def __init__(self, raw):
        super().__init__(raw)
        self._forms = {}  # form of a statement, names of what it is given: it, compiled
        self._known = {}  # one statement, those names: it, compiled, and the values that it holds itself
        self._spread = {}  # compiled statement, lengths of its lists: its text

    def execute(self, statement, values=None):
        if isinstance(values, list | tuple):
            return self.run_each(statement, values)
        compiled, fixed = self._compiled(statement, tuple(values or ()))
        given = {**fixed, **values} if values else fixed
        if not compiled.post_compile_params:
            text, ordered = compiled.string, [given[place] for place in compiled.positiontup]
        else:
            text, ordered = self._with_lists(compiled, given)
        return driver.Result(driver.execute(self.raw, text, ordered))

    def run_each(self, statement, rows):
        compiled, fixed = self._compiled(statement, tuple(rows[0]))
        given = [[{**fixed, **row}[place] for place in compiled.positiontup] for row in rows]
        return driver.Result(self.raw.executemany(compiled.string, given))

    def _compiled(self, statement, names):
        known = self._known.get((id(statement), names))
        if known is None:
            core = real(statement)
            form = core._generate_cache_key()  # noqa: SLF001  as Core itself finds what it has compiled
            compiled = self._forms.get((form.key, names))
            if compiled is None:
                compiled = core.compile(dialect=_SQLITE, column_keys=list(names) or None, cache_key=form)
                self._forms[form.key, names] = compiled
            fixed = compiled.construct_params(extracted_parameters=form.bindparams, _check=False)
            known = self._known[id(statement), names] = statement, compiled, fixed
        return known[1:]

    def _with_lists(self, compiled, given):
        """The text with as many places as there are values in each list, and all values in their order."""
        ordered, lengths = [], []
        for place in compiled.positiontup:
            value = given[place]
            if not isinstance(value, list):
                ordered.append(value)
                continue
            lengths.append(len(value))
            for each in value:
                ordered.extend(each if isinstance(each, tuple) else (each,))
        under = id(compiled), *lengths
        if under not in self._spread:
            self._spread[under] = compiled.construct_expanded_state(given).statement
        return self._spread[under], ordered
