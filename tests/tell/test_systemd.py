"""The notification protocol, told to a real socket."""

import socket
import time
from contextlib import suppress

import pytest

from watchdog.tell.systemd import Notifier


@pytest.fixture
def manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        yield listening, str(tmp_path / "notify")


def test_states_arrive_as_one_datagram_of_lines(manager):
    listening, address = manager
    Notifier({"NOTIFY_SOCKET": address}).send(READY=1, STATUS="Watching 3 packs.")
    assert listening.recv(4096) == b"READY=1\nSTATUS=Watching 3 packs."


def test_an_at_sign_means_the_abstract_namespace():
    name = f"certpack-watchdog-test-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.settimeout(5)
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).send(STOPPING=1)
        assert listening.recv(4096) == b"STOPPING=1"


def test_a_text_cannot_smuggle_in_another_state(manager):
    listening, address = manager
    Notifier({"NOTIFY_SOCKET": address}).send(STATUS="fine\nMAINPID=1")
    assert listening.recv(4096) == b"STATUS=fine MAINPID=1"


@pytest.mark.parametrize(
    "environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere/at/all"}, {"NOTIFY_SOCKET": "vsock:2:1"}]
)
def test_a_manager_that_is_not_there_is_no_failure(environ):
    Notifier(environ).send(READY=1)


def test_a_manager_that_reads_nothing_holds_nobody_up_for_long(manager):
    _, address = manager
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as crowd:
        crowd.settimeout(0)
        with suppress(BlockingIOError):
            while crowd.sendto(b"x", address):
                pass
    began = time.monotonic()
    Notifier({"NOTIFY_SOCKET": address}).send(WATCHDOG=1)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(("said", "seconds"), [("30000000", 30.0), ("500000", 0.5), ("", None), ("soon", None)])
def test_the_managers_watchdog_is_known_in_seconds(said, seconds):
    assert Notifier({"WATCHDOG_USEC": said}).watchdog_seconds == seconds


def test_without_a_watchdog_there_is_none():
    assert Notifier({}).watchdog_seconds is None
