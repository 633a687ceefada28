"""Who else can read a file that holds a credential. That is worth a warning and never a refusal.

Nothing is said of what lies where somebody else keeps others out. The folder of systemd's ``${CREDENTIALS_DIRECTORY}``
is the service's alone, while access lists make its files look wider. In ``/run/secrets`` container engines place files
of mode 0444, into a container that nobody else lives in.
"""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

_KEPT_BY_ENGINES = (Path("/run/secrets"), Path("/var/run/secrets"))
_GROUP = stat.S_IRGRP | stat.S_IWGRP
_OTHERS = stat.S_IROTH | stat.S_IWOTH


class Exposed(msgspec.Struct, frozen=True):
    """A file with a credential that others can read (or write), and its permission bits."""

    file: Path
    mode: int

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return f"chmod 600 {self.file}"

    def __str__(self) -> str:
        return f"{self.file}: holds a credential and others can read it (mode {self.mode:04o}): {self.remedy}"


Warn = Callable[[Exposed], None]
"""Hears of every such file."""


def exposure(file: Path, found: os.stat_result, environ: Mapping[str, str], user: int) -> Exposed | None:
    """Whether others than ``user``, who runs this, can read the file.

    Its group may where the file is somebody else's, since that is how an unprivileged user is given it (root's, 0640).
    """
    mode = stat.S_IMODE(found.st_mode)
    by_its_group = user not in (0, found.st_uid)
    if not stat.S_ISREG(found.st_mode) or not mode & (_OTHERS if by_its_group else _OTHERS | _GROUP):
        return None
    kept = [*_KEPT_BY_ENGINES, *(Path(name) for name in (environ.get("CREDENTIALS_DIRECTORY"),) if name)]
    if any(file.is_relative_to(folder) for folder in kept):
        return None
    return Exposed(file, mode)
