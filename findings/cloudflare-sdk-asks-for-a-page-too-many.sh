#!/usr/bin/env bash
# Iterating over a list with Cloudflare's Python SDK costs one request more than there are pages.
#
# VERSION cloudflare 5.9.0
# GUESS   The iterator stops at result_info.total_pages, which every answer carries; at the latest
#         where total_count is reached.
# SEEN    It asks for pages until one comes empty: three requests for two pages, and two for a
#         zone whose certificate packs fit on one. Zones and packs alike.
# HERE    Reading the packs of all zones takes twice the requests of a reader that believes
#         total_pages, against a limit of 1,200 in five minutes.
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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import cloudflare

asked = []


class Edge(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        page = int(parse_qs(urlsplit(self.path).query).get("page", ["1"])[0])
        asked.append(page)
        pages = self.server.pages
        result = [{"id": f"{page}-{each}", "name": "a.example"} for each in "ab"]
        info = {"page": page, "per_page": 2, "total_pages": pages, "total_count": 2 * pages}
        body = {"success": True, "errors": [], "messages": [], "result_info": info}
        answer = json.dumps({**body, "result": result if page <= pages else []}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


edge = ThreadingHTTPServer(("127.0.0.1", 0), Edge)
threading.Thread(target=edge.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{edge.server_port}"
client = cloudflare.Cloudflare(api_token="x" * 40, base_url=base, max_retries=0)
for pages in (1, 2):
    edge.pages = pages
    for name, listing in (
        ("packs", lambda: client.ssl.certificate_packs.list(zone_id="0" * 32)),
        ("zones", lambda: client.zones.list()),
    ):
        asked.clear()
        found = sum(1 for _ in listing())
        print(f"{name} on {pages} pages: {found} found, pages asked for: {asked}")
END
)
expected="packs on 1 pages: 2 found, pages asked for: [1, 2]
zones on 1 pages: 2 found, pages asked for: [1, 2]
packs on 2 pages: 4 found, pages asked for: [1, 2, 3]
zones on 2 pages: 4 found, pages asked for: [1, 2, 3]"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
