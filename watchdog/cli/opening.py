"""What a command opens before it does anything: its configuration, its state. A fault of either ends it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from watchdog.cli.exits import fail, failing
from watchdog.model.exit_codes import CONFIG_ERROR, IO_ERROR, NEEDS_A_PERSON, STATE_HELD, UNAVAILABLE

if TYPE_CHECKING:
    from datetime import datetime

    from watchdog.config.document import Opened
    from watchdog.config.permissions import Warn
    from watchdog.config.schema import Config
    from watchdog.state.glance import Glance
    from watchdog.state.store import Store


def load_config(
    path: Path, warn: "Warn" = lambda _: None, *, online: bool = True, opened: "Opened | None" = None
) -> "Config":
    """The configuration; where the command goes ``online``, with its secrets, and the environment must fit as well."""
    from watchdog.config.document import unnoticed
    from watchdog.config.environment import check_environment
    from watchdog.config.load import ConfigError, load

    if online and (unusable := "\n".join(check_environment(os.environ))):
        fail(CONFIG_ERROR, unusable)
    with failing(CONFIG_ERROR, ConfigError):
        return load(path, os.environ, warn, with_secrets=online, opened=opened or unnoticed)


@contextmanager
def looking(config: "Config") -> "Iterator[Store | Glance]":
    """The state, to be read only: at a glance where it is in good order, else by the door that says what is wrong."""
    from watchdog.state.glance import Glance, Unusual

    try:
        glance = Glance.open(config.state.url.get_secret_value())
    except Unusual:
        with opened_state(config, exclusive=False) as store:
            yield store
        return
    try:
        yield glance
    except Unusual:
        with opened_state(config, exclusive=False) as store:
            store.load()
        fail(IO_ERROR, "the state could not be read to its end: try again")
    finally:
        glance.close()


@contextmanager
def opened_state(
    config: "Config", *, exclusive: bool, or_beside: bool = False, copied: bool = False, mending: bool = False
) -> "Iterator[Store]":
    """The state. ``or_beside`` a daemon that holds it, where it would have been ours alone; ``copied``, it stays as is.

    ``mending``, a damaged one is set aside: at the opening for a new one, later for the new one of the next start.
    """
    from watchdog.clock import RealClock
    from watchdog.state.database import StateDamaged, StatePutBack

    clock, url = RealClock(), config.state.url.get_secret_value()
    with state_failures():
        mend_at = clock.now() if mending else None
        store = _opened(url, exclusive=exclusive, or_beside=or_beside, copied=copied, mend_at=mend_at)
        try:
            yield store
            if mending and store.damage is not None:
                raise store.damage
        except StatePutBack as gone:
            fail(IO_ERROR, f"{gone}; what it held was put back, and the next start goes on with it")
        except StateDamaged as damage:
            if not mending:
                raise
            kept = store.set_aside(clock.now())
            fail(IO_ERROR, f"{damage}; it was set aside as {kept}, and the next start does without it")
        finally:
            store.close()


@contextmanager
def state_failures() -> Iterator[None]:
    """Whatever goes wrong with a state ends the command."""
    from watchdog.state.database import StateDamaged, StateError, StateHeld, StateInUse, StateTooNew

    try:
        yield
    except (StateHeld, StateInUse) as error:
        fail(STATE_HELD, str(error))
    except StateTooNew as error:
        fail(CONFIG_ERROR, str(error))
    except StateDamaged as error:
        fail(IO_ERROR, f"{error}; `run` and `once` set it aside and begin a new one")
    except StateError as error:
        fail(IO_ERROR, str(error))


@contextmanager
def pack_failures() -> Iterator[None]:
    """What cannot be done with a pack ends the command."""
    from watchdog.commands.one_pack import CannotBeDone

    try:
        yield
    except CannotBeDone as why:
        fail(UNAVAILABLE if why.unreachable else NEEDS_A_PERSON, str(why))


def _opened(url: str, *, exclusive: bool, or_beside: bool, copied: bool, mend_at: "datetime | None") -> "Store":
    from watchdog.state.database import StateHeld
    from watchdog.state.store import Store

    if copied:
        return Store.open_copy(url)
    try:
        store = Store.open(url, exclusive=exclusive, mend_at=mend_at)
    except StateHeld:
        if not or_beside:
            raise
        return Store.open(url, exclusive=False)
    if or_beside and store.shared:  # it is up to date now, and daemons may be at work on it
        store.close()
        return Store.open(url, exclusive=False)
    return store


def now_of(store: "Store | Glance") -> "datetime":
    """The time that the state's times are of: the database's, where several machines share it."""
    from watchdog.clock import RealClock

    return store.time() or RealClock().now()
