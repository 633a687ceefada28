"""The state that simulated replicas share: the product's own tables and statements on one SQLite in memory.

``Server`` has a clock and troubles of its own; a ``Way`` leads there from one machine, and may be cut or slow.
Each transaction is made in one step, so how two of them interleave statement by statement is not tried here but with a
real PostgreSQL. What is written is told to ``laws`` from inside of the transaction, by triggers, whoever writes it.
"""

import sqlite3
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from tests.harness.simulation.laws_of_several import LeaseRow
from tests.harness.simulation.prepared import Prepared
from watchdog.state import texts
from watchdog.state.database import StateError
from watchdog.state.migrations.upgrade import fill
from watchdog.state.sqlite import SQLite

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
CUT_FOR = 5.0
"""Seconds until a connection that is cut is noticed, as ``tcp_user_timeout`` and the keepalives have it."""


class NoLaws:
    """For who looks at the state itself."""

    def intended(self, *_):
        pass

    leased = intended


class Server:
    """The database server. ``wrong`` is how far its clock is off; ``trouble`` is why it takes no statement, or empty.

    With ``full`` it only reads.
    """

    def __init__(self, time, laws):
        self._time, self._laws = time, laws
        self._written = []  # what the transaction under way has written, as calls of the laws
        self.wrong = timedelta(0)
        self._moment = 0
        self.trouble = ""
        self.full = False
        self._driver = sqlite3.connect(":memory:", isolation_level=None, cached_statements=256)
        self._connection = Prepared(self._driver)
        # Within a transaction no time goes by, so it is asked once a statement and not once a row.
        self._driver.create_function("clock_micros", 0, lambda: self._moment, deterministic=True)
        self._driver.create_function("law_intent", 5, self._intended)
        self._driver.create_function("law_lease", 8, self._leased)
        for statement in (*texts.stored().tables, *_TRIGGERS):
            self._driver.execute(statement)
        fill(self._connection)

    def now(self):
        """Its own time."""
        return self._time.true() + self.wrong

    def micros(self):
        """The same as it is stored."""
        return (self.now() - _EPOCH) // _MICROSECOND

    @contextmanager
    def transaction(self, life):
        """Whole, or undone. ``life`` is the process that makes it."""
        if self.trouble:
            raise StateError(f"the simulated database {self.trouble}")
        self._written.clear()
        self._moment = self.micros()
        try:
            self._driver.execute("BEGIN")
            try:
                yield self._connection
                self._driver.execute("COMMIT")
            except BaseException:
                self._driver.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StateError(f"the simulated database: {error}") from error
        for tell, *what in self._written:
            tell(life, *what, self._moment)

    def leases(self):
        """Each lease, looked at from outside of everything; every few seconds, so the driver itself is asked."""
        rows = self._driver.execute("SELECT account, instance, epoch, expires FROM leases")
        return {row[0]: LeaseRow(*row) for row in rows}

    def replicas(self):
        """Version and configuration that each process says it runs, by its instance."""
        rows = self._driver.execute("SELECT instance, version, config FROM replicas")
        return {instance: (version, config) for instance, version, config in rows}

    def close(self):
        self._driver.close()

    def _intended(self, account, *lease):
        self._written.append((self._laws.intended, account, _lease(*lease)))

    def _leased(self, *both):
        self._written.append((self._laws.leased, _lease(*both[:4]), _lease(*both[4:])))


def _lease(account, instance, epoch, expires):
    return None if account is None else LeaseRow(account, instance, epoch, expires)


def _columns(row):
    return ", ".join(f"{row}.{each}" for each in ("account", "instance", "epoch", "expires"))


_NOTHING = "NULL, NULL, NULL, NULL"
_BOTH = f"{_columns('OLD')}, {_columns('NEW')}"
_HELD = f"{_columns('lease')}) FROM (SELECT 1) LEFT JOIN leases AS lease ON lease.account = NEW.account"
_TRIGGERS = (
    f"CREATE TRIGGER law_i AFTER INSERT ON intents BEGIN SELECT law_intent(NEW.account, {_HELD}; END",
    f"CREATE TRIGGER law_n AFTER INSERT ON leases BEGIN SELECT law_lease({_NOTHING}, {_columns('NEW')}); END",
    f"CREATE TRIGGER law_u AFTER UPDATE ON leases BEGIN SELECT law_lease({_BOTH}); END",
    f"CREATE TRIGGER law_d AFTER DELETE ON leases BEGIN SELECT law_lease({_columns('OLD')}, {_NOTHING}); END",
)


class Way:
    """The way from one machine to the server. While it is ``cut`` nothing comes through; ``slow`` are seconds."""

    def __init__(self, dice):
        self._dice = dice
        self.cut = False
        self.slow = 0.0
        self._cuts = 0
        self._sent = 0

    def sever(self):
        self.cut = True
        self._cuts += 1

    def mend(self):
        self.cut = False

    def takes(self):
        """Seconds until a question is there, and until its answer is back."""
        self._sent = self._cuts
        if self.cut:
            return CUT_FOR, 0.0
        if not self.slow:
            return 0.0, 0.0
        there = self._dice.uniform(0, self.slow)
        return there, self.slow - there

    def lost(self):
        """Why the answer to the last question never came, though it was taken; or nothing."""
        return StateError("the simulated database cannot be reached: cut") if self._sent != self._cuts else None


class Connection:
    """The product's ``Database``, from one process on one machine."""

    damage = lost = None
    exclusive = False
    now = sa.literal_column("clock_micros()", sa.BigInteger)

    def __init__(self, server, way, life):
        self._server, self._way, self._life = server, way, life
        self.name = "the simulated state"
        self.dead = False

    @contextmanager
    def reading(self):
        with self._transaction() as connection:
            yield connection

    @contextmanager
    def writing(self):
        if self._server.full:
            raise StateError("the simulated database has no room left")
        with self._transaction() as connection:
            yield connection

    def ask(self, connection, said, given):
        return connection.execute(sa.text(said), given)

    row_as_text = SQLite.row_as_text
    rows_as_text = SQLite.rows_as_text

    def aside(self):
        """Others write, too."""

    def senseless(self, error):
        return StateError(f"the simulated database holds what makes no sense: {error}")

    def changed_elsewhere(self):
        return False

    def set_aside(self, at):
        raise StateError(f"a server sees to its own files ({at})")

    def close(self):
        """Nothing is held."""

    @contextmanager
    def _transaction(self):
        if self.dead or self._way.cut:
            raise StateError("the simulated database cannot be reached: cut")
        with self._server.transaction(self._life) as connection:
            yield connection
