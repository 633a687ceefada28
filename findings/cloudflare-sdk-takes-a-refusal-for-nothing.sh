#!/usr/bin/env bash
# Cloudflare's SDKs take a refusal that comes with HTTP 200 for an empty answer.
#
# VERSION cloudflare 5.9.0 (Python), cloudflare 7.3.0 (npm)
# GUESS   Each answer says "success": true or false, so an SDK that unwraps "result" raises an
#         error where it is false, whatever the HTTP status.
# SEEN    Neither looks. Lists of zones and packs are empty, a pack, its edit and the verification
#         of a token are None (null), and nothing is raised.
# HERE    Rate limits come with 200 as well (code 971). A script that was throttled then finds that
#         no pack is timed out, or that the zone has none, and believes that its restart was sent.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
if ! { python3 -m venv "$box/v" && "$box/v/bin/pip" -q --disable-pip-version-check install \
  --no-compile cloudflare==5.9.0 httpx==0.28.1 && cd "$box" &&
  npm install --no-audit --no-fund --silent cloudflare@7.3.0 && node --version; } >"$box/log" 2>&1
then
  echo "cannot be had: cloudflare 5.9.0 (Python), cloudflare 7.3.0 (npm) and Node.js"
  exit 77
fi
cat >"$box/calls.mjs" <<'END'
import Cloudflare from "cloudflare";

const client = new Cloudflare({ apiToken: "x".repeat(40), baseURL: process.argv[2] });
const zone_id = "0".repeat(32);
const { certificatePacks } = client.ssl;
const every = async (pages) => {
  const found = [];
  for await (const each of pages) found.push(each);
  return found;
};
const CALLS = {
  zones: () => every(client.zones.list()),
  packs: () => every(certificatePacks.list({ zone_id, status: "all" })),
  pack: () => certificatePacks.get("0".repeat(36), { zone_id }),
  restart: () => certificatePacks.edit("0".repeat(36), { zone_id }),
  "token's verification": () => client.user.tokens.verify(),
};
for (const [name, call] of Object.entries(CALLS)) {
  let told;
  try {
    told = JSON.stringify(await call());
  } catch (fault) {
    told = fault.constructor.name;
  }
  console.log(`npm, ${name}: ${told}`);
}
END
seen=$("$box/v/bin/python" - <<'END'
import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cloudflare

WORDS = "Please wait and consider throttling your request speed"
REFUSAL = {"success": False, "errors": [{"code": 971, "message": WORDS}], "messages": []}
BODY = json.dumps({**REFUSAL, "result": None}).encode()
ZONE, PACK = "0" * 32, "0" * 36


class Edge(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    do_PATCH = do_GET


edge = ThreadingHTTPServer(("127.0.0.1", 0), Edge)
threading.Thread(target=edge.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{edge.server_port}"
client = cloudflare.Cloudflare(api_token="x" * 40, base_url=base)
packs = client.ssl.certificate_packs
CALLS = {
    "zones": lambda: list(client.zones.list()),
    "packs": lambda: list(packs.list(zone_id=ZONE, status="all")),
    "pack": lambda: packs.get(PACK, zone_id=ZONE),
    "restart": lambda: packs.edit(PACK, zone_id=ZONE),
    "token's verification": lambda: client.user.tokens.verify(),
}
for name, call in CALLS.items():
    try:
        told = repr(call())
    except cloudflare.CloudflareError as fault:
        told = type(fault).__name__
    print(f"Python, {name}: {told}", flush=True)
subprocess.run(["node", "calls.mjs", base], check=True, timeout=60)
END
)
expected="Python, zones: []
Python, packs: []
Python, pack: None
Python, restart: None
Python, token's verification: None
npm, zones: []
npm, packs: []
npm, pack: null
npm, restart: null
npm, token's verification: null"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
