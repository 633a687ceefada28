"""How a command ends: its exit code, which a program reads, and one sentence on stderr for people; never a traceback.

0 fine, 1 something needs a person, 2 wrong usage, 69 Cloudflare cannot be reached or refuses the credentials, 74 the
machine refuses: the state (or the report) cannot be opened or written, the address is taken, no file descriptor is
left; 75 another instance holds the state, 78 the configuration is wrong, or a newer version wrote the state. A failure
gets its code where what raises it is called, so nothing is imported only to tell errors apart.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from watchdog.tell import terminal

NEEDS_A_PERSON, USAGE, UNAVAILABLE, IO_ERROR, STATE_HELD, CONFIG_ERROR = 1, 2, 69, 74, 75, 78


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
