"""A throw-away machine: a real systemd as PID 1 on an overlay of this machine's own root, with no network but loopback.

Everything is mounted in a mount namespace of its own, so that nothing is left to unmount when its processes end; they
end with the test run, however that ends.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
UNABLE = 77
BOOT = r"""
set -eu
mount -t tmpfs tmpfs "$W" 2>/dev/null || exit 77
mkdir "$W/up" "$W/work" "$W/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$W/up,workdir=$W/work" "$W/root" 2>/dev/null || exit 77
cd "$W/root"
rm -rf etc/systemd/system/*.wants etc/systemd/system/*.requires
rm -rf etc/systemd/system/certpack-watchdog* etc/certpack-watchdog
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' > etc/systemd/system/test.target
ln -sf test.target etc/systemd/system/default.target
: > etc/machine-id
cp -a "$SETUP/." .
exec systemd-nspawn -q -D "$W/root" -M "$NAME" --register=no --keep-unit --private-network --boot --console=pipe
"""


def lacking() -> str:
    """Why no such machine can be had here; empty where it can."""
    if os.geteuid() != 0:
        return "needs root (systemd-nspawn)"
    missing = [name for name in ("systemd-nspawn", "unshare", "nsenter", "setpriv") if not shutil.which(name)]
    return f"{', '.join(missing)} not installed" if missing else ""


def until(what: Callable[[], T], seconds: float = 30) -> T:
    """Asks again and again until the answer is truthy, or time is up; gives the last answer."""
    last = time.monotonic() + seconds
    while not (answer := what()) and time.monotonic() < last:
        time.sleep(0.05)
    return answer


class Machine:
    """One booted machine; commands run inside it."""

    def __init__(self, leader: int) -> None:
        self.leader = leader

    def run(self, *command: str, check: bool = True) -> str:
        """Runs a command inside, and gives what it printed; its failure is this test's."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.leader), "-a", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}"
        return done.stdout.strip()

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", "--value", "--property", name, unit)

    def write(self, path: str, text: str) -> None:
        """Puts a file into the machine."""
        self.run("/bin/sh", "-c", 'mkdir -p "$(dirname "$1")" && printf %s "$2" > "$1"', "sh", path, text)


class CannotBootError(Exception):
    """This machine does not allow the mounts that are needed."""


@contextlib.contextmanager
def booted(work: Path, setup: Path) -> Iterator[Machine]:
    """A machine whose root is this one's with `setup` copied over it, for as long as the block lasts."""
    console, root = work / "console", work / "overlay"
    root.mkdir()
    name = f"certpack{os.getpid()}"
    with console.open("wb") as said:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "slave", "/bin/sh", "-c", BOOT],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env={**os.environ, "W": str(root), "SETUP": str(setup), "NAME": name},
        )
    try:
        machine = until(lambda: _running(process))
        if process.poll() == UNABLE:
            raise CannotBootError
        assert isinstance(machine, Machine), f"systemd did not come up:\n{console.read_text(errors='replace')}"
        yield machine
        os.kill(machine.leader, signal.SIGRTMIN + 4)  # "power off", to a systemd that is PID 1
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
    finally:
        process.kill()
        process.wait()


def _running(process: subprocess.Popen[bytes]) -> Machine | bool:
    if process.poll() is not None:
        return True
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        machine = Machine(int(child))
        if machine.run("systemctl", "is-system-running", check=False) in {"running", "degraded"}:
            return machine
    return False
