"""The only speaker to Cloudflare. ``observe`` and ``act`` call it, ``app`` builds it; nobody else may."""
