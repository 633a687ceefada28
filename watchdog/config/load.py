"""From a path to a ``Config``, whole or not at all: the one door through which a configuration enters.

It reads the file, fills in the variables and the secret files, and gathers every fault of every step, so that an
operator mends a file once. No message holds a credential, what a secret file holds, or what a variable holds
(but for the path of a secret file, which systemd gives in a variable).
"""

import os
from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from watchdog.config.document import (
    MOST_PROBLEMS,
    Document,
    DocumentError,
    Opened,
    Problem,
    Report,
    Where,
    shown_key,
    too_many,
    unnoticed,
)
from watchdog.config.json_schema import json_schema, keys_at
from watchdog.config.messages import describe
from watchdog.config.permissions import Warn, exposure
from watchdog.config.reading import read_document
from watchdog.config.references import resolve
from watchdog.config.schema import Config
from watchdog.config.secrets import (
    Address,
    Secret,
    is_address,
    leave_unread,
    read_secret,
    secret_blocks,
    without_password,
)
from watchdog.config.variables import Expansion, TooLarge

__all__ = ["ConfigError", "Problem", "json_schema", "load"]

_MOST_COMPLAINTS = 10_000  # of pydantic's: it makes them all before the first is read


class ConfigError(DocumentError):
    """The configuration is refused. ``problems`` are all its faults, in the order of the file, one line each."""


def load(
    path: Path,
    environ: Mapping[str, str],
    warn: Warn = lambda _: None,
    *,
    with_secrets: bool = True,
    opened: Opened = unnoticed,
) -> Config:
    """Read the configuration, or raise ``ConfigError`` with everything that is wrong with it.

    ``warn`` hears of every file, this one or a secret's, that holds a credential and can be read by others. Without
    ``with_secrets`` no secret is read or checked, and none is known: for those who only read the state.

    ``opened`` hears of every file that is read.
    """
    problems = _begun(path, opened)
    document = problems.document
    # A block whose keys are all commented out is null to YAML, and left out to whoever wrote it.
    written = {
        key: value for key, value in document.data.items() if value is not None or key not in Config.model_fields
    }

    def judge(file: Path, status: os.stat_result) -> None:
        if exposed := exposure(file, status, environ, os.geteuid()):
            warn(exposed)

    def read(file: Path, status: os.stat_result | None, content: bytes) -> None:
        opened(file, status, content)
        if status is not None:
            judge(file, status)

    if not with_secrets:
        leave_unread(written, Config)
    elif any(_inline(block, secrets, where) for where, block, secrets in secret_blocks(written, Config)):
        with suppress(OSError):
            judge(path, path.stat())
    data = _with_variables(written, environ, problems)
    wrong = {problem.where for problem in problems.found}
    for where, block, secrets in secret_blocks(data, Config):
        _leave_out(block, where, secrets, wrong)
        _fill_in_files(block, where, secrets, path.parent, problems.report, read)
    data = resolve(data, document.line_of, problems.report)
    return _validated(data, problems)


def _begun(path: Path, opened: Opened) -> "_Problems":
    try:
        return _Problems(read_document(path, opened))
    except DocumentError as error:
        if error.document is None:
            raise ConfigError(error.problems) from None
        return _Problems(error.document, error.problems)


def _validated(data: dict[str, Any], problems: "_Problems") -> Config:
    config = None
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        problems.add_all(error)
    if config is None or problems.found:
        raise problems.refusal()
    return config


def _with_variables(written: dict[str, Any], environ: Mapping[str, str], problems: "_Problems") -> dict[str, Any]:
    """What the file says, with its variables filled in. What has no value is reported."""
    for where in _empty_settings(written, ()):
        hint = (
            "write `discover: {}` to watch every zone" if where[-1] == "discover" else "write one, or leave the key out"
        )
        problems.report(where, "has no value", hint)
    expansion = Expansion(environ, problems.report)
    try:
        return {key: expansion.value(value, (key,)) for key, value in written.items()}
    except TooLarge as error:
        raise problems.refusal(str(error)) from None


def _empty_settings(value: Any, where: Where) -> Iterator[Where]:
    """The places of all settings without a value, and of all list items without one."""
    if isinstance(value, dict):
        for key, below in value.items():
            if not isinstance(below, str):  # nearly all are
                yield from _empty_settings(below, (*where, key))
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from _empty_settings(below, (*where, number))
    elif value is None and (where[-1] in (known := keys_at(where[:-1])) or not known):
        yield where


class _Problems:
    """What is wrong with one file, up to ``MOST_PROBLEMS``."""

    def __init__(self, document: Document, found: tuple[Problem, ...] = ()) -> None:
        self.document = document
        self.found = [*found]

    def report(self, where: Where, what: str, hint: str = "") -> None:
        """One more. Raises ``ConfigError`` where that is too many."""
        self._add(self.document.problem(where, what, hint))

    def add_all(self, error: ValidationError) -> None:
        """What the models found. Raises ``ConfigError`` where that is too much."""
        if error.error_count() > _MOST_COMPLAINTS:
            raise self.refusal(too_many()) from None
        for problem in _model_problems(error, self.document, [*self.found]):
            self._add(problem)

    def refusal(self, *of_the_whole: str) -> ConfigError:
        """All that was found, in the order of the file, and what concerns all of it."""
        whole = (Problem(file=self.document.file, what=what) for what in of_the_whole)
        return ConfigError((*sorted(self.found, key=lambda problem: problem.line), *whole))

    def _add(self, problem: Problem) -> None:
        if len(self.found) >= MOST_PROBLEMS:
            raise self.refusal(too_many())
        self.found.append(problem)


def _inline(block: Mapping[str, Any], secrets: tuple[str, ...], where: Where) -> bool:
    """Whether the file itself holds a secret: what comes from a variable is none of its own."""
    given = {name: block[name] for name in secrets if isinstance(block.get(name), str) and "${" not in block[name]}
    given = {
        name: text
        for name, text in given.items()
        if not is_address((*where, name), Config) or without_password(text) != text
    }
    if "@" not in given.get("alertmanager", ""):
        given.pop("alertmanager", None)  # an address, mostly, and no secret
    return bool(given)


def _leave_out(block: dict[str, Any], place: Where, secrets: tuple[str, ...], wrong: Container[Where]) -> None:
    """Take out the ``x_file`` keys that are ``wrong`` already: where they would point to is no second fault."""
    for key in (f"{secret}_file" for secret in secrets):
        if (*place, key) in wrong:
            block.pop(key, None)


def _fill_in_files(
    block: dict[str, Any], place: Where, secrets: tuple[str, ...], folder: Path, report: Report, opened: Opened
) -> None:
    """Put what the ``x_file`` keys of a block point to where ``x`` would stand."""
    for secret in secrets:
        where = (*place, f"{secret}_file")
        if where[-1] not in block:
            continue
        file = block.pop(f"{secret}_file")
        if secret in block:
            report(where, f"{secret} is given as well", "keep one of them")
        elif not isinstance(file, str):
            report(where, "must be the path of a file", "")
        else:
            try:
                kind = Address if is_address((*place, secret), Config) else Secret
                block[secret] = kind(read_secret(folder / file, opened), folder / file)
            except ValueError as error:
                shown = f"{file} " if _surely_a_path(file) else "the file "
                report(where, f"{shown}{error}", "")


def _surely_a_path(file: str) -> bool:
    """Whether it may be repeated: a token pasted in place of its path must not, and some tokens begin with a slash."""
    root, *names = file.split("/")
    return not root and len(names) > 1 and all(shown_key(name) == name for name in names)


def _model_problems(error: ValidationError, document: Document, found: list[Problem]) -> Iterator[Problem]:
    """The models' complaints, without those that only follow from one already made about the same place or below it."""
    known = {problem.where[:length] for problem in found for length in range(1, len(problem.where) + 1)}
    # A list without its faulty items may be "too short": that is looked at last.
    details = error.errors(include_url=False, include_input=False)
    for detail in sorted(details, key=lambda detail: detail["type"] == "too_short"):
        where, what, hint = describe(detail, document.data)
        if where not in known or detail["type"] == "extra_forbidden":
            yield document.problem(where, what, hint)
            known.update(where[:length] for length in range(1, len(where)))
