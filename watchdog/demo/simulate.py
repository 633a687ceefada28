"""``simulate``: the simulator alone, the scenario of a file or the demo's, until it is interrupted."""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from pydantic import ValidationError

from watchdog.clock import RealClock
from watchdog.config.document import DocumentError
from watchdog.config.reading import read_document
from watchdog.demo.stories import SPEED, scenario
from watchdog.model.text import counted
from watchdog.simulator.resolver import ZoneResolver
from watchdog.simulator.scenario import Scenario
from watchdog.simulator.server import serve
from watchdog.simulator.world import World

_WRONG = {"extra_forbidden": "unknown key; docs/simulator.md has those of a scenario"}
"""What is wrong, where pydantic says it in words of its own."""


class CannotSimulate(Exception):
    """The simulator cannot begin; ``str()`` says why, one line a fault."""


class CannotListen(CannotSimulate):
    """Its address is taken, or not to be had."""


async def simulate(port: int, path: Path | None) -> None:
    """Serve the scenario of a file, or the demo's; its resolver at the next port. Raises ``CannotSimulate``."""
    story = scenario(SPEED) if path is None else _read(path)
    world = World(story, RealClock())
    async with AsyncExitStack() as stack:
        used = port
        try:
            base_url = await stack.enter_async_context(serve(world, port=port))
            used = port + 1 if port else 0
            resolver = await stack.enter_async_context(ZoneResolver(world).serving(used))
        except (OSError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) else "there is no such port"
            raise CannotListen(f"--port: cannot listen on 127.0.0.1:{used}: {why}") from error
        print(f"A simulated Cloudflare answers at {base_url}")
        for token in story.tokens:
            print(f"  credential {token.name}: {token.value or f'{token.email} with key {token.key}'}")
        for zone in story.zones:
            print(f"  zone {zone.id} {zone.name}: {counted(len(zone.packs), 'pack')}")
        print("A DNS resolver that knows these zones is at {}:{}".format(*resolver.address))
        sys.stdout.flush()
        await asyncio.Event().wait()


def _read(path: Path) -> Scenario:
    try:
        document = read_document(path)
        return Scenario.model_validate(document.data)
    except DocumentError as error:
        raise CannotSimulate(str(error)) from error
    except ValidationError as error:
        said = [(fault["loc"], _WRONG.get(fault["type"], fault["msg"])) for fault in error.errors()]
        faults = [document.problem(where, what) for where, what in said]
        raise CannotSimulate("\n".join(map(str, faults))) from error
