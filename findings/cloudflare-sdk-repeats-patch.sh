#!/usr/bin/env bash
# Cloudflare's Python SDK sends a PATCH up to three times, also where the answer asked for rest.
#
# VERSION cloudflare 5.9.0 (its own default of two repeats)
# GUESS   A PATCH is sent once, as nobody knows whether a 500 has done its work; and a 429 with
#         "Retry-After: 120" is waited for, or handed to the caller at once.
# SEEN    Three requests each time, the last within some seconds: a Retry-After above a minute is
#         thrown away and the usual short backoff taken.
# HERE    ssl.certificate_packs.edit is what restarts a validation: one call may restart it three
#         times, and answers a rate limit with two more requests. max_retries=0 turns both off.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
if ! { python3 -m venv "$box/v" && "$box/v/bin/pip" -q --disable-pip-version-check install \
  --no-compile cloudflare==5.9.0 httpx==0.28.1; } >"$box/log" 2>&1; then
  echo "cannot be had: cloudflare 5.9.0 could not be installed"
  exit 77
fi
seen=$("$box/v/bin/python" - <<'END'
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cloudflare

REFUSAL = json.dumps({"success": False, "errors": [{"code": 971, "message": "later"}]}).encode()
ANSWERS = {"500": (500, {}), "429, Retry-After: 120": (429, {"retry-after": "120"})}
asked = []


class Edge(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_PATCH(self):
        self.rfile.read(int(self.headers["content-length"]))
        asked.append(self.path)
        status, headers = self.server.answer
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(REFUSAL))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(REFUSAL)


edge = ThreadingHTTPServer(("127.0.0.1", 0), Edge)
threading.Thread(target=edge.serve_forever, daemon=True).start()
for name, answer in ANSWERS.items():
    for options in ({}, {"max_retries": 0}):
        asked.clear()
        edge.answer = answer
        base = f"http://127.0.0.1:{edge.server_port}"
        client = cloudflare.Cloudflare(api_token="x" * 40, base_url=base, **options)
        begun = time.monotonic()
        try:
            client.ssl.certificate_packs.edit("0" * 36, zone_id="0" * 32)
        except cloudflare.APIStatusError as fault:
            quick = "in under 20 s" if time.monotonic() - begun < 20 else "in 20 s or more"
            told = f"{len(asked)} PATCH {quick}, then {type(fault).__name__}"
            print(f"{name} {options or 'as it comes'}: {told}")
END
)
expected="500 as it comes: 3 PATCH in under 20 s, then InternalServerError
500 {'max_retries': 0}: 1 PATCH in under 20 s, then InternalServerError
429, Retry-After: 120 as it comes: 3 PATCH in under 20 s, then RateLimitError
429, Retry-After: 120 {'max_retries': 0}: 1 PATCH in under 20 s, then RateLimitError"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
