"""The daemon in simulated time, and as a process of its own, as ``tests.daemon`` has them."""

from tests.daemon.conftest import machine, start

__all__ = ["machine", "start"]
