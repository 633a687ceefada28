"""When, and by whom: a ticker that only ticks, an agenda that says whose turn it is, which account is which replica's.

Nothing here runs any work, or asks a database.
"""
