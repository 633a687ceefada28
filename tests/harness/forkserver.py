"""Processes of the program that are born at once: each a fork of one that has imported everything and done nothing yet.

A start costs 0.1 s of CPU instead of 0.9. Everything after the imports is the real command in a process of its own.
Run as a script, this is that mother; it reads one order per line and answers with one line.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

IMPORTED = (
    *(
        "watchdog.cli",
        "watchdog.daemon",
        "watchdog.notify.pipeline",
        "watchdog.config.load",
        "watchdog.schedule.ticker",
    ),
    *("watchdog.tell.listener", "watchdog.tell.metrics", "watchdog.notify.http", "sqlalchemy.dialects.sqlite"),
    *("uvicorn.protocols.http.h11_impl", "uvicorn.loops.asyncio", "uvicorn.lifespan.off", "httpcore"),
    "anyio._backends._asyncio",
)


class Child:
    """One of them, which runs until it ends or is killed."""

    def __init__(self, mother, pid, said):
        self._mother, self.pid, self._said = mother, pid, said
        self.code = None

    @property
    def output(self):
        return self._said.read_text()

    def lines(self, event):
        found = [json.loads(line) for line in self.output.splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in found if line["event"] == event]

    def signal(self, number):
        os.kill(self.pid, number)

    def poll(self):
        """Its exit code (negative: the signal that killed it), or None."""
        if self.code is None:
            self.code = self._mother.order(poll=self.pid)
        return self.code

    def ended(self):
        if self.code is None:
            self.code = self._mother.order(wait=self.pid)
        return self.code


class Nursery:
    """Where they come from. ``with Nursery(folder) as nursery: nursery.run("run", "--config", ...)``."""

    def __init__(self, folder):
        self._folder, self._born = folder, 0

    def __enter__(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen([sys.executable, __file__], **pipes, text=True, env=environ, cwd=self._folder)
        assert self.order() is None
        return self

    def __exit__(self, *_):
        self._process.stdin.close()  # she takes them with her
        self._process.wait(20)
        self._process.stdout.close()

    def order(self, **what):
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def run(self, *arguments):
        self._born += 1
        said = self._folder / f"said{self._born}"
        said.touch()
        return Child(self, self.order(run=[str(each) for each in arguments], said=str(said)), said)


def _bear(arguments, said):
    pid = os.fork()
    if pid:
        return pid
    for descriptor, name in ((0, os.devnull), (1, said), (2, said)):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), descriptor)
    os.closerange(3, 64)
    from watchdog.cli import main  # noqa: PLC0415  in the child alone

    sys.argv = ["certpack-watchdog", *arguments]
    code = 1
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    finally:
        os._exit(code)


def _code_of(status):
    return os.waitstatus_to_exitcode(status)


def _mother():
    for name in IMPORTED:
        __import__(name)
    living = set()
    for line in sys.stdin:
        order, answer = json.loads(line), None
        if "run" in order:
            answer = _bear(order["run"], order["said"])
            living.add(answer)
        elif order:
            pid, flags = (order["wait"], 0) if "wait" in order else (order["poll"], os.WNOHANG)
            found, status = os.waitpid(pid, flags)
            if found:
                living.discard(pid)
                answer = _code_of(status)
        print(json.dumps(answer), flush=True)  # noqa: T201  that is how she answers
    for pid in living:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    _mother()
