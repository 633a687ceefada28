#!/usr/bin/env bash
# Through httpx-aiohttp, "ConnectTimeout" says nothing of when, or whether, a request left.
#
# VERSION httpx-aiohttp 0.2.0, aiohttp 3.14.5, httpx 0.28.1
# GUESS   The exceptions mean what httpx's own transport means by them: RemoteProtocolError for an
#         answer that never came, ConnectError for a refused port, PoolTimeout for a wait in the
#         pool; and ConnectTimeout that nothing was sent, so that one may send it again.
# SEEN    All three are httpx.ConnectTimeout. Only __cause__ (an exception of aiohttp) tells them
#         apart.
# HERE    A PATCH that was delivered and lost its answer looks like one that never left. Who sends
#         it again by the class of the exception restarts a validation twice.
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
ONE = httpx.Limits(max_connections=1)
PATIENCE = httpx.Timeout(10, pool=0.3)
delivered: list[bytes] = []


async def lose(reader, writer):
    delivered.append(await reader.readuntil(b"\r\n\r\n"))
    writer.close()


async def dawdle(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(1)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    await writer.drain()
    writer.close()


async def fault(client, url):
    try:
        await client.patch(url)
    except httpx.TransportError as why:
        return f"{type(why).__name__} ({type(why.__cause__).__name__})"
    return "an answer"


async def main():
    servers = [await asyncio.start_server(each, "127.0.0.1", 0) for each in (lose, dawdle)]
    lost, slow = (f"http://127.0.0.1:{s.sockets[0].getsockname()[1]}/" for s in servers)
    free = await asyncio.start_server(lose, "127.0.0.1", 0)
    refused = f"http://127.0.0.1:{free.sockets[0].getsockname()[1]}/"
    free.close()
    await free.wait_closed()
    for name, transport in TRANSPORTS.items():
        async with httpx.AsyncClient(transport=transport(limits=ONE), timeout=PATIENCE) as client:
            delivered.clear()
            why = await fault(client, lost)
            print(f"{name}: delivered {len(delivered)}, unanswered: {why}")
            print(f"{name}: refused: {await fault(client, refused)}")
            first = asyncio.create_task(fault(client, slow))
            await asyncio.sleep(0.2)
            print(f"{name}: no room in the pool: {await fault(client, slow)}")
            await first
    for server in servers:
        server.close()


asyncio.run(main())
END
)
expected="httpx: delivered 1, unanswered: RemoteProtocolError (RemoteProtocolError)
httpx: refused: ConnectError (ConnectError)
httpx: no room in the pool: PoolTimeout (PoolTimeout)
httpx-aiohttp: delivered 1, unanswered: ConnectTimeout (ServerDisconnectedError)
httpx-aiohttp: refused: ConnectTimeout (ClientConnectorError)
httpx-aiohttp: no room in the pool: ConnectTimeout (ConnectionTimeoutError)"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
