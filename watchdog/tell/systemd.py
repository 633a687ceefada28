"""States sent to systemd by its notification protocol (``sd_notify(3)``): datagrams to ``$NOTIFY_SOCKET``.

The protocol is these few lines, so no library is needed. Nothing is sent where nobody asked.
"""

import contextlib
import socket
from collections.abc import Mapping

from watchdog.model.text import clean

PATIENCE = 1.0
"""Seconds to wait for a manager that does not read its socket: it must not hold up the loop that does the work."""


class Notifier:
    """Speaks to the service manager that the environment names; silent when it names none."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        usec = environ.get("WATCHDOG_USEC", "")
        self.watchdog_seconds = int(usec) / 1e6 if usec.isdigit() else None

    @property
    def heard(self) -> bool:
        """Whether anybody listens: a long status need not be put together otherwise."""
        return bool(self._address)

    def send(self, **states: str | int) -> None:
        """Send states such as ``READY=1``. A manager that does not listen is no reason to fail."""
        if not self.heard:
            return
        lines = (f"{name}={clean(value)}" for name, value in states.items())
        message = "\n".join(lines).encode()
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out,
        ):
            out.settimeout(PATIENCE)
            out.sendto(message, self._address)
