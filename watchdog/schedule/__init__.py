"""When: a ticker that only rings, and an agenda that says whose turn it is. Neither runs any work."""
