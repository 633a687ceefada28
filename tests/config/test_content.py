"""Files of the configuration that are pipes: they are waited for, and no process stands still at one."""

import os
import threading

import pytest

from watchdog.config import content
from watchdog.config.content import content_of
from watchdog.config.document import DocumentError
from watchdog.config.reading import read_document
from watchdog.config.secrets import read_secret


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(content, "PATIENCE", 0.1)


@pytest.mark.parametrize("written", [[b"a-token"], [b"a-", b"token\n"]])
def test_what_somebody_writes_into_a_pipe_is_read_to_its_end_whoever_opens_it_first(pipe, written):
    def write():
        with pipe.open("wb", buffering=0) as file:
            for piece in written:
                file.write(piece)

    writer = threading.Thread(target=write)
    writer.start()
    assert read_secret(pipe) == "a-token"
    writer.join()


@pytest.mark.usefixtures("hasty")
def test_a_pipe_with_nobody_at_its_other_end_is_a_sentence_and_no_standstill(pipe):
    with pytest.raises(ValueError, match=r"cannot be read: it is a pipe, and nobody wrote into it within 0\.1 s"):
        read_secret(pipe)
    with pytest.raises(DocumentError, match="nobody wrote into it"):
        read_document(pipe)


@pytest.mark.usefixtures("hasty")
def test_a_pipe_that_is_held_open_and_never_ended_is_no_standstill_either(pipe):
    descriptor = os.open(pipe, os.O_RDWR)
    os.write(descriptor, b"a-token")
    with pytest.raises(ValueError, match="nobody wrote into it"):
        read_secret(pipe)
    os.close(descriptor)


def test_of_a_pipe_no_more_is_read_than_is_wanted(pipe):
    descriptor = os.open(pipe, os.O_RDWR)
    os.write(descriptor, b"x" * 5000)
    found, _ = content_of(pipe, 4097)
    os.close(descriptor)
    assert found == b"x" * 4097


def test_a_device_without_an_end_is_read_as_far_as_is_wanted():
    found, _ = content_of("/dev/zero", 10)
    assert found == bytes(10)
