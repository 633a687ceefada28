"""The envelope of every answer, right or wrong: ``{success, errors, messages, result, result_info?}``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

JSON = "application/json"
_JSONS = frozenset({JSON, "application/problem+json"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back: a payload to be written as JSON, or a text of another type."""

    status: int
    payload: Any = None
    text: str = ""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The bytes of it."""
        return msgspec.json.encode(self.payload) if self.content_type in _JSONS else self.text.encode()


class Refused(Exception):
    """Raised by whoever finds a reason to refuse a request; carries the answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def success(result: Any, *, messages: tuple[tuple[int, str], ...] = (), result_info: Any = None) -> Answer:
    """A good answer."""
    payload = {"success": True, "errors": [], "messages": _coded(messages), "result": result}
    return Answer(status=200, payload=payload if result_info is None else {**payload, "result_info": result_info})


def failure(
    status: int, *errors: tuple[int, str], chain: tuple[tuple[int, str], ...] = (), wait: int | None = None
) -> Answer:
    """A refusal with its errors; ``chain`` belongs to the first, ``wait`` becomes ``Retry-After``."""
    coded = _coded(errors)
    if chain:
        coded[0]["error_chain"] = _coded(chain)
    payload = {"success": False, "errors": coded, "messages": [], "result": None}
    return Answer(status=status, payload=payload, headers={} if wait is None else {"Retry-After": str(wait)})


def too_many(wait: int | None) -> Answer:
    """The 429 of a rate limit."""
    return failure(429, (971, "Please wait and consider throttling your request speed"), wait=wait)


def _coded(pairs: tuple[tuple[int, str], ...]) -> list[dict[str, Any]]:
    return [{"code": code, "message": message} for code, message in pairs]
