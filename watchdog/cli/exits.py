"""How a command ends: its exit code, which a program reads, and one sentence on stderr for people; never a traceback.

A failure gets its code (``model.exit_codes``) where what raises it is called: nothing is imported only to tell errors
apart.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from watchdog.tell import terminal


def fail(code: int, sentence: str) -> NoReturn:
    """End the command."""
    if terminal.reads_priorities(sys.stderr):
        sentence = "\n".join(terminal.priority("error") + line for line in sentence.splitlines())
    with suppress(OSError):
        print(sentence, file=sys.stderr)
    sys.exit(code)


@contextmanager
def failing(code: int, *kinds: type[Exception]) -> Iterator[None]:
    """Any of these ends the command with that code; what it says is the sentence."""
    try:
        yield
    except kinds as error:
        fail(code, str(error))
