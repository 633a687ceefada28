"""What the environment says of the way out: proxies, and whom to trust. Whoever speaks over it takes it from there.

Here it is only judged, before anybody does: the libraries would raise at the first use, with a proxy's user in the
traceback, and some would speak HTTP to a SOCKS port.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_TRUSTED = "SSL_CERT_FILE"
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def check_environment(environ: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each that cannot be used. None repeats anything of a proxy, which may hold a password."""
    for name in environ:
        if name.lower() in _PROXIES and environ[name] and (fault := _of_proxy(environ[name])):
            yield f"the environment's {name} {fault}"
    if environ.get(_TRUSTED) and (fault := _of_trusted(environ[_TRUSTED])):
        yield f"the environment's {_TRUSTED} {fault}"


def _of_proxy(text: str) -> str:
    try:
        url = urlsplit(text if "://" in text else f"http://{text}")
        host, _ = url.hostname, url.port
        (host or "").encode("idna")  # as whoever looks it up does: no part of it may be empty or too long
    except ValueError:
        return "is no URL"
    if url.scheme.lower() not in {"http", "https"}:
        return "must be an HTTP proxy, as in http://user:password@proxy.example:3128; others, SOCKS too, are not spoken"
    return "" if host else "names no host"


def _of_trusted(file: str) -> str:
    import ssl  # noqa: PLC0415  most have no such variable, and some commands speak to nobody

    try:
        _, *rest = Path(file).read_text("utf-8", "replace").split(_BEGIN)
        found = [f"{_BEGIN}{each.partition(_END)[0]}{_END}" for each in rest]
        for each in found:  # that they can be decoded is enough of the others: to take all of them in takes 27 ms
            ssl.PEM_cert_to_DER_cert(each)
        one = {"cadata": found[0]} if found else {"cafile": file}
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(**one)
    except (ssl.SSLError, ValueError):  # the first is an OSError too
        return "holds no certificates"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return ""
