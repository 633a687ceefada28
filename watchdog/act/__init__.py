"""Changes at Cloudflare: one kind, the restart of a validation. The intent is on disk before the PATCH leaves."""
