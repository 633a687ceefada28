"""The watchdog's process over a simulated Cloudflare, started by each test as often as it likes."""

import pytest

from tests.harness.fleet import Start


@pytest.fixture
def start(tmp_path):
    """``async with start({"a.example": [pack]}) as fleet``: the watchdog's process, from its start to its stop."""
    return Start(tmp_path)
