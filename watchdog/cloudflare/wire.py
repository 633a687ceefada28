"""JSON → model: packs, zones, tokens. Only what is used is decoded; anything else may be missing, null or new.

A page is decoded with types first, which is quick (0.06 ms for 50 packs). If any field has a type nobody expected, the
same page is read again field by field, and what does not fit is left out: a strange pack is shown with gaps and never
hides its neighbours. Raises ``msgspec.MsgspecError``, and nothing else, for what is no JSON object at all;
``sender`` makes an error of it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from watchdog.cloudflare import envelope
from watchdog.cloudflare.validations import common, raw, validation
from watchdog.model.names import canonical
from watchdog.model.packs import EXPIRED, GOING_AWAY, HEALTHY, Pack
from watchdog.model.text import clean, plain

MOST_HOSTS = 1_000
"""Hosts kept of one pack: an advanced one has 50, an uploaded certificate may have hundreds."""

MOST_DAYS = 3660
"""Of a validity; what is longer is no validity, and no number for the store."""

YEARS = range(2000, 9999)
"""Of an expiry. What lies outside is no date of a certificate (an empty time is in the year 1 in Go, in 1970 in Unix),
and arithmetic on it may leave the calendar."""


class _Certificate(msgspec.Struct):
    expires_on: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    uploaded_on: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    status: str | None = None
    signature: str | None = None


class _Message(msgspec.Struct):
    message: str | None = None


class _Pack(msgspec.Struct):
    id: str
    type: str | None = None
    status: str | None = None
    hosts: list[str] | None = None
    certificate_authority: str | None = None
    certificates: list[_Certificate] | None = None
    validation_errors: list[_Message] | None = None
    validation_method: str | None = None
    validity_days: int | None = None
    validation_records: msgspec.Raw = msgspec.Raw()
    dcv_delegation_records: msgspec.Raw = msgspec.Raw()


class _Packs(msgspec.Struct):
    success: bool
    result: Annotated[list[_Pack], msgspec.Meta(max_length=envelope.MOST_ON_PAGE)]
    result_info: envelope.PageInfo | None = None


class _OnePack(msgspec.Struct):
    success: bool
    result: _Pack


class ZoneSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One item of ``GET /zones``."""

    id: str
    name: str
    type: str = ""
    status: str = ""
    paused: bool = False
    account: str = ""
    account_name: str = ""


_decode_packs = envelope.decoding(msgspec.json.Decoder(_Packs))
_decode_pack = envelope.decoding(msgspec.json.Decoder(_OnePack))


def packs(body: bytes, zone_id: str) -> tuple[list[Pack], envelope.PageInfo]:
    """The packs of one page, and what it says of paging.

    Raises ``msgspec.MsgspecError`` when the body is no JSON or has no list of packs.
    """
    try:
        page = _decode_packs(body)
    except msgspec.ValidationError:
        return _packs_with_gaps(envelope.read(body), zone_id)
    if not page.success:
        raise msgspec.ValidationError("`success` is false")
    return [_pack(read, zone_id) for read in page.result], page.result_info or envelope.PageInfo()


def pack(body: bytes, zone_id: str) -> Pack:
    """The one pack of an answer. Raises as ``packs``."""
    try:
        one = _decode_pack(body)
        if one.success:
            return _pack(one.result, zone_id)
    except msgspec.ValidationError:
        whole = envelope.read(body)
        found, _ = _packs_with_gaps({**whole, "result": [whole.get("result")]}, zone_id)
        if found:
            return found[0]
    raise msgspec.ValidationError("no pack in the answer")


def zones(body: bytes) -> tuple[list[ZoneSeen], envelope.PageInfo]:
    """The zones of one page of ``GET /zones``. Raises as ``packs``, and where an item names no zone.

    A list with gaps is not believed: a zone that is left out of it would no longer be watched.
    """
    whole = envelope.read(body)
    items = list(envelope.dicts(envelope.list_in(whole)))
    if not all(isinstance(item.get("id"), str) and isinstance(item.get("name"), str) for item in items):
        raise msgspec.ValidationError("a zone without an id or a name")
    return [_zone(item) for item in items], envelope.page_info(whole)


def _zone(item: dict[str, Any]) -> ZoneSeen:
    account, account_name = _account(item)
    return ZoneSeen(
        id=plain(item["id"], 80),
        name=clean(item["name"], 255),
        type=_word(_text(item.get("type"))),
        status=_word(_text(item.get("status"))),
        paused=item.get("paused") is True,
        account=account,
        account_name=account_name,
    )


def _account(item: dict[str, Any]) -> tuple[str, str]:
    account = item.get("account")
    if not isinstance(account, dict):
        return ("", "")
    return (plain(_text(account.get("id")) or "", 80), clean(_text(account.get("name")) or "", 80))


def delegation_id(body: bytes) -> str:
    """The zone's label in the targets of delegated DCV, empty where there is none. Raises as ``packs``."""
    result = envelope.read(body).get("result")
    label = result.get("uuid") if isinstance(result, dict) else None
    return plain(label, 80) if isinstance(label, str) else ""


def _packs_with_gaps(whole: dict[str, Any], zone_id: str) -> tuple[list[Pack], envelope.PageInfo]:
    found = []
    for item in envelope.dicts(envelope.list_in(whole)):
        if not isinstance(item.get("id"), str):
            continue

        def text(name: str, item: dict[str, Any] = item) -> str | None:
            return _text(item.get(name))

        hosts = item.get("hosts")
        shape = _Pack(
            id=item["id"],
            type=text("type"),
            status=text("status"),
            hosts=[host for host in hosts if isinstance(host, str)] if isinstance(hosts, list) else None,
            certificate_authority=text("certificate_authority"),
            certificates=[
                _Certificate(
                    _time(each.get("expires_on")),
                    _time(each.get("uploaded_on")),
                    _text(each.get("status")),
                    _text(each.get("signature")),
                )
                for each in envelope.dicts(item.get("certificates"))
            ],
            validation_errors=[
                _Message(_text(e.get("message"))) for e in envelope.dicts(item.get("validation_errors"))
            ],
            validation_method=text("validation_method"),
            validity_days=days if isinstance(days := item.get("validity_days"), int) else None,
            validation_records=raw(item.get("validation_records")),
            dcv_delegation_records=raw(item.get("dcv_delegation_records")),
        )
        found.append(_pack(shape, zone_id))
    return found, envelope.page_info(whole)


def _pack(read: _Pack, zone_id: str) -> Pack:
    expires_at = uploaded_at = None
    certificates: Sequence[_Certificate] = read.certificates or ()
    for certificate in certificates:
        if certificate.status != "active":  # hardly ever
            certificates = _in_use(certificates)
            break
    for certificate in certificates:
        at = certificate.expires_on
        if at is not None and at.year in YEARS and (expires_at is None or at < expires_at):
            expires_at, uploaded_at = at, certificate.uploaded_on
    if expires_at is not None and expires_at.tzinfo is not UTC:
        expires_at = _utc(expires_at)
    if uploaded_at is not None:
        uploaded_at = _utc(uploaded_at) if uploaded_at.year in YEARS else None
    errors, status = read.validation_errors, _word(read.status)
    return Pack(
        id=plain(read.id, 80),
        zone_id=zone_id,
        type=_word(read.type),
        status=status,
        hosts=_hosts(read.hosts),
        certificate_authority=_word(read.certificate_authority),
        expires_at=expires_at,
        validation_errors=tuple(clean(e.message) for e in errors[: envelope.MOST_ERRORS] if e.message)
        if errors
        else (),
        validity_days=_days(read.validity_days),
        validation=common(read.validation_method)
        if status in HEALTHY
        else validation(read.validation_method, read.validation_records, read.dcv_delegation_records),
        uploaded_at=uploaded_at,
    )


def _in_use(certificates: Sequence[_Certificate]) -> list[_Certificate]:
    """Those whose expiry is the pack's: one that was deleted is nobody's, nor is one that another has replaced.

    What replaces an expired one has its kind of signature: visitors that need RSA are not served by ECDSA alone.
    """
    alive = [each.signature for each in certificates if each.status != EXPIRED and each.status not in GOING_AWAY]
    return [
        each
        for each in certificates
        if not alive or (each.status not in GOING_AWAY and (each.status != EXPIRED or each.signature not in alive))
    ]


def _days(days: int | None) -> int:
    return days if days is not None and 0 < days <= MOST_DAYS else 0


def _hosts(hosts: list[str] | None) -> tuple[str, ...]:
    if not hosts:
        return ()
    together = ",".join(hosts)
    plainly = len(together) <= _LONGEST_NAME and together.isascii() and together.isprintable()
    if plainly and together.count(",") == len(hosts) - 1 and ".," not in f"{together},":  # nearly all: all at once
        return tuple(sorted(together.lower().split(",")))
    kept = sorted(hosts)[:MOST_HOSTS] if len(hosts) > MOST_HOSTS else hosts  # the same ones in whatever order they come
    return tuple(sorted(canonical(plain(host, _LONGEST_NAME)) for host in kept))


_LONGEST_NAME = 255

_words: dict[str, str] = {}
_MOST_WORDS = 500
_LONGEST_WORD = 80


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    try:
        return str(value)
    except RecursionError:  # a thousand brackets
        return "…"


def _word(text: str | None) -> str:
    """A short word from outside, cleaned; the few that recur (statuses, types, CAs) are kept once."""
    if text is None:
        return ""
    known = _words.get(text)
    if known is None:
        known = clean(text, _LONGEST_WORD)
        if len(_words) < _MOST_WORDS and len(text) <= _LONGEST_WORD:
            _words[text] = known
    return known


def _time(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _utc(at) if at.tzinfo else at.replace(tzinfo=UTC)


def _utc(at: datetime) -> datetime | None:
    try:
        return at.astimezone(UTC)
    except OverflowError:  # the first or the last hours of the calendar
        return None
