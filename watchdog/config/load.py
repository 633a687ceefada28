"""From a path to a ``Config``, whole or not at all: the one door through which a configuration enters.

It reads the file, fills in the environment and the secret files, and gathers every fault of every step, so that an
operator mends a file once. No message holds a credential, what a secret file holds, or what a variable holds
(but for the path of a secret file, which systemd gives in a variable).
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from watchdog.config.document import Document, DocumentError, Problem, Where, read_document, shown_key
from watchdog.config.exposure import Warn, exposure
from watchdog.config.references import Complain, resolve
from watchdog.config.schema import Config
from watchdog.config.sentences import sentence
from watchdog.config.values import header_safe
from watchdog.config.written import SECRETS, json_schema, keys_at

__all__ = ["ConfigError", "Problem", "json_schema", "load"]

_DOLLAR = re.compile(r"\$(\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\})?")
_LONGEST_SECRET = 16 * 1024


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

    def complain(where: Where, what: str, hint: str = "") -> None:
        found.append(document.problem(where, what, hint))

    # A block whose keys are all commented out is null to YAML, and left out to whoever wrote it.
    written = {
        key: value for key, value in document.data.items() if value is not None or key not in Config.model_fields
    }
    data = {key: _filled_in(value, (key,), environ, complain) for key, value in written.items()}

    def opened(file: Path, found: os.stat_result) -> None:
        if told := exposure(file, found, environ, os.geteuid()):
            warn(told)

    if any(_inline(block, secrets) for _, block, secrets in _blocks_with_secrets(written)):
        with suppress(OSError):
            opened(path, path.stat())
    for where, block, secrets in _blocks_with_secrets(data):
        _read_secrets(block, where, secrets, path.parent, complain, opened)
    data = resolve(data, document.line_of, complain)
    config = None
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        found.extend(_judged(error, document, found))
    if config is None or found:
        raise ConfigError(tuple(sorted(found, key=lambda problem: problem.line)))
    return config


def _filled_in(value: Any, where: Where, environ: Mapping[str, str], complain: Complain) -> Any:
    """The value with every ``${NAME}`` in it replaced; names are looked up once, what they hold is not looked at."""
    if isinstance(value, str):
        return _substituted(value, where, environ, complain) if "$" in value else value
    if isinstance(value, dict):
        return {key: _filled_in(below, (*where, key), environ, complain) for key, below in value.items()}
    if isinstance(value, list):
        return [_filled_in(below, (*where, number), environ, complain) for number, below in enumerate(value)]
    if value is None and (where[-1] in (known := keys_at(where[:-1])) or not known):
        hint = (
            "write `discover: {}` to watch every zone" if where[-1] == "discover" else "write one, or leave the key out"
        )
        complain(where, "has no value", hint)
    return value


def _substituted(text: str, where: Where, environ: Mapping[str, str], complain: Complain) -> str:
    def filling(found: re.Match[str]) -> str:
        name = found["name"]
        if name is None and found[0] == "$":
            complain(where, "a `$` stands alone", "write ${NAME} for a variable of the environment, $$ for a dollar")
        elif name is not None and name not in environ:
            complain(where, f"the environment has no variable {name}", "")
        return "$" if name is None else environ.get(name, "")

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
