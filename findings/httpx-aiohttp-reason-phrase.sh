#!/usr/bin/env bash
# A status line with a reason in Latin-1 makes the whole answer unreadable through httpx-aiohttp.
#
# VERSION httpx-aiohttp 0.2.0, aiohttp 3.14.5, httpx 0.28.1
# GUESS   "HTTP/1.1 503 Zeit\xfcberschreitung" is allowed (RFC 9112: obs-text in a reason phrase,
#         which clients should ignore), so status, headers and body arrive; httpx's own transport
#         hands them over.
# SEEN    The transport raises UnicodeEncodeError, which is no httpx.HTTPError and says nothing
#         of a response; the status is lost.
# HERE    Proxies that look into TLS answer so, in the language of their owners. A 503 becomes a
#         defect of the caller's own, a 429 with Retry-After is not obeyed, and a PATCH that was
#         delivered ends without any outcome.
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
ANSWER = (
    b"HTTP/1.1 503 Zeit\xfcberschreitung\r\nretry-after: 7\r\ncontent-length: 4\r\n"
    b"connection: close\r\n\r\nlate"
)


async def answer(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(ANSWER)
    await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    for name, transport in TRANSPORTS.items():
        async with httpx.AsyncClient(transport=transport(), timeout=10) as client:
            try:
                got = await client.patch(url)
                print(f"{name}: {got.status_code} {got.headers['retry-after']} {got.text}")
            except Exception as fault:
                ours = isinstance(fault, httpx.HTTPError)
                print(f"{name}: {type(fault).__name__}, an httpx.HTTPError: {ours}")
    server.close()


asyncio.run(main())
END
)
expected="httpx: 503 7 late
httpx-aiohttp: UnicodeEncodeError, an httpx.HTTPError: False"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
