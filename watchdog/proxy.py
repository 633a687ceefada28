"""Which proxy leads to a URL, as the environment says: ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``.

The one reading of these variables for everybody who speaks HTTP, since the libraries' own readings differ: httpx raises
where an entry of ``NO_PROXY`` is an IPv6 network or has brackets, and ignores IPv4 networks. Nothing here connects, and
nothing here judges a proxy's own URL (``config.environment`` does, at the start). A proxy's URL may hold a password.
"""

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import msgspec

_HOST = re.compile(r"\.?(?:[\w-]+\.)*[\w-]+\.?")
_PORTS = {"http": 80, "https": 443}


class _Direct(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of ``NO_PROXY``: a host with everything below it, or a network; ``port`` is 0 for any."""

    host: str = ""
    network: IPv4Network | IPv6Network | None = None
    port: int = 0

    def covers(self, host: str, port: int) -> bool:
        if self.port not in (0, port):
            return False
        if self.network is None:
            return self.host in ("*", host) or host.endswith(f".{self.host}")
        try:
            return ip_address(host) in self.network
        except ValueError:
            return False


def proxy_of(url: str, environ: Mapping[str, str]) -> str | None:
    """The URL of the proxy that leads to this ``url``, or ``None`` where nothing is in between."""
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".")
    proxy = _variable(environ, f"{scheme}_proxy") or _variable(environ, "all_proxy")
    if not proxy or any(each.covers(host, parts.port or _PORTS.get(scheme, 0)) for each in _direct(environ)):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def unreadable(environ: Mapping[str, str]) -> list[str]:
    """The entries of ``NO_PROXY`` that name neither a host nor a network, and so mean nothing."""
    return [entry for entry in _entries(environ) if _read(entry) is None]


def _variable(environ: Mapping[str, str], name: str) -> str:
    """A variable's value; the name in small letters counts before that in capitals, as curl has it.

    A web server's child gets the request's ``Proxy`` header as ``HTTP_PROXY``: there only small letters count.
    """
    trusted = name != "http_proxy" or "REQUEST_METHOD" not in environ
    return environ.get(name) or (environ.get(name.upper(), "") if trusted else "")


def _entries(environ: Mapping[str, str]) -> list[str]:
    return [entry for each in _variable(environ, "no_proxy").split(",") if (entry := each.strip())]


def _direct(environ: Mapping[str, str]) -> Iterable[_Direct]:
    return (found for entry in _entries(environ) if (found := _read(entry)) is not None)


def _read(entry: str) -> _Direct | None:
    entry = entry.rpartition("://")[2].lower()
    bracketed = re.fullmatch(r"\[([^\]]+)\](/[0-9]{1,3})?(?::([0-9]{1,5}))?", entry)
    host, length, port = bracketed.groups("") if bracketed else (entry, "", "")
    try:
        return _Direct(network=ip_network(host + length, strict=False), port=int(port or 0))
    except ValueError:
        if bracketed:
            return None
    host, found, port = entry.partition(":")
    if found and not re.fullmatch("[0-9]{1,5}", port):
        return None
    try:
        return _Direct(network=ip_network(host, strict=False), port=int(port or 0))
    except ValueError:
        pass
    host = host.removeprefix("*") if host != "*" else host
    return _Direct(host=host.strip("."), port=int(port or 0)) if host == "*" or _HOST.fullmatch(host) else None
