"""The page for people: HTML made here, from values; nothing of it needs a script."""
