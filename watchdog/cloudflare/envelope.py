"""Cloudflare's envelope around every answer: success, paging, errors; and what its edge says in place of one.

``wire`` reads the results that are in it. Whatever comes, what is raised is ``msgspec.MsgspecError`` and nothing else.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from watchdog.cloudflare.translate import Complaint, Problem
from watchdog.model.text import clean

MOST_ON_PAGE = 5_000
"""Items of one page; 50 are asked for. What has more was not made for us, and would hold the loop up."""

MOST_ERRORS = 20
"""Errors kept of one answer, and of one pack's validation: more say nothing new."""

MOST_SECONDS = 10**9
"""Of a hint how long to wait; what is longer is no hint, nor is what is no number."""

_LARGEST_CODE = 1_000_000
_LARGEST_EDGE_CODE = 10_000


class PageInfo(msgspec.Struct, frozen=True):
    """``result_info``, as far as paging needs it; ``None`` where Cloudflare did not say."""

    total_pages: int | None = None
    per_page: int | None = None
    total_count: int | None = None


_Decoded = TypeVar("_Decoded")


def decoding(decoder: msgspec.json.Decoder[_Decoded]) -> Callable[[bytes], _Decoded]:
    """How a body is decoded: as ``decoder`` does, and whatever is wrong with it is ``msgspec.MsgspecError``."""

    def decode(body: bytes) -> _Decoded:
        try:
            return decoder.decode(body)
        except (UnicodeDecodeError, RecursionError) as error:  # bytes that are no text in a string; a thousand brackets
            raise msgspec.DecodeError(f"JSON cannot be decoded: {type(error).__name__}") from None

    return decode


_decode = decoding(msgspec.json.Decoder())


def read(body: bytes) -> dict[str, Any]:
    """The envelope. Raises ``msgspec.MsgspecError`` where the body is no JSON, or no object."""
    decoded = _decode(body)
    if not isinstance(decoded, dict):
        raise msgspec.ValidationError("the answer is JSON, but no object")
    return decoded


def list_in(envelope: dict[str, Any]) -> list[Any]:
    """The list that is the result. Raises ``msgspec.ValidationError`` where there is none, or a far too long one.

    ``null`` is an empty one, as Go writes it, where the answer says that there are no items.
    """
    result, info = envelope.get("result"), envelope.get("result_info")
    if result is None and envelope.get("success") is True and isinstance(info, dict) and info.get("total_count") == 0:
        return []
    if not isinstance(result, list) or envelope.get("success") is False:
        raise msgspec.ValidationError("the answer has no list in `result`")
    if len(result) > MOST_ON_PAGE:
        raise msgspec.ValidationError(f"the answer has more than {MOST_ON_PAGE} items on one page")
    return result


def dicts(value: object) -> Iterable[dict[str, Any]]:
    """The objects in what may be a list."""
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def page_info(envelope: dict[str, Any]) -> PageInfo:
    """What it says of paging, as far as that has the right types."""
    info = envelope.get("result_info")
    if not isinstance(info, dict):
        return PageInfo()
    return PageInfo(*(_whole(info.get(name)) for name in ("total_pages", "per_page", "total_count")))


def _whole(number: object) -> int | None:
    """A whole number, which may be written as ``2.0``: the API reference says no more than that it is a number."""
    if isinstance(number, float) and number.is_integer():
        return int(number)
    return number if isinstance(number, int) else None


def success(body: bytes) -> None:
    """Nothing but that the envelope says success, whatever its result. Raises as ``read``."""
    if read(body).get("success") is not True:
        raise msgspec.ValidationError("no success in the answer")


def complaints(body: bytes) -> tuple[Complaint, ...]:
    """The envelope's ``errors``; empty when there are none or the body is no envelope."""
    try:
        listed = read(body).get("errors")
    except msgspec.MsgspecError:
        return ()
    found = []
    for item in dicts(listed):
        links = list(dicts(item.get("error_chain")))[:MOST_ERRORS]
        chain = tuple(code for code in map(_code, links) if code)
        details = tuple(clean(link["message"], 200) for link in links if isinstance(link.get("message"), str))
        found.append(Complaint(_code(item), clean(item.get("message") or ""), chain, details))
    return tuple(found)


def problem(body: bytes) -> Problem | None:
    """What Cloudflare's edge says in place of an envelope, as JSON problem details (RFC 9457); ``None`` if it does not.

    Since March 2026 for clients that accept JSON: ``title``, ``detail``, ``error_code``, ``retry_after``, ``ray_id``.
    """
    try:
        said = read(body)
    except msgspec.MsgspecError:
        return None
    words = [clean(said[name], 200) for name in ("title", "detail") if isinstance(said.get(name), str)]
    if "success" in said or not any(words):
        return None
    code, wait = said.get("error_code"), said.get("retry_after")
    return Problem(
        ": ".join(word for word in words if word),
        code if type(code) is int and 0 < code < _LARGEST_EDGE_CODE else 0,
        float(wait) if isinstance(wait, int | float) and wait is not True and 0 < wait < MOST_SECONDS else None,
    )


def _code(item: dict[str, Any]) -> int:
    code = item.get("code")
    return code if type(code) is int and abs(code) < _LARGEST_CODE else 0  # True is an int as well
