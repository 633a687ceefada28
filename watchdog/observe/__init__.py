"""What is there: zones and packs, read from Cloudflare. Reads only; never decides, never changes anything."""
