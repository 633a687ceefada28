"""``demo`` and ``simulate``: the real daemon, and the simulator it is shown against. Nothing leaves loopback."""
