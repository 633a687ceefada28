"""From a path to a ``Config``, whole or not at all: the one door through which a configuration enters.

It reads the file, fills in the environment and the secret files, and gathers every fault of every step, so that an
operator mends a file once. No message holds a credential, what a secret file holds, or what a variable holds
(but for the path of a secret file, which systemd gives in a variable).
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from watchdog.config.document import (
    MAX_BYTES,
    MAX_MIB,
    MOST_PROBLEMS,
    Document,
    DocumentError,
    Problem,
    Where,
    read_document,
    shown_key,
    too_many,
)
from watchdog.config.json_schema import SECRETS, json_schema, keys_at
from watchdog.config.messages import sentence
from watchdog.config.permissions import Warn, exposure
from watchdog.config.references import Complain, resolve
from watchdog.config.schema import Config
from watchdog.config.types import header_safe

__all__ = ["ConfigError", "Problem", "json_schema", "load"]

_DOLLAR = re.compile(r"\$(\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\})?")
_LONGEST_SECRET = 16 * 1024
_MOST_COMPLAINTS = 10_000  # of pydantic's: it makes them all before the first is read


class ConfigError(DocumentError):
    """The configuration is refused. ``problems`` are all its faults, in the order of the file, one line each."""


def load(path: Path, environ: Mapping[str, str], warn: Warn = lambda _: None) -> Config:
    """Read the configuration, or raise ``ConfigError`` with everything that is wrong with it.

    ``warn`` hears of every file, this one or a secret's, that holds a credential and can be read by others.
    """
    found: list[Problem] = []
    try:
        document = read_document(path)
    except DocumentError as error:
        if error.document is None:
            raise ConfigError(error.problems) from None
        document = error.document
        found.extend(error.problems)
    judging = _Judging(document, found, environ)
    # A block whose keys are all commented out is null to YAML, and left out to whoever wrote it.
    written = {
        key: value for key, value in document.data.items() if value is not None or key not in Config.model_fields
    }
    data = {key: _filled_in(value, (key,), judging) for key, value in written.items()}

    def opened(file: Path, found: os.stat_result) -> None:
        if told := exposure(file, found, environ, os.geteuid()):
            warn(told)

    if any(_inline(block, secrets) for _, block, secrets in _blocks_with_secrets(written)):
        with suppress(OSError):
            opened(path, path.stat())
    for where, block, secrets in _blocks_with_secrets(data):
        _read_secrets(block, where, secrets, path.parent, judging.complain, opened)
    data = resolve(data, document.line_of, judging.complain)
    config = None
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        judging.models(error)
    if config is None or judging.found:
        raise judging.refused()
    return config


@dataclass(slots=True)
class _Judging:
    """What is found wrong with one file, up to a number; and how much its variables may still bring in."""

    document: Document
    found: list[Problem]
    environ: Mapping[str, str]
    room: int = MAX_BYTES

    def complain(self, where: Where, what: str, hint: str = "") -> None:
        """One more fault."""
        self.add(self.document.problem(where, what, hint))

    def add(self, problem: Problem) -> None:
        if len(self.found) >= MOST_PROBLEMS:
            raise self.refused(too_many())
        self.found.append(problem)

    def models(self, error: ValidationError) -> None:
        """The models' faults."""
        if error.error_count() > _MOST_COMPLAINTS:
            raise self.refused(too_many()) from None
        for problem in _judged(error, self.document, [*self.found]):
            self.add(problem)

    def refused(self, *at_last: str) -> ConfigError:
        """All that was found, in the order of the file, and what concerns all of it."""
        whole = (Problem(self.document.file, 0, (), what) for what in at_last)
        return ConfigError((*sorted(self.found, key=lambda problem: problem.line), *whole))

    def variable(self, name: str, where: Where) -> str:
        """What a variable of the environment holds."""
        if name not in self.environ:
            self.complain(where, f"the environment has no variable {name}")
        held = self.environ.get(name, "")
        self.room -= len(held)
        if self.room < 0:
            raise self.refused(f"is larger than {MAX_MIB} MiB once its variables are filled in")
        return held


def _filled_in(value: Any, where: Where, judging: _Judging) -> Any:
    """The value with every ``${NAME}`` in it replaced; names are looked up once, what they hold is not looked at."""
    if isinstance(value, str):
        return _substituted(value, where, judging) if "$" in value else value
    if isinstance(value, dict):
        return {key: _filled_in(below, (*where, key), judging) for key, below in value.items()}
    if isinstance(value, list):
        return [_filled_in(below, (*where, number), judging) for number, below in enumerate(value)]
    if value is None and (where[-1] in (known := keys_at(where[:-1])) or not known):
        hint = (
            "write `discover: {}` to watch every zone" if where[-1] == "discover" else "write one, or leave the key out"
        )
        judging.complain(where, "has no value", hint)
    return value


def _substituted(text: str, where: Where, judging: _Judging) -> str:
    def filling(found: re.Match[str]) -> str:
        name = found["name"]
        if name is not None:
            return judging.variable(name, where)
        if found[0] == "$":
            hint = "write ${NAME} for a variable of the environment, $$ for a dollar"
            judging.complain(where, "a `$` stands alone", hint)
        return "$"

    return _DOLLAR.sub(filling, text)


def _blocks_with_secrets(data: Mapping[str, Any]) -> Iterator[tuple[Where, dict[str, Any], tuple[str, ...]]]:
    """Every block of the file that may have ``x_file`` keys: its place, itself, and the names of its secrets."""
    accounts, alerts = data.get("accounts"), data.get("alerts")
    for name, account in accounts.items() if isinstance(accounts, dict) else ():
        if isinstance(account, dict):
            yield ("accounts", name), account, SECRETS["AccountConfig"]
    if isinstance(alerts, dict):
        yield ("alerts",), alerts, SECRETS["Alerts"]
        destinations = alerts.get("destinations")
        for number, destination in enumerate(destinations if isinstance(destinations, list) else ()):
            if isinstance(destination, dict):
                yield ("alerts", "destinations", number), destination, SECRETS["Destination"]


def _inline(block: Mapping[str, Any], secrets: tuple[str, ...]) -> bool:
    """Whether the file itself holds a secret: what comes from a variable is none of its own."""
    given = {name: block[name] for name in secrets if isinstance(block.get(name), str) and "${" not in block[name]}
    if "@" not in given.get("alertmanager", ""):
        given.pop("alertmanager", None)  # an address, mostly, and no secret
    return bool(given)


def _read_secrets(
    block: dict[str, Any],
    place: Where,
    secrets: tuple[str, ...],
    folder: Path,
    complain: Complain,
    opened: Callable[[Path, os.stat_result], None],
) -> None:
    """Put what the ``x_file`` keys of a block point to where ``x`` would stand."""
    for secret in secrets:
        where = (*place, f"{secret}_file")
        if where[-1] not in block:
            continue
        file = block.pop(f"{secret}_file")
        if secret in block:
            complain(where, f"{secret} is given as well", "keep one of them")
        elif not isinstance(file, str):
            complain(where, "must be the path of a file", "")
        else:
            try:
                block[secret] = SecretStr(_secret_in(folder / file, opened))
            except ValueError as error:
                shown = f"{file} " if _surely_a_path(file) else "the file "
                complain(where, f"{shown}{error}", "")


def _surely_a_path(file: str) -> bool:
    """Whether it may be repeated: a token pasted in place of its path must not, and some tokens begin with a slash."""
    root, *names = file.split("/")
    return not root and len(names) > 1 and all(shown_key(name) == name for name in names)


def _secret_in(path: Path, opened: Callable[[Path, os.stat_result], None]) -> str:
    """The one credential that a file holds; a ``ValueError`` says what keeps it from being one."""
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_SECRET + 1)
            opened(path, os.fstat(file.fileno()))
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL character in the path
        raise ValueError("cannot be read: not a possible file name") from None
    if len(content) > _LONGEST_SECRET:
        raise ValueError("is too large to be a credential")
    try:
        return header_safe(content.decode("utf-8-sig").strip())
    except UnicodeDecodeError:
        raise ValueError("is not text") from None


def _judged(error: ValidationError, document: Document, found: list[Problem]) -> Iterator[Problem]:
    """The models' complaints, without those that only follow from one already made about the same place or below it."""
    known = {problem.where[:length] for problem in found for length in range(1, len(problem.where) + 1)}
    # A list without its faulty items may be "too short": that is judged last.
    details = error.errors(include_url=False, include_input=False)
    for detail in sorted(details, key=lambda detail: detail["type"] == "too_short"):
        where, what, hint = sentence(detail, document.data)
        if where not in known or detail["type"] == "extra_forbidden":
            yield document.problem(where, what, hint)
            known.update(where[:length] for length in range(1, len(where)))
