"""A pack's validation on the wire: method, tokens, delegations. Part of ``wire``, which hands in undecoded JSON.

Healthy packs are nearly all packs, and nobody asks for their tokens: theirs are not decoded, and packs with the same
method share one value. Lenient throughout: what does not fit is left out.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from watchdog.model.names import canonical
from watchdog.model.packs import NO_VALIDATION, HttpToken, ManualRecord, Validation
from watchdog.model.text import clean, plain

MOST_RECORDS = 200
"""Records kept of one pack: fifty hosts and their wildcards with the two tokens of SSL.com."""

_MOST_SHARED = 100
_LONGEST_METHOD = 80
_shared: dict[str | None, Validation] = {None: NO_VALIDATION}
_One = TypeVar("_One")
_decode = msgspec.json.Decoder().decode


def common(method: str | None) -> Validation:
    """A validation without tokens: one object for all packs that are validated alike."""
    known = _shared.get(method)
    if known is None:
        known = Validation(clean(method or "", _LONGEST_METHOD))
        if len(_shared) < _MOST_SHARED and len(method or "") <= _LONGEST_METHOD:
            _shared[method] = known
    return known


def validation(method: str | None, records: msgspec.Raw, delegations: msgspec.Raw) -> Validation:
    """The validation of a pack that is not healthy; ``records`` and ``delegations`` are JSON, or empty."""
    if max(len(records), len(delegations)) > _LONGEST_KEPT:
        return _read(method, bytes(records), bytes(delegations))
    return _kept(method, bytes(records), bytes(delegations))


def _read(method: str | None, records: bytes, delegations: bytes) -> Validation:
    without = common(method)
    found, offered = _items(records), _items(delegations)
    if not found and not offered:
        return without
    return Validation(
        without.method,
        _distinct(_record("TXT", item.get("txt_name"), item.get("txt_value")) for item in found),
        _distinct(_http(item.get("http_url"), item.get("http_body")) for item in found),
        _distinct(_record("CNAME", item.get("cname"), item.get("cname_target")) for item in (*found, *offered)),
    )


_LONGEST_KEPT = 5_000
_kept = lru_cache(maxsize=256)(_read)  # a restart reads the same records three times: listed, read again, in its answer


def raw(value: object) -> msgspec.Raw:
    """Decoded JSON as ``validation`` takes it."""
    try:
        return msgspec.Raw(msgspec.json.encode(value))
    except RecursionError:  # a thousand brackets
        return msgspec.Raw()


def _items(json: bytes) -> list[dict[str, Any]]:
    try:
        decoded = _decode(json) if len(json) else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # bytes no JSON has, or brackets without end
        return []
    return [item for item in decoded[:MOST_RECORDS] if isinstance(item, dict)] if isinstance(decoded, list) else []


def _distinct(found: Iterable[_One | None]) -> tuple[_One, ...]:
    return tuple(dict.fromkeys(one for one in found if one is not None))


def _record(kind: str, name: object, value: object) -> ManualRecord | None:
    if not (isinstance(name, str) and isinstance(value, str) and name and value):
        return None
    text = plain(value, 1000)
    return ManualRecord(kind, canonical(plain(name, 255)), text.rstrip(".") if kind == "CNAME" else text)


def _http(url: object, body: object) -> HttpToken | None:
    if not (isinstance(url, str) and isinstance(body, str) and url):
        return None
    return HttpToken(plain(url, 2000), plain(body, 2000))
