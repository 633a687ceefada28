"""The only speaker to Cloudflare. ``observe`` and ``act`` call it, ``house`` builds it; nobody else may."""
