#!/usr/bin/env bash
# An answer with one header line of 9 KB cannot be read through httpx-aiohttp, and the fault that
# is raised claims that the server said 400.
#
# VERSION httpx-aiohttp 0.2.0, aiohttp 3.14.5, httpx 0.28.1
# GUESS   What httpx's own transport reads (headers up to 100 KB together) is read here as well;
#         if not, the fault is an httpx.RemoteProtocolError.
# SEEN    A field of more than 8,190 bytes raises aiohttp.ClientResponseError, which httpx-aiohttp
#         does not translate, with status 400 although the server had said 200. 8,000 bytes pass.
#         ClientSession(max_field_size=...) raises the limit.
# HERE    Edges in front of an API add long headers (policies, reporting endpoints, cookies). Each
#         call then fails with what looks like "bad request", also the PATCH that was accepted.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
if ! { python3 -m venv "$box/v" && "$box/v/bin/pip" -q --disable-pip-version-check install \
  aiohttp==3.14.5 httpx-aiohttp==0.2.0 httpx==0.28.1; } >"$box/log" 2>&1; then
  echo "cannot be had: aiohttp, httpx-aiohttp and httpx could not be installed"
  exit 77
fi
seen=$("$box/v/bin/python" - <<'END'
import asyncio

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

TRANSPORTS = {
    "httpx": httpx.AsyncHTTPTransport,
    "httpx-aiohttp": AiohttpTransport,
    "with max_field_size": lambda: AiohttpTransport(
        client=lambda: aiohttp.ClientSession(max_field_size=65536)
    ),
}


async def answer(reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    policy = b"a" * int(head.split()[1].strip(b"/"))
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-security-policy: " + policy)
    writer.write(b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    for name, transport in TRANSPORTS.items():
        for size in (8000, 9000):
            async with httpx.AsyncClient(transport=transport(), timeout=10) as client:
                try:
                    got = await client.patch(f"{url}{size}")
                    print(f"{name} {size}: {got.status_code}")
                except aiohttp.ClientResponseError as fault:
                    ours = isinstance(fault, httpx.HTTPError)
                    print(f"{name} {size}: ClientResponseError {fault.status}, httpx's: {ours}")
    server.close()


asyncio.run(main())
END
)
expected="httpx 8000: 200
httpx 9000: 200
httpx-aiohttp 8000: 200
httpx-aiohttp 9000: ClientResponseError 400, httpx's: False
with max_field_size 8000: 200
with max_field_size 9000: 200"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
