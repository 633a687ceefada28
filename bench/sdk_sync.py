"""The same job as an ordinary engineer would write it with the official SDK: one zone after the other.

BASE_URL, and on stdin one zone id per line.
"""

import sys

from cloudflare import Cloudflare

TOKEN = "bench-token-0123456789abcdef0123456789ab"  # noqa: S105  of a server that takes any

client = Cloudflare(api_token=TOKEN, base_url=sys.argv[1])
restarted = 0
for zone in sys.stdin.read().split():
    for pack in client.ssl.certificate_packs.list(zone_id=zone, status="all", per_page=50):
        if pack.type != "advanced" or pack.status != "validation_timed_out":
            continue
        now = client.ssl.certificate_packs.get(pack.id, zone_id=zone)
        if now.status == "validation_timed_out":
            client.ssl.certificate_packs.edit(pack.id, zone_id=zone)
            restarted += 1
print(restarted)
