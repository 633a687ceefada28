#!/usr/bin/env bash
# One GET may leave as two requests: aiohttp repeats it by itself, where httpx's own transport
# does not.
#
# VERSION aiohttp 3.14.5, httpx-aiohttp 0.2.0, httpx 0.28.1
# GUESS   A server that closes a connection without an answer gets one request; at most a
#         connection that was used before (and may have grown stale) is worth a second one.
# SEEN    On a *new* connection as well the GET is sent again, once; PATCH and POST never are.
#         ClientSession has no public option for it.
# HERE    Cloudflare counts requests of a user in windows. Who books one request for each call
#         sends up to twice as many as are booked, just while the other side is in trouble.
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

import httpx
from httpx_aiohttp import AiohttpTransport

TRANSPORTS = {"httpx": httpx.AsyncHTTPTransport, "httpx-aiohttp": AiohttpTransport}
asked: list[bytes] = []


async def close(reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    asked.append(head.split()[0])
    writer.close()


async def main():
    server = await asyncio.start_server(close, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    for name, transport in TRANSPORTS.items():
        for method in ("GET", "PATCH", "POST"):
            asked.clear()
            async with httpx.AsyncClient(transport=transport(), timeout=10) as client:
                try:
                    await client.request(method, url)
                except httpx.TransportError:
                    print(f"{name} {method}: {len(asked)}")
    server.close()


asyncio.run(main())
END
)
expected="httpx GET: 1
httpx PATCH: 1
httpx POST: 1
httpx-aiohttp GET: 2
httpx-aiohttp PATCH: 1
httpx-aiohttp POST: 1"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
