"""``demo`` and ``simulate``: the real daemon, and the simulator it is shown against. Nothing leaves loopback.

The demo's fleet is a dozen zones, each with a story; its clocks run so fast that the stories end within a minute.
"""

import asyncio
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from watchdog.clock import RealClock
from watchdog.config.document import DocumentError, read_document
from watchdog.config.durations import parse_duration
from watchdog.config.load import load
from watchdog.daemon import Daemon, new_metrics
from watchdog.runtime import inventory, open_runtime
from watchdog.simulator.scenario import Scenario, zone_id
from watchdog.simulator.server import serve
from watchdog.simulator.world import World
from watchdog.state.store import Store
from watchdog.tell.status import Overview, View, lines

STORY = timedelta(seconds=40)
"""How long the stories take at speed 1."""

TOKEN = "demo-token-of-the-simulator"  # noqa: S105  opens nothing but the simulator
REVOKED = "demo-token-that-was-revoked"

_TIMED_OUT = "validation_timed_out"
_CAA = "CAA records block issuance for this domain"
_STAGES = {
    "initializing": "1s",
    "pending_validation": "3s",
    "timing_out": "3s",
    "pending_issuance": "1s",
    "pending_deployment": "1s",
}


_EFFECT = {"takes_effect": True}


def _pack(*outcomes: str, status: str = _TIMED_OUT, errors: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    story: dict[str, Any] = {"outcomes": outcomes or ("succeeds",), "stages": _STAGES}
    if errors:
        story["errors"] = errors
    if "deleted_after" in more:
        story["deleted_after"] = more.pop("deleted_after")
    return {"status": status, "story": story, **more}


STORIES: Mapping[str, tuple[str, list[dict[str, Any]]]] = {
    "healthy.example": ("all is well; never mentioned", [_pack(status="active"), _pack(status="active")]),
    "recovers.example": ("timed out once; one restart mends it", [_pack("succeeds")]),
    "second-try.example": ("the first restart times out too, the second succeeds", [_pack("times_out", "succeeds")]),
    "gives-up.example": ("CAA forbids the authority: restarts until given up", [_pack("times_out", errors=(_CAA,))]),
    "renewing.example": (
        "a renewal that failed; the old certificate still serves",
        [_pack("succeeds", expires_in="12d")],
    ),
    "stuck.example": ("timed out in another stage, which no restart can mend", [_pack(status="deployment_timed_out")]),
    "deleted.example": ("somebody deletes the pack while it is being tried", [_pack("times_out", deleted_after="10s")]),
    "universal.example": ("timed out, but not an advanced pack", [_pack(type="universal")]),
    "hands-off.example": ("restarts are disabled for this zone", [_pack()]),
    "novel.example": ("a status that nobody knows", [_pack(status="quantum_entangled")]),
    "flaky.example": (
        "every third answer is an HTML page, that to the restart too, though it took effect",
        [_pack("succeeds")],
    ),
    "slow.example": ("every answer takes two seconds; nobody else waits for it", [_pack("succeeds")]),
    "partner.example": ("a credential that was revoked", [_pack("succeeds")]),
}
"""The zones of the demo: what each shows, and its packs."""


def scenario(speed: float = 1.0) -> Scenario:
    """The simulator's side of the demo."""
    return Scenario.model_validate(
        {
            "speed": speed,
            "tokens": [
                {"name": "main", "value": TOKEN},
                {"name": "partner", "value": REVOKED, "revoked": True},
            ],
            "zones": [{"name": name, "packs": packs} for name, (_, packs) in STORIES.items()],
            "faults": [
                {"kind": "html_error", "status": 502, "zone": "flaky.example", "method": "PATCH", "nth": 1, **_EFFECT},
                {"kind": "html_error", "status": 502, "zone": "flaky.example", "every": 3},
                {"kind": "slow", "zone": "slow.example", "delay": "2s"},
            ],
        }
    )


def configuration(base_url: str, folder: Path, listen: str, speed: float) -> str:
    """The daemon's side: an ordinary configuration, with every duration made short."""

    def seconds(amount: float) -> str:
        return f"{amount / speed:.3f}s"

    zones = "\n".join(
        f"  - {{name: {name}, id: {zone_id(name)!r}, account: {'partner' if name.startswith('partner') else 'main'}"
        + (", restart: {enabled: false}}" if name.startswith("hands-off") else "}")
        for name in STORIES
    )
    return f"""
accounts:
  main: {{api_token: {TOKEN}}}
  partner: {{api_token: {REVOKED}}}
zones:
{zones}
schedule: {{interval: {seconds(6)}, attention_interval: {seconds(1)}}}
restart:
  backoff: {{initial: {seconds(4)}, factor: 2.0, max: {seconds(60)}, jitter: 0.1}}
  max_attempts: 3
web: {{listen: "{listen}"}}
state: {{url: "sqlite:///{folder}/state.db"}}
log: {{format: console}}
diagnosis: {{enabled: false}}  # nothing leaves this machine
api: {{base_url: "{base_url}", timeout: 5s}}
"""


async def show(speed: float, duration: str, port: int) -> None:
    """Run the daemon against the simulator until the stories have ended (or for ``duration``), then sum up."""
    length = parse_duration(duration) if duration else STORY / speed
    listen = f"127.0.0.1:{_free(port)}"
    world = World(scenario(speed), RealClock())
    with tempfile.TemporaryDirectory(prefix="certpack-watchdog-demo-") as name:
        path = Path(name) / "config.yaml"
        async with serve(world) as base_url:
            path.write_text(configuration(base_url, Path(name), listen, speed), encoding="utf-8")
            config = load(path, {})
            _introduce(listen, length)
            store = Store.open(config.state.url.get_secret_value(), exclusive=True)
            try:
                metrics = new_metrics()
                async with open_runtime(config, store, metrics=metrics) as runtime:
                    daemon = Daemon(runtime, metrics, path, os.environ)
                    asyncio.get_running_loop().call_later(length.total_seconds(), daemon.ask_to_stop)
                    await daemon.run()
                    found = inventory(runtime.components)
            finally:
                store.close()
    print(f"\nAfter the demo; {len(world.restarts)} restarts were accepted by the simulator.\n")
    for line in lines(Overview.of(found), View(width=shutil.get_terminal_size().columns)):
        print(line)


class CannotSimulate(Exception):
    """The simulator cannot begin; ``str()`` says why, one line a fault."""


async def simulate(port: int, path: Path | None) -> None:
    """Serve the simulator until interrupted: the scenario of a file, or the demo's. Raises ``CannotSimulate``."""
    story = scenario() if path is None else _read(path)
    async with AsyncExitStack() as stack:
        try:
            base_url = await stack.enter_async_context(serve(World(story, RealClock()), port=port))
        except OSError as error:
            raise CannotSimulate(f"--port: cannot listen on 127.0.0.1:{port}: {error.strerror}") from error
        print(f"A simulated Cloudflare answers at {base_url}")
        for token in story.tokens:
            print(f"  credential {token.name}: {token.value or f'{token.email} with key {token.key}'}")
        for zone in story.zones:
            print(f"  zone {zone.id} {zone.name}: {len(zone.packs)} packs")
        sys.stdout.flush()
        await asyncio.Event().wait()


def _read(path: Path) -> Scenario:
    try:
        document = read_document(path)
        return Scenario.model_validate(document.data)
    except DocumentError as error:
        raise CannotSimulate(str(error)) from error
    except ValidationError as error:
        faults = [document.problem(detail["loc"], detail["msg"]) for detail in error.errors()]
        raise CannotSimulate("\n".join(map(str, faults))) from error


def _introduce(listen: str, length: timedelta) -> None:
    print("A daemon watches a simulated Cloudflare. Nothing leaves this machine. The zones and their stories:\n")
    for name, (story, _) in STORIES.items():
        print(f"  {name:20} {story}")
    print(f"\nWhile it runs ({length.total_seconds():.0f} s, or until Ctrl-C) look at")
    for page in ("metrics", "healthz", "readyz", "api/v1/packs", "api/v1/alerts"):
        print(f"  http://{listen}/{page}")
    print(flush=True)


def _free(port: int) -> int:
    """``port``, or another where somebody has it."""
    for wanted in (port, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            taken: int = probe.getsockname()[1]
            return taken
    return port
