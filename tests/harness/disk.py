"""SQLite's own knobs: how a disk is made full, read-only or busy without one."""


def pragma(store, text):
    """Ask or set one on the connection that ``store`` itself uses, also in the middle of a transaction of its."""
    row = store._database._raw.execute(f"PRAGMA {text}").fetchone()  # noqa: SLF001 - else a full disk is needed
    return row and row[0]


def by_core(store):
    """SQLAlchemy's own connection to the database that ``store`` has open."""
    return store._database._by_core()  # noqa: SLF001 - else a test would open the file a second time, beside its lock
