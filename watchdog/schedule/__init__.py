"""When: a ticker that only ticks, and an agenda that says whose turn it is. Nothing here runs any work."""
