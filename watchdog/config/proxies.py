"""The proxies that the environment names. Whoever speaks over them takes them from there; here they are only judged.

The libraries would raise at the first use, with the user's name in a traceback; some would speak HTTP to a SOCKS port.
"""

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

_NAMES = ("http_proxy", "https_proxy", "all_proxy")


def faults(environ: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each proxy that cannot be used, which repeats nothing of it: it may hold a password."""
    for name in environ:
        if name.lower() in _NAMES and environ[name] and (fault := _fault(environ[name])):
            yield f"the environment's {name} {fault}"


def _fault(text: str) -> str:
    try:
        url = urlsplit(text if "://" in text else f"http://{text}")
        host, _ = url.hostname, url.port
    except ValueError:
        return "is no URL"
    if url.scheme.lower() not in {"http", "https"}:
        return "must be an HTTP proxy, as in http://user:password@proxy.example:3128; others, SOCKS too, are not spoken"
    return "" if host else "names no host"
