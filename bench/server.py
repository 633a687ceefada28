"""A very fast fake of three Cloudflare calls, for the benchmark alone: packs are rendered before the first request.

``GET /stats`` says how many requests of each kind came; ``GET /stats?reset`` also starts over, packs included.
With ``--limit`` it counts requests in windows as Cloudflare does, and once they are spent blocks for another.
"""

import argparse
import asyncio
import hashlib
import json
import math
import signal
import time
from collections import Counter

PREFIX = b"/client/v4/zones/"
NOT_FOUND = b'{"success":false,"errors":[{"code":7003,"message":"No route for the URI"}],"messages":[],"result":null}'
TOO_MANY = (
    b'{"success":false,"errors":[{"code":971,"message":"Please wait and consider throttling your request speed"}],'
    b'"messages":[],"result":null}'
)
TOKEN = (
    b'{"success":true,"errors":[],"messages":[{"code":10000,"message":"This API Token is valid and active"}],'
    b'"result":{"id":"ed17574386854bf78a67040be0a770b0","status":"active"}}'
)


def zone_id(zone: int) -> str:
    return hashlib.md5(b"zone %d" % zone, usedforsecurity=False).hexdigest()


def pack_id(zone: int, pack: int) -> str:
    return f"{zone:08x}-ea29-44df-9e55-{pack:012x}"


def is_timed_out(zone: int, pack: int, packs: int, percent: float) -> bool:
    number = zone * packs + pack
    return math.floor((number + 1) * percent / 100) > math.floor(number * percent / 100)


def render(zone: int, pack: int, status: str) -> bytes:
    """One pack with every field a real one has: about 1.7 KB."""
    zone_hex, name = zone_id(zone), f"p{pack}.zone-{zone:05d}.example.com"
    hosts = [f"zone-{zone:05d}.example.com", f"*.{name}", name]
    active = status == "active"

    def certificate(number: int, signature: str) -> dict[str, object]:
        return {
            "id": f"7e7b8deba8538af625850b7{number}{zone % 16**4:04x}{pack % 16**4:04x}",
            "hosts": hosts,
            "issuer": "GoogleTrustServices",
            "signature": signature,
            "status": "active",
            "bundle_method": "ubiquitous",
            "zone_id": zone_hex,
            "uploaded_on": "2026-11-01T05:20:00.123456Z",
            "modified_on": "2026-11-01T05:20:00.123456Z",
            "expires_on": "2027-01-30T05:20:00.000000Z",
            "priority": number,
            "geo_restrictions": {"label": "us"},
        }

    def record(host: str) -> dict[str, str]:
        return {
            "status": "active" if active else "pending",
            "txt_name": f"_acme-challenge.{host}",
            "txt_value": hashlib.sha256(host.encode()).hexdigest()[:43],
            "cname": f"_acme-challenge.{host}",
            "cname_target": f"{host}.abc123def456ab78.dcv.cloudflare.com",
        }

    value = {
        "id": pack_id(zone, pack),
        "type": "advanced",
        "hosts": hosts,
        "primary_certificate": "7e7b8deba8538af625850b7b2530034c",
        "status": status,
        "certificates": [certificate(0, "SHA256WithRSA"), certificate(1, "ECDSAWithSHA256")],
        "validity_days": 90,
        "validation_method": "txt",
        "validation_records": [record(hosts[0]), record(name)],
        "validation_errors": [] if active else [{"message": f"SERVFAIL looking up CAA for {name}"}],
        "dcv_delegation_records": [],
        "certificate_authority": "google",
        "cloudflare_branding": False,
    }
    return json.dumps(value, separators=(",", ":")).encode()


def render_zone(zone: int) -> bytes:
    """A zone with every field that one has: about 1.2 KB."""
    servers = ["ada.ns.cloudflare.com", "bob.ns.cloudflare.com"]
    value = {
        "id": zone_id(zone),
        "name": f"zone-{zone:05d}.example.com",
        "status": "active",
        "paused": False,
        "type": "full",
        "development_mode": 0,
        "name_servers": servers,
        "original_name_servers": ["ns1.registrar.example", "ns2.registrar.example"],
        "original_registrar": "registrar.example (id: 1)",
        "original_dnshost": None,
        "modified_on": "2026-11-01T05:20:00.123456Z",
        "created_on": "2025-02-01T05:20:00.123456Z",
        "activated_on": "2025-02-02T05:20:00.123456Z",
        "vanity_name_servers": [],
        "vanity_name_servers_ips": None,
        "meta": {
            "step": 4,
            "custom_certificate_quota": 0,
            "page_rule_quota": 3,
            "phishing_detected": False,
            "multiple_railguns_allowed": False,
        },
        "owner": {"id": None, "type": "user", "email": None},
        "account": {"id": "01a7362d577a6c3019a474fd6f485823", "name": "Bench"},
        "tenant": {"id": None, "name": None},
        "tenant_unit": {"id": None},
        "permissions": ["#ssl:edit", "#ssl:read", "#zone:read"],
        "plan": {
            "id": "0feeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
            "name": "Free Website",
            "price": 0,
            "currency": "USD",
            "frequency": "",
            "is_subscribed": False,
            "can_subscribe": False,
            "legacy_id": "free",
            "legacy_discount": False,
            "externally_managed": False,
        },
    }
    return json.dumps(value, separators=(",", ":")).encode()


class SlidingWindow:
    """The rate limit: so many requests per window; one too many blocks everything for a whole window."""

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit, self.seconds = limit, seconds
        self.reset()

    def reset(self) -> None:
        """Nothing was asked yet."""
        self.began = 0.0
        self.blocked_until = 0.0
        self.last = 0.0
        self.windows: Counter[int] = Counter()

    def admit(self) -> tuple[bool, bytes]:
        """Whether this request is let through, and the headers that go with the answer."""
        if not self.limit:
            return True, b""
        now = time.perf_counter()
        self.began = self.began or now
        if now < self.blocked_until:
            left = math.ceil(self.blocked_until - now)
            return False, self.headers(0, left) + b"Retry-After: %d\r\n" % left
        number = int((now - self.began) / self.seconds)
        reset = math.ceil(self.began + (number + 1) * self.seconds - now)
        if self.windows[number] >= self.limit:
            self.blocked_until = now + self.seconds
            return False, self.headers(0, math.ceil(self.seconds)) + b"Retry-After: %d\r\n" % math.ceil(self.seconds)
        self.windows[number] += 1
        self.last = now
        return True, self.headers(self.limit - self.windows[number], reset)

    def headers(self, left: int, reset: int) -> bytes:
        """What every answer says of the limit."""
        policy = b"%d;w=%d" % (self.limit, round(self.seconds))
        return b'Ratelimit: "default";r=%d;t=%d\r\nRatelimit-Policy: "default";q=%s\r\n' % (left, reset, policy)


class Fleet:
    """The zones and their packs, as bytes ready to send."""

    def __init__(self, zones: int, packs: int, percent: float, window: SlidingWindow, block: int) -> None:
        self.size, self.percent, self.window, self.block = packs, percent, window, block
        self.last: dict[int, float] = {}
        self.index = {zone_id(zone).encode(): zone for zone in range(zones)}
        self.packs = [
            [render(z, p, "validation_timed_out" if self.timed_out(z, p) else "active") for p in range(packs)]
            for z in range(zones)
        ]
        self.requests: Counter[str] = Counter()
        self.restarted: set[tuple[int, int]] = set()

    def timed_out(self, zone: int, pack: int) -> bool:
        """Whether this pack began in validation_timed_out."""
        return is_timed_out(zone, pack, self.size, self.percent)

    def answer(self, method: bytes, target: bytes) -> tuple[bytes, bytes, bytes]:
        """Status line, further headers, body."""
        path, _, query = target.partition(b"?")
        if path == b"/stats":
            return b"200 OK", b"", self.stats(reset=query == b"reset")
        admitted, headers = self.window.admit()
        if not admitted:
            self.requests["refused"] += 1
            return b"429 Too Many Requests", headers, TOO_MANY
        body = self.packs_answer(method, path, query) or self.facts_answer(path, query)
        if body is None and path == b"/client/v4/user/tokens/verify":
            body = TOKEN
        if body is None:
            self.requests["other"] += 1
            return b"404 Not Found", headers, NOT_FOUND
        return b"200 OK", headers, body

    def packs_answer(self, method: bytes, path: bytes, query: bytes) -> bytes | None:
        """The body of a list, get or patch; none where the path is another."""
        zone = self.index.get(path[len(PREFIX) : len(PREFIX) + 32]) if path.startswith(PREFIX) else None
        if zone is None:
            return None
        rest = path[len(PREFIX) + 32 :]
        if rest == b"/ssl/certificate_packs" and method == b"GET":
            self.requests["list"] += 1
            self.last[zone // self.block] = time.perf_counter()
            return self.page(zone, dict(pair.partition(b"=")[::2] for pair in query.split(b"&")))
        if not rest.startswith(b"/ssl/certificate_packs/"):
            return None
        pack = int(rest[-12:], 16)
        if method == b"PATCH":
            self.requests["patch"] += 1
            if self.timed_out(zone, pack):
                self.restarted.add((zone, pack))
                self.packs[zone][pack] = render(zone, pack, "initializing")
        else:
            self.requests["get"] += 1
        return b'{"success":true,"errors":[],"messages":[],"result":%s}' % self.packs[zone][pack]

    def facts_answer(self, path: bytes, query: bytes) -> bytes | None:
        """What a diagnosis asks about a zone: its type and status, and its delegation id."""
        if path == b"/client/v4/zones" and query.startswith(b"name=zone-"):
            self.requests["facts"] += 1
            return b'{"success":true,"errors":[],"messages":[],"result":[%s]}' % render_zone(int(query[10:15]))
        if path == b"/client/v4/zones":
            self.requests["facts"] += 1
            asked = dict(pair.partition(b"=")[::2] for pair in query.split(b"&"))
            page, per_page, zones = int(asked[b"page"]), int(asked[b"per_page"]), len(self.packs)
            shown = range((page - 1) * per_page, min(page * per_page, zones))
            return (
                b'{"success":true,"errors":[],"messages":[],"result":[%s],"result_info":'
                b'{"count":%d,"page":%d,"per_page":%d,"total_count":%d,"total_pages":%d}}'
                % (b",".join(map(render_zone, shown)), len(shown), page, per_page, zones, math.ceil(zones / per_page))
            )
        if path.endswith(b"/dcv_delegation/uuid"):
            self.requests["facts"] += 1
            return b'{"success":true,"errors":[],"messages":[],"result":{"uuid":"abc123def456ab78"}}'
        return None

    def page(self, zone: int, query: dict[bytes, bytes]) -> bytes:
        """One page of a zone's packs, in the real envelope."""
        per_page = min(50, max(1, int(query.get(b"per_page", b"20"))))
        page = max(1, int(query.get(b"page", b"1")))
        shown = self.packs[zone][(page - 1) * per_page : page * per_page]
        return (
            b'{"success":true,"errors":[],"messages":[],"result":[%s],"result_info":'
            b'{"count":%d,"page":%d,"per_page":%d,"total_count":%d,"total_pages":%d}}'
            % (b",".join(shown), len(shown), page, per_page, self.size, math.ceil(self.size / per_page))
        )

    def stats(self, *, reset: bool) -> bytes:
        """What was counted, as JSON."""
        window, zones = self.window, range(len(self.packs) if self.percent else 0)
        said = {
            "requests": {kind: self.requests[kind] for kind in ("list", "get", "patch", "facts", "other", "refused")},
            "restarted": len(self.restarted),
            "timed_out": sum(self.timed_out(z, p) for z in zones for p in range(self.size)),
            "troubled": sum(any(self.timed_out(z, p) for p in range(self.size)) for z in zones),
            "windows": [window.windows[n] for n in range(max(window.windows, default=-1) + 1)],
            "seconds": window.last - window.began,
            "last": dict(self.last),
        }
        if reset:
            for zone, pack in self.restarted:
                self.packs[zone][pack] = render(zone, pack, "validation_timed_out")
            self.restarted.clear()
            self.requests.clear()
            self.last.clear()
            window.reset()
        return json.dumps(said).encode()


class Connection(asyncio.Protocol):
    """One client connection: requests in, in order, answers out, in order; kept alive."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every whole request in what has come so far."""
        self.waiting += data
        while (end := self.waiting.find(b"\r\n\r\n")) >= 0:
            head, size = self.waiting[:end], 0
            if (at := head.lower().find(b"\r\ncontent-length:")) >= 0:
                size = int(head[at + 17 :].partition(b"\r\n")[0])
            if len(self.waiting) < end + 4 + size:
                return
            self.waiting = self.waiting[end + 4 + size :]
            method, target, _ = head.partition(b"\r\n")[0].split(b" ")
            status, headers, body = self.fleet.answer(method, target)
            self.transport.write(
                b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nCF-Ray: 8d1e2f3a4b5c6d7e-FRA\r\n"
                b"%sContent-Length: %d\r\n\r\n%s" % (status, headers, len(body), body)
            )


async def serve(options: argparse.Namespace) -> None:
    fleet = Fleet(
        options.zones, options.packs, options.percent, SlidingWindow(options.limit, options.window), options.block
    )
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(fleet), "127.0.0.1", options.port, backlog=512)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    print(server.sockets[0].getsockname()[1], flush=True)
    await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0: any free one; the port is the first line printed")
    parser.add_argument("--zones", type=int, default=1000)
    parser.add_argument("--packs", type=int, default=5)
    parser.add_argument("--percent", type=float, default=2.0, help="how many of the packs have timed out")
    parser.add_argument("--limit", type=int, default=0, help="requests per window; 0: no limit")
    parser.add_argument("--window", type=float, default=300.0, help="seconds")
    parser.add_argument(
        "--block", type=int, default=1000, help="zones of an account: /stats says when each was asked for"
    )
    asyncio.run(serve(parser.parse_args()))
