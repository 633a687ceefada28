"""The daemon in simulated time, and as a process of its own, as ``tests/app`` has them."""

from tests.app.conftest import machine, start

__all__ = ["machine", "start"]
