"""What goes wrong with a state on PostgreSQL: each error as one sentence for an operator. Called by ``postgresql``."""

import msgspec
from sqlalchemy import exc

from watchdog.model.text import clean
from watchdog.state.database import StateError, StateTooNew
from watchdog.state.migrations.upgrade import TooNew, UpgradeError

LOCK = "5s"
"""How long to wait for another's lock: each is held for well under a second."""

SILENT = "10s"
"""How long one statement may take."""

_SENTENCES = {
    "28": "refuses the user or the password",
    "3D": "has no such database",
    "42501": "does not permit this user to do that",
    "53": "has no room left: its disk, its memory or its connections are used up",
    "25006": "is read-only: a standby, or a server that is being moved",
    "55P03": f"has a lock that another process holds for more than {LOCK}",
    "57014": f"takes longer than {SILENT} for a statement",
    "57P": "is being shut down",
}
"""By SQLSTATE, or how it begins."""

_SENSELESS = (ValueError, TypeError, OverflowError, msgspec.MsgspecError)

OF_THE_STATE = (UpgradeError, exc.SQLAlchemyError, *_SENSELESS)
"""The errors that concern the state, and not whoever asks it."""


def sentence(name: str, secret: str, error: Exception, *, reading: bool) -> StateError:
    """What an operator is told of an error that concerns the state ``name``; the ``secret`` is left out.

    While ``reading``, a value that makes no sense is said to be one.
    """
    if isinstance(error, TooNew):
        return StateTooNew(f"{name} {error}: run that version, or restore a copy from before")
    if isinstance(error, UpgradeError):
        said = str(error).replace("choose another path in state.url", "name another schema in state.url")
        return StateError(f"{name} {said}")
    cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
    state = str(getattr(cause, "sqlstate", None) or "")
    said = clean(str(cause).replace(secret, "***") if secret else str(cause))
    for code, told in _SENTENCES.items():
        if state.startswith(code):
            return StateError(f"{name} {told}: {said}")
    if isinstance(error, exc.TimeoutError | exc.OperationalError | exc.InterfaceError):
        return StateError(f"{name} cannot be reached: {said}")
    senseless = reading and isinstance(cause, _SENSELESS)
    return StateError(f"{name} {'holds what makes no sense' if senseless else 'cannot be used'}: {said}")
