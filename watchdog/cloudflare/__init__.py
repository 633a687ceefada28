"""The only speaker to Cloudflare. ``observe`` and ``act`` call it, ``runtime`` builds it; nobody else may."""
