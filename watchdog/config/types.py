"""The kinds of value a setting can have, and what is wrong with one that is not.

Arithmetic on text only; ``schema`` gives them their meaning. Every ``ValueError`` is a sentence for operators that does
not repeat the value, which may have come from the environment: ``messages`` adds it where that is safe.
"""

import re
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictBool,
    StrictFloat,
    StrictInt,
    StringConstraints,
    Tag,
    WithJsonSchema,
)

from watchdog.config.addresses import base_url, listen_address, resolver_address, state_url, url_of
from watchdog.config.durations import PATTERN, format_duration, in_range, parse_duration
from watchdog.config.reading import plain
from watchdog.config.secrets import Address, Secret, header_safe
from watchdog.config.variables import Expanded
from watchdog.model.meanings import ALERTS
from watchdog.model.names import canonical
from watchdog.model.pack_ids import canonical_id
from watchdog.model.packs import is_branding

ALERT_REASONS = tuple(sorted(map(str, ALERTS)))
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
_ZONE_ID = re.compile(r"[0-9a-f]{32}")
_PACK_ID = re.compile("[0-9A-Fa-f]{8}-?([0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}")
_DOMAIN = re.compile(r"(?!-)[\w-]{1,63}(?:\.[\w-]{1,63})+")
_LARGEST_SHOWN = 10**9
_LONGEST_COMPARED = 64


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return in_range(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LARGEST_SHOWN:
        raise ValueError(f"{value} has no unit: write {value}m or {value}s")
    if not isinstance(value, str):
        raise ValueError("must be a duration, such as 90s, 15m, 6h, 7d or 1h30m")  # noqa: TRY004  pydantic collects ValueErrors only
    return parse_duration(value)


def _bare(value: Any) -> Any:
    """What a variable holds, as YAML reads it where a file says it without quotes."""
    return plain(value) if isinstance(value, Expanded) else value


def _secret(secret: Secret) -> Secret:
    if not secret.unread:
        header_safe(secret.get_secret_value())
    return secret


def _email(text: str) -> str:
    if "@" not in header_safe(text):
        raise ValueError("is no email address")
    return text


def _quoted(value: Any) -> Any:
    """Ids made of digits reach us as numbers, with leading zeros and precision already lost."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError("YAML reads this id as a number: put it in quotes")  # noqa: TRY004  pydantic collects ValueErrors only
    return value


def _zone_id(text: str) -> str:
    if not _ZONE_ID.fullmatch(text):
        raise ValueError("a zone id is 32 characters of 0-9 and a-f, in lower case")
    return text


def _pack_id(text: str) -> str:
    if not _PACK_ID.fullmatch(text):
        raise ValueError("a pack id is a UUID (or 32 characters of 0-9 and a-f)")
    return canonical_id(text)


def _distinct(packs: tuple["str | PackHosts", ...]) -> tuple["str | PackHosts", ...]:
    if len(set(packs)) < len(packs):
        raise ValueError("lists the same pack twice")
    return tuple(sorted(packs, key=str))


def _host(text: str) -> str:
    name = canonical(text)
    if not is_domain(name.removeprefix("*.")):
        raise ValueError('a host is a domain name such as "example.com" or "*.example.com"')
    return name


def _host_set(hosts: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(hosts)) < len(hosts):
        raise ValueError("lists the same host twice")
    return tuple(sorted([host for host in hosts if not is_branding(host)] or hosts))


def _label(text: str) -> str:
    if not text or text != text.strip() or not text.isprintable():
        raise ValueError("must be visible text without white space around it")
    return text


def is_domain(text: str) -> bool:
    """Whether a zone could be looked up by this name. A final dot says no more than that the name is whole."""
    return _DOMAIN.fullmatch(text.removesuffix(".")) is not None


def _pattern(text: str) -> str:
    if not text or " " in text or not text.isprintable():
        raise ValueError('must be a pattern such as "*.example.com"')
    return text.lower()


def _alert_reason(text: str) -> str:
    if text not in ALERT_REASONS:
        meant = get_close_matches(text[:_LONGEST_COMPARED], ALERT_REASONS, 1)
        raise ValueError("is no reason for an alert" + (f"; did you mean `{meant[0]}`?" if meant else ""))
    return text


def _destination_name(text: str) -> str:
    if not re.fullmatch(_NAME, text):
        raise ValueError("a destination's name is made of letters, digits and - _ . (at most 63)")
    return text


def _resolver(text: str) -> str:
    resolver_address(text)
    return text


def _replica_name(text: str) -> str:
    if text and not re.fullmatch(_NAME, text):
        raise ValueError("must be letters, digits and - _ . (at most 63)")
    return text


Duration = Annotated[
    timedelta,
    PlainValidator(_duration),
    PlainSerializer(format_duration, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{PATTERN}$"}),
]
Integer = Annotated[StrictInt, BeforeValidator(_bare)]
Float = Annotated[StrictFloat, BeforeValidator(_bare)]
Boolean = Annotated[StrictBool, BeforeValidator(_bare)]
Credential = Annotated[Secret, AfterValidator(_secret)]
Email = Annotated[str, AfterValidator(_email)]
AccountName = Annotated[str, StringConstraints(pattern=_NAME)]
Label = Annotated[str, AfterValidator(_label)]
ZoneId = Annotated[
    str,
    BeforeValidator(_quoted),
    AfterValidator(_zone_id),
    WithJsonSchema({"type": "string", "pattern": f"^{_ZONE_ID.pattern}$"}),
]
PackId = Annotated[
    str,
    BeforeValidator(_quoted),
    AfterValidator(_pack_id),
    WithJsonSchema({"type": "string", "pattern": f"^{_PACK_ID.pattern}$"}),
]
Host = Annotated[str, AfterValidator(_host)]


class PackHosts(BaseModel):
    """A pack by its hosts, all of them: these last, where ids do not."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    hosts: Annotated[tuple[Host, ...], Field(min_length=1), AfterValidator(_host_set)] = Field(
        description="All hosts of the pack, in any order."
    )

    def __str__(self) -> str:
        return " ".join(self.hosts)


PackName = Annotated[
    Annotated[PackId, Tag("id")] | Annotated[PackHosts, Tag("[hosts]")],
    Discriminator(lambda value: "[hosts]" if isinstance(value, dict | PackHosts) else "id"),
]
Packs = Annotated[
    Annotated[Literal["all"], Tag("all")]
    | Annotated[tuple[PackName, ...], Field(min_length=1), AfterValidator(_distinct), Tag("list")],
    Discriminator(lambda value: "all" if isinstance(value, str) else "list"),
]
WebAddress = Annotated[Secret, AfterValidator(url_of(frozenset({"https", "http"})))]
ServiceAddress = Annotated[Secret, AfterValidator(url_of(None))]
AlertReason = Annotated[
    str, AfterValidator(_alert_reason), WithJsonSchema({"type": "string", "enum": list(ALERT_REASONS)})
]
DestinationName = Annotated[
    str, AfterValidator(_destination_name), WithJsonSchema({"type": "string", "pattern": _NAME})
]
Pattern = Annotated[str, AfterValidator(_pattern)]
BaseUrl = Annotated[str, AfterValidator(base_url)]
Listen = Annotated[str, AfterValidator(listen_address)]
Resolver = Annotated[str, AfterValidator(_resolver)]
StateUrl = Annotated[Address, AfterValidator(state_url)]
ReplicaName = Annotated[str, AfterValidator(_replica_name)]
