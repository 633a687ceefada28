"""A little Cloudflare that ages, times out, accepts restarts, rate-limits and fails; for the demo and the tests.

``scenario`` says what there is and how it will go, ``world`` lives it against a clock, ``app`` speaks HTTP about it and
``server`` puts that on a socket. It knows the real contract and nothing of the daemon that is tried on it.
"""
