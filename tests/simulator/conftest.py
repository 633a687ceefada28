"""A scenario, asked in process or on a socket, with a clock that moves by hand."""

from typing import Any

import pytest

from tests.harness.cloudflare_client import Simulated, in_a_thread
from tests.harness.time import ManualClock


@pytest.fixture
def clock() -> Any:
    return ManualClock()


@pytest.fixture
def simulate(clock: Any) -> Any:
    """``simulate(scenario)``: a scenario, asked in process."""
    return lambda scenario: Simulated(scenario, clock)


@pytest.fixture
def one_pack(simulate: Any) -> Any:
    """``one_pack(pack, **scenario)``: a single zone with a single pack, timed out unless it says otherwise."""

    def build(pack: Any = None, **scenario: Any) -> Any:
        zone = {"name": "example.com", "packs": [{"status": "validation_timed_out"} | (pack or {})]}
        return simulate({"zones": [zone | scenario.pop("zone", {})]} | scenario)

    return build


@pytest.fixture
def on_a_socket() -> Any:
    """``with on_a_socket(world) as base_url``: served by uvicorn in another thread."""
    return in_a_thread
