"""What every test may use. Fixtures only: what they give lives in ``tests/harness``."""

import gc
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.harness.dns import Responder
from tests.harness.fleet import Start
from tests.harness.processes import PATIENCE, Machine
from tests.harness.time import LoopClock
from watchdog.config.load import ConfigError, load
from watchdog.config.schema import Config

hypothesis.settings.register_profile("untimed", deadline=None)  # how long a test takes says how busy the machine is
hypothesis.settings.load_profile("untimed")


def pytest_collection_finish() -> None:
    """What was imported and collected stays for ever: to look through it again and again is a twentieth of the time."""
    gc.collect()
    gc.freeze()
    _seek_garbage_rarely()


def pytest_runtest_setup() -> None:
    _seek_garbage_rarely()  # a command that was called in this process has its own say, for as long as processes last


def _seek_garbage_rarely() -> None:
    gc.set_threshold(200_000, 20, 50)
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Any:
    """Tests that go over the same lines a hundred times go without coverage's tracer, which doubles their time."""
    tracer = sys.gettrace()
    repeats = any(pyfuncitem.get_closest_marker(name) for name in ("hypothesis", "repeats"))
    if tracer is None or not repeats:
        return (yield)
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)


@pytest.fixture
def clock() -> LoopClock:
    return LoopClock()


@pytest.fixture
def machine(tmp_path: Path) -> Any:
    """``machine.cloudflare({...})``, then ``machine.run()``."""
    with ExitStack() as stack:
        yield Machine(tmp_path, stack)


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """``async with start({"a.example": [pack]}) as fleet``: the watchdog's process, from its start to its stop."""
    return Start(tmp_path)


@pytest.fixture
def manager(tmp_path: Path) -> Any:
    """The service manager's end of ``NOTIFY_SOCKET``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(PATIENCE)
        yield listening


@pytest.fixture
def resolver() -> Responder:
    """A resolver that knows one domain, whose zone is example.com and whose one host is www."""
    return Responder({"com": ["SOA"], "example.com": ["SOA", "A 192.0.2.1"], "www.example.com": ["A 192.0.2.1"]})


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Config]:
    def reading(text: str, **environ: str) -> Config:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return load(path, environ)

    return reading


@pytest.fixture
def refused(read: Callable[..., Config], tmp_path: Path) -> Callable[..., list[str]]:
    """The lines that the refusal of a file consists of, without the folder's name."""

    def refusing(text: str, **environ: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read(text, **environ)
        return str(caught.value).replace(f"{tmp_path}/", "").splitlines()

    return refusing
