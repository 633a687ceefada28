"""The addresses a setting can hold, and what is wrong with one that is none: URLs, listeners, resolvers, states.

Arithmetic on text only. Every ``ValueError`` is a sentence for operators that does not repeat the value.
"""

import re
from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from watchdog.config.secrets import Address, Secret
from watchdog.config.services import refusal
from watchdog.model.names import LONGEST_LABEL

_HIGHEST_PORT = 65535
_DNS_PORT = 53


def url_of(schemes: frozenset[str] | None) -> Callable[[Secret], Secret]:
    """A check of a URL that is a secret, so that nothing of it may be repeated; ``None`` for any scheme."""

    def check(secret: Secret) -> Secret:
        if secret.unread:
            return secret
        text = secret.get_secret_value()
        if not text.isprintable() or any(character.isspace() for character in text):
            raise ValueError("has white space, a line break or control characters inside")
        scheme, found, rest = text.partition("://")
        if not found or not rest or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+._-]*", scheme):
            raise ValueError("is no URL")
        if schemes is None:
            if why := refusal(scheme):
                raise ValueError(why)
            return secret
        try:
            host, _ = urlsplit(text).hostname, urlsplit(text).port
        except ValueError:
            raise ValueError("is no URL") from None
        if scheme.lower() not in schemes or not host:
            raise ValueError("must be a URL that begins with https:// or http://")
        return secret

    return check


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def base_url(text: str) -> str:
    """Where an API is, without its last slash: https, or http on this machine."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("has characters that no URL has")
    try:
        url = urlsplit(text)
        host, _ = url.hostname or "", url.port
    except ValueError:
        raise ValueError("is no URL") from None
    if not all(0 < len(label) <= LONGEST_LABEL for label in host.removesuffix(".").split(".") if host):
        raise ValueError("is no URL")  # nobody could look such a host up
    if "@" in url.netloc:
        raise ValueError("must not hold credentials: they belong in accounts")
    if not host or url.scheme not in {"https", "http"}:
        raise ValueError("must be a URL that begins with https://")
    if "?" in text or "#" in text:
        raise ValueError("must not have a query or a fragment")
    if url.scheme == "http" and not _is_loopback(host):
        raise ValueError("must begin with https://: over http the credentials could be read on the way")
    return text.rstrip("/")


def listen_address(text: str) -> str:
    """Where to listen, as it was given: a host and a port, or the empty text that turns the listener off."""
    if not text:
        return text
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > _HIGHEST_PORT:
        raise ValueError('must be host:port, as in 127.0.0.1:9909, or "" to turn it off')
    if not host:
        raise ValueError(f"names no host: write 127.0.0.1:{port}, or 0.0.0.0:{port} for every interface")
    if host.startswith("[") and host.endswith("]"):
        try:
            ip_address(host[1:-1])
        except ValueError:
            raise ValueError("has no IPv6 address between its brackets") from None
    elif ":" in host:
        raise ValueError(f"an IPv6 address stands in brackets, as in [::1]:{port}")
    elif not re.fullmatch(r"[A-Za-z0-9._-]+", host):
        raise ValueError("names no host that could be listened on")
    return text


def resolver_address(text: str) -> tuple[str, int]:
    """Address and port of a DNS resolver; port 53 where none is given."""
    host, port = text, str(_DNS_PORT)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") if rest else port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        ip_address(host)
    except ValueError:
        raise ValueError("must be an IP address or address:port, as in 1.1.1.1, 10.0.0.2:5353 or [::1]:53") from None
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= _HIGHEST_PORT:
        raise ValueError(f"has no port between 1 and {_HIGHEST_PORT} after its address")
    return host, int(port)


def state_url(address: Address) -> Address:
    """Where a state is, as it was given."""
    text = address.get_secret_value()
    if text.startswith(("postgresql://", "postgres://")):
        _postgresql_url(text)
        return address
    prefix = "sqlite:///"
    if not text.startswith(prefix):
        raise ValueError(
            "must be sqlite:///PATH (with four slashes where the path is absolute), or"
            " postgresql://USER@HOST/DATABASE?schema=NAME"
        )
    path = text.removeprefix(prefix)
    if not path.strip("/") or path == ":memory:" or path.startswith("file:"):
        raise ValueError("must name a file: the backoff has to survive a restart of the daemon")
    if "?" in path or "#" in path or not path.isprintable():
        raise ValueError("must be a plain path without `?`, `#` or control characters")
    return address


def _postgresql_url(text: str) -> None:
    """A ``ValueError`` that repeats nothing of it, for what libpq itself would say only when it connects."""
    if not text.isprintable() or any(character.isspace() for character in text):
        raise ValueError("has white space or control characters inside")
    if "#" in text:
        raise ValueError("has a # inside: write %23 where it belongs to the password")
    if re.search("%(?![0-9A-Fa-f]{2})|%00", text):
        raise ValueError("has a % that begins no escape: write %25 where it belongs to the password")
    schemas = re.findall(r"[?&]schema=([^&]*)", text)
    if len(schemas) > 1 or not all(re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", schema) for schema in schemas):
        raise ValueError("has a schema that is no plain name: lower-case letters, digits and _, at most 63")
