"""``${NAME}`` in the texts of a configuration: filled in from the environment, once. ``$$`` is a dollar.

``${NAME:-default}`` is the default where the variable is not set or is empty. What a variable holds is not looked into
again, and no message repeats it.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from watchdog.config.document import MAX_BYTES, MAX_MIB, Report, Where

_REFERENCE = re.compile(r"\$(\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(:-(?P<default>[^}]*))?\})?")


class Expanded(str):
    """A text with a variable in it: it may stand for a number, ``true`` or ``false`` too, which a file writes bare."""

    __slots__ = ()


class TooLarge(Exception):
    """The variables bring in more than a file may hold; ``str()`` says so."""


class Expansion(msgspec.Struct):
    """Fills in the variables of one file. ``report`` takes what is wrong; ``left`` is how much may still come in."""

    environ: Mapping[str, str]
    report: Report
    left: int = MAX_BYTES

    def value(self, value: Any, where: Where) -> Any:
        """The value at ``where`` with every variable in it filled in. Raises ``TooLarge``."""
        if isinstance(value, str):
            return self._text(value, where) if "$" in value else value
        if isinstance(value, dict):
            return {
                key: below if type(below) is str and "$" not in below else self.value(below, (*where, key))
                for key, below in value.items()
            }
        if isinstance(value, list):
            return [self.value(below, (*where, number)) for number, below in enumerate(value)]
        return value

    def _text(self, text: str, where: Where) -> str:
        def replaced(found: re.Match[str]) -> str:
            if found["name"] is not None:
                return self._variable(found["name"], found["default"], where)
            if found[0] == "$":
                self.report(
                    where, "a `$` stands alone", "write ${NAME} for a variable of the environment, $$ for a dollar"
                )
            return "$"

        return Expanded(_REFERENCE.sub(replaced, text))

    def _variable(self, name: str, default: str | None, where: Where) -> str:
        held = self.environ.get(name)
        if held is None and default is None:
            self.report(where, f"the environment has no variable {name}", "")
        text = held or default or ""
        self.left -= len(text)
        if self.left < 0:
            raise TooLarge(f"is larger than {MAX_MIB} MiB once its variables are filled in")
        return text
