#!/usr/bin/env bash
# An HTTP validation token is read at a URL that must be asked for as it is written. aiohttp
# asks for another one.
#
# VERSION aiohttp 3.14.5, yarl 1.25.1
# GUESS   A URL given as text, already percent-encoded, goes out byte for byte: the transport
#         of plain httpx does that.
# SEEN    Escapes are undone where yarl holds them needless (%2E, %7E in a path, %2F and %3F in
#         a query, %3B before a ";"), and a "?" with nothing behind it is dropped.
#         yarl.URL(text, encoded=True) keeps the escapes, and drops that "?" all the same.
# HERE    A check of a token page asks the web server for another target than the certificate
#         authority does, and may see another answer (rules, signatures and caches of a web
#         server often go by the raw target).
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
if ! { python3 -m venv "$box/v" &&
  "$box/v/bin/pip" -q --disable-pip-version-check install aiohttp==3.14.5 yarl==1.25.1
} >"$box/log" 2>&1; then
  echo "cannot be had: aiohttp 3.14.5 and yarl 1.25.1 could not be installed"
  exit 77
fi
seen=$("$box/v/bin/python" - <<'END'
import asyncio

import aiohttp
from yarl import URL

TARGETS = (
    "/.well-known/acme-challenge/a%2Eb%7Ec",
    "/.well-known/pki-validation/t.txt?for=%2Fshop%3F",
    "/.well-known/pki-validation/t%3Bv;1",
    "/.well-known/pki-validation/t.txt?",
)
asked: list[str] = []


async def answer(reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    asked.append(head.split()[1].decode())
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
    await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        for target in TARGETS:
            for url in (base + target, URL(base + target, encoded=True)):
                async with session.get(url) as page:
                    await page.read()
            print(f"{target} as text: {asked[-2]} encoded: {asked[-1]}")
    server.close()


asyncio.run(main())
END
)
well=/.well-known
pki=$well/pki-validation
expected="$well/acme-challenge/a%2Eb%7Ec as text: $well/acme-challenge/a.b~c \
encoded: $well/acme-challenge/a%2Eb%7Ec
$pki/t.txt?for=%2Fshop%3F as text: $pki/t.txt?for=/shop? encoded: $pki/t.txt?for=%2Fshop%3F
$pki/t%3Bv;1 as text: $pki/t;v;1 encoded: $pki/t%3Bv;1
$pki/t.txt? as text: $pki/t.txt encoded: $pki/t.txt"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
