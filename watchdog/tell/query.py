"""What may be asked of the API: parameters that are read or refused, with a sentence that names the known ones."""

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from watchdog.model.names import matcher

MOST = 1000
"""Rows of one answer."""

USUAL = 100


class Refused(Exception):
    """The request cannot be answered; ``str()`` says why. ``code`` is for programs, ``status`` is HTTP's."""

    def __init__(self, code: str, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.code = code
        self.status = status


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter: how it is read, and how the OpenAPI document tells of it."""

    read: Callable[[str], Any]
    schema: Mapping[str, Any]
    says: str


def read(given: Iterable[tuple[str, str]], known: Mapping[str, Parameter]) -> dict[str, Any]:
    """The values by name. Raises ``Refused``."""
    found: dict[str, Any] = {}
    for name, text in given:
        if name not in known:
            names = ", ".join(known) or "none"
            raise Refused("unknown_parameter", f"there is no parameter {name!r}; known are: {names}")
        if name in found:
            raise Refused("repeated_parameter", f"the parameter {name} is given twice")
        try:
            found[name] = known[name].read(text)
        except ValueError as error:
            raise Refused("bad_value", f"{name}: {error}") from None
    return found


def one_of(words: Iterable[str], says: str) -> Parameter:
    """A parameter with a closed set of values."""
    known = list(words)

    def chosen(text: str) -> str:
        if text not in known:
            raise ValueError(f"{text!r} is not known; known are: {', '.join(known)}")
        return text

    return Parameter(read=chosen, schema={"type": "string", "enum": known}, says=says)


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"{text!r} is not known; known are: true, false")
    return text == "true"


def _limit(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MOST:
        raise ValueError(f"{text!r} is no whole number from 1 to {MOST}")
    return int(text)


def _text(text: str) -> str:
    if not text or len(text) > 255:  # noqa: PLR2004  the longest name there is
        raise ValueError("must be 1 to 255 characters")
    return text


TEXT = {"type": "string", "minLength": 1, "maxLength": 255}
ACCOUNT = Parameter(read=_text, schema=TEXT, says="The account's name in the configuration.")
ZONE = Parameter(
    read=_text, schema=TEXT, says="The zone's name in any form; `*` and `?` stand for any text and character."
)
NEEDS_PERSON = Parameter(read=_flag, schema={"type": "boolean"}, says="Whether a person is needed.")
LIMIT = Parameter(
    read=_limit,
    schema={"type": "integer", "minimum": 1, "maximum": MOST, "default": USUAL},
    says="At most so many.",
)


def cursor(place: Any) -> str:
    """A place to go on from, as a word that means nothing to anybody else."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def after(kind: Any) -> Parameter:
    """The parameter that goes on from a place of this type."""

    def read_place(text: str) -> Any:
        try:
            return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=kind)
        except (ValueError, msgspec.DecodeError):
            raise ValueError("is no `next` of an answer before") from None

    return Parameter(read=read_place, schema={"type": "string"}, says="Go on after the `next` of the answer before.")


def since(now: Callable[[], datetime], duration: Callable[[str], timedelta]) -> Parameter:
    """The parameter for a moment: a duration before now, or a time."""

    def moment(text: str) -> datetime:
        try:
            if re.fullmatch(r"\d{4}-\d\d-\d\d[Tt].+", text):
                at = datetime.fromisoformat(text)
                return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
            return now() - duration(text)
        except OverflowError:  # the first or the last hours of the calendar
            raise ValueError("is no time that anything happened at") from None
        except ValueError as error:
            raise ValueError(f"{error}; or a time as 2026-01-31T12:00:00Z") from None

    return Parameter(
        read=moment, schema={"type": "string"}, says="Not before then: a duration such as `12h`, or an RFC 3339 time."
    )


def matches(pattern: str) -> Callable[[str], bool]:
    """Whether a name fits a pattern of ``*`` and ``?``, in whatever form either is written.

    >>> matches("*.Example.com.")("www.example.com"), matches("[a]")("a")
    (True, False)
    """
    return matcher(pattern.replace("[", "[[]"))
