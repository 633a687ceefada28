"""The same job as an ordinary engineer would write it with the official SDK's async client: sixteen zones at once.

BASE_URL, and on stdin one zone id per line.
"""

import asyncio
import sys

from cloudflare import AsyncCloudflare

TOKEN = "bench-token-0123456789abcdef0123456789ab"  # noqa: S105  of a server that takes any


async def main() -> None:
    client = AsyncCloudflare(api_token=TOKEN, base_url=sys.argv[1])
    gate = asyncio.Semaphore(16)
    restarted = 0

    async def sweep(zone: str) -> None:
        nonlocal restarted
        async with gate:
            async for pack in client.ssl.certificate_packs.list(zone_id=zone, status="all", per_page=50):
                if pack.type != "advanced" or pack.status != "validation_timed_out":
                    continue
                now = await client.ssl.certificate_packs.get(pack.id, zone_id=zone)
                if now.status == "validation_timed_out":
                    await client.ssl.certificate_packs.edit(pack.id, zone_id=zone)
                    restarted += 1

    await asyncio.gather(*(sweep(zone) for zone in sys.stdin.read().split()))
    await client.close()
    print(restarted)


asyncio.run(main())
