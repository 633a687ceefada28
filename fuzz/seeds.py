"""A few good inputs for each parser, from which a fuzzer or a property test goes astray."""

import json
from pathlib import Path

import dns.edns
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rrset

from fuzz.oracles import ASKED
from watchdog.simulator.envelope import failure, success

_HERE = Path(__file__).parent.parent
_PACK = {
    "id": "0f3c6a52-0a5b-4c0f-9a34-4d3f6f2f2f2f",
    "type": "advanced",
    "status": "validation_timed_out",
    "hosts": ["example.com", "*.example.com"],
    "certificate_authority": "lets_encrypt",
    "certificates": [{"expires_on": "2027-01-01T00:00:00Z"}],
    "validation_errors": [{"message": "CAA records block \u001b[31m<b>issuance</b>\n"}],
    "validation_method": "txt",
    "validity_days": 90,
    "validation_records": [
        {"txt_name": "_acme-challenge.example.com", "txt_value": "token"},
        {"http_url": "http://example.com/.well-known/pki-validation/a.txt", "http_body": "token"},
        {"cname": "_acme-challenge.example.com", "cname_target": "example.com.0123456789abcdef.dcv.cloudflare.com"},
    ],
}
_ZONES = [{"id": "023e105f4ecef8ad9ca31a8372d0c353", "name": "example.com", "type": "full", "status": "active"}]
_PAGES = {"page": 1, "per_page": 50, "total_pages": 1}


def _dns(*records: tuple[str, ...], rcode: str = "NOERROR", extended: str = "") -> bytes:
    reply = dns.message.make_response(dns.message.make_query(ASKED, "TXT", use_edns=0))
    for owner, kind, text in records:
        reply.answer.append(dns.rrset.from_text(owner or ASKED, 60, dns.rdataclass.IN, kind, text))
    reply.set_rcode(dns.rcode.from_text(rcode))
    if extended:
        reply.use_edns(0, options=[dns.edns.EDEOption(dns.edns.EDECode.DNSSEC_BOGUS, extended)])
    return reply.to_wire()


def of(name: str) -> list[bytes]:
    """The seeds of one oracle."""
    return _SEEDS[name]


_SEEDS: dict[str, list[bytes]] = {
    "configuration": [
        (_HERE / "config.example.yaml").read_bytes().replace(b"_file:", b":"),
        b"accounts: {main: {api_token: t, discover: {}}}\n",
        b'accounts:\n  a: &a {api_token: "${NAME}"}\n  b: *a\nzones:\n- {name: e.com, account: a, packs: all}\n',
        b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        b"accounts: !!python/object:os.system {}\n<<: {a: 1}\n? [a]\n: b\n",
        b"schedule: {interval: 15m}\nrestart: {backoff: {factor: 1e9}}\nweb: {listen: '[::1]:1'}\n",
        *(path.read_bytes() for path in sorted((_HERE / "tests/config/bad").glob("*.yaml"))),
    ],
    "envelope": [
        success([_PACK, _PACK], result_info=_PAGES).body,
        success(_PACK).body,
        success(_ZONES, result_info=_PAGES).body,
        success({"uuid": "0123456789abcdef"}).body,
        failure(400, (6003, "Invalid request headers"), chain=((6111, "Invalid format"),)).body,
        json.dumps({"success": True, "result": [{"id": "p", "status": 7, "hosts": [None, "a"]}]}).encode(),
        b"[" * 2000,
        b"<html>error code: 502</html>",
    ],
    "headers": [
        b'\x00\n"default";r=1199;t=300\n"default";q=1200;w=300\n8f2a-FRA',
        b"\x0160\n\n\n",
        b'\x01999999999999\n"a";r=0;t=999999999, "b";r=3;t=90\n"a";q=1;w=999999999\n\x1b[31m',
        b"\x01Wed, 21 Oct 2026 07:28:00 GMT\n;;;===,,,r=;t=\n",
    ],
    "dns": [
        _dns(("", "TXT", '"token"'), ("", "TXT", '"\\027[31m\\010" "more"')),
        _dns(("", "CNAME", "other.example.net."), ("other.example.net.", "TXT", '"token"')),
        _dns(("", "CAA", '128 issue "pki.goog; cansignhttpexchanges=yes"'), ("", "CAA", '0 issuewild ";"')),
        _dns(("", "A", "192.0.2.1"), ("", "AAAA", "2001:db8::1"), ("", "NS", "ns.example.com.")),
        _dns(rcode="SERVFAIL", extended="signature \x1b[31mexpired"),
        _dns(rcode="NXDOMAIN"),
    ],
    "request": [
        b"GET /metrics?name[]=x HTTP/1.1\r\nHost: localhost:9909\r\nAccept: application/openmetrics-text\r\n\r\n",
        b"HEAD /api/v1/packs?zone=%00%ff HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: a.example\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET //../etc/passwd HTTP/1.0\r\nContent-Length: 3\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nabc",
    ],
}
