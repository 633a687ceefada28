"""Which version runs; for the log, the metrics and the user agent.

It is said here and nowhere else: the package's own metadata is made from it. To ask that instead costs 6 ms of a start.
"""

VERSION = "0.1.0"
