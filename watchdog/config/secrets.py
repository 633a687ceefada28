"""The type of a secret, and everything that follows from a setting being one. A new secret is one line in ``schema``.

A setting ``x`` of the type ``Secret`` may be given as ``x`` or as ``x_file``, the path of a file that holds it alone.
Which settings those are is read from the models, so nothing here names one.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from watchdog.config.contents import contents
from watchdog.config.document import Opened, Where, unnoticed

_LONGEST = 16 * 1024


class Secret(SecretStr):
    """A text that no ``repr``, log or dump shows. ``file`` is where it was read from, if it was."""

    def __init__(self, value: str, file: Path | None = None) -> None:
        super().__init__(value)
        self.file = file

    @property
    def unread(self) -> bool:
        """Whether nobody has looked what it is, since it is not needed."""
        return False

    def reread(self) -> str:
        """What the file holds now; the same as before where there is no file.

        Raises ``ValueError``, a sentence that repeats nothing of the file.
        """
        return self.get_secret_value() if self.file is None else read_secret(self.file)


class Address(Secret):
    """Where something is that may take a password to get at: who shows it shows all but that.

    Unlike other secrets it is read by every command: also by those that need no credential.
    """

    def _display(self) -> str:
        return without_password(self.get_secret_value())


def without_password(url: str) -> str:
    """A URL as it may be shown.

    >>> without_password("postgresql://watchdog:s3cret@db.example/certs?sslmode=verify-full&password=x")
    'postgresql://watchdog:***@db.example/certs?sslmode=verify-full&password=***'
    """
    scheme, found, rest = url.partition("://")
    before, at, after = rest.rpartition("@")
    user, colon, _ = before.partition(":")
    return re.sub(r"(?i)((?:ssl)?password=)[^&]*", r"\1***", f"{scheme}{found}{user}{colon and ':***'}{at}{after}")


class UnreadSecret(Secret):
    """Stands where the configuration has a secret, for those who need none. Asking for its value is a defect."""

    def __init__(self) -> None:
        super().__init__("")

    @property
    def unread(self) -> bool:
        """It is."""
        return True

    def get_secret_value(self) -> str:
        """Never: raises ``LookupError``."""
        raise LookupError("this secret was not read")


def leave_unread(data: Any, kind: Any) -> None:
    """Put an ``UnreadSecret`` in the place of every secret in ``data``, of which ``secret_blocks`` says what it is.

    Addresses stay: those who need no credential need them all the same.
    """
    for where, block, secrets in secret_blocks(data, kind):
        for name in secrets:
            if is_address((*where, name), kind):
                continue
            given = [key for key in (name, f"{name}_file") if block.get(key) is not None]
            for key in given:
                del block[key]
            if given:
                block[name] = UnreadSecret()


def read_secret(path: Path, opened: Opened = unnoticed) -> str:
    """The one credential that a file holds, without the white space around it; a ``ValueError`` says why it holds none.

    Blocks for as long as the file system takes.
    """
    try:
        content, status = contents(path, _LONGEST + 1)
        opened(path, status, content)
    except OSError as error:
        opened(path, None, b"")
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL character in the path
        raise ValueError("cannot be read: not a possible file name") from None
    if len(content) > _LONGEST:
        raise ValueError("is too large to be a credential")
    try:
        return header_safe(content.decode("utf-8-sig").strip())
    except UnicodeDecodeError:
        raise ValueError("is not text") from None


def header_safe(text: str) -> str:
    """The text itself if it can travel in an HTTP header, else a ``ValueError`` that does not repeat it."""
    if not text:
        raise ValueError("is empty")
    if any(character.isspace() for character in text):
        raise ValueError("has white space or a line break inside")
    if not all("!" <= character <= "~" for character in text):
        raise ValueError("has characters that no credential has (control characters or letters beyond ASCII)")
    return text


@cache
def secret_keys(block: type[BaseModel]) -> tuple[str, ...]:
    """The settings of one block that are secrets."""
    fields = block.model_fields.items()
    return tuple(name for name, field in fields if _is_a(_target(field.annotation), Secret))


def secret_blocks(data: Any, kind: Any, where: Where = ()) -> Iterator[tuple[Where, dict[str, Any], tuple[str, ...]]]:
    """Each mapping in ``data`` that may hold secrets: its place, itself, and the names of its secrets.

    ``kind`` is the type that ``data`` is meant for. What has another shape is passed over: the models say so.
    """
    kind = _target(kind)
    if not _holds_secrets(kind):
        return
    if _is_a(kind, BaseModel) and isinstance(data, dict):
        if secret_keys(kind):
            yield where, data, secret_keys(kind)
        for name, field in kind.model_fields.items():
            yield from secret_blocks(data.get(name), field.annotation, (*where, name))
    elif get_origin(kind) is dict and isinstance(data, dict):
        for name, value in data.items():
            yield from secret_blocks(value, get_args(kind)[1], (*where, name))
    elif get_origin(kind) is tuple and isinstance(data, list):
        for number, value in enumerate(data):
            yield from secret_blocks(value, get_args(kind)[0], (*where, number))


def may_be_shown(where: Where, kind: Any) -> bool:
    """Whether a message may repeat the value at this place of the file.

    Not a text beside a secret, nor anything that stands where secrets belong: either may be one that slipped.
    """
    kind, beside = _target(kind), False
    for part in where:
        if _is_a(kind, BaseModel):
            beside = bool(secret_keys(kind))
            field = kind.model_fields.get(part)
            kind = _target(field.annotation) if field is not None else None
        elif get_origin(kind) in (dict, tuple):
            below = get_args(kind)
            kind, beside = _target(below[1] if get_origin(kind) is dict else below[0]), False
        else:
            kind = None
    return not _holds_secrets(kind) and not (beside and (kind is None or kind is str))


def is_address(where: Where, kind: Any) -> bool:
    """Whether an ``Address`` stands at this place of the file."""
    for part in where:
        kind = _target(kind)
        if not _is_a(kind, BaseModel):
            return False
        field = kind.model_fields.get(part)
        kind = field.annotation if field is not None else None
    return _is_a(_target(kind), Address)


def _target(kind: Any) -> Any:
    """The type inside ``Annotated`` and beside ``None``."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, UnionType) and NoneType in get_args(kind):
            [kind] = [choice for choice in get_args(kind) if choice is not NoneType]
        else:
            return kind


def _is_a(kind: Any, base: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, base)


@cache
def _holds_secrets(kind: Any) -> bool:
    kind = _target(kind)
    if _is_a(kind, Secret):
        return True
    if _is_a(kind, BaseModel):
        return any(_holds_secrets(field.annotation) for field in kind.model_fields.values())
    return any(_holds_secrets(below) for below in get_args(kind))
