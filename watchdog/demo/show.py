"""The demo: the daemon as ``run`` starts it, but for its clock; beside it a Cloudflare, a resolver and a chat."""

import asyncio
import os
import socket
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

from watchdog.clock import FastClock
from watchdog.config.durations import parse_duration
from watchdog.config.load import load
from watchdog.daemon import Daemon, new_metrics
from watchdog.demo.narrator import WIDTH, Narrator
from watchdog.demo.stories import SPEED, STORIES, configuration, scenario
from watchdog.model.clock import span
from watchdog.model.text import counted
from watchdog.runtime import open_runtime
from watchdog.schedule.ticker import Ticker
from watchdog.simulator.chat import Chat
from watchdog.simulator.resolver import ZoneResolver
from watchdog.simulator.server import serve
from watchdog.simulator.world import World
from watchdog.state.store import Store
from watchdog.tell import logs, terminal
from watchdog.tell.overview import Overview
from watchdog.tell.status import View, lines
from watchdog.tell.wrapping import wrapped

LONGEST = timedelta(minutes=3)
"""After which the demo ends at speed 1, whatever story has not."""


async def show(*, speed: float, duration: str | None, port: int, verbose: bool) -> None:
    """Run the daemon until the stories have ended (or for ``duration``), telling them, then sum up."""
    clock = FastClock(SPEED * speed)
    length = parse_duration(duration) if duration else LONGEST / speed
    listen = f"127.0.0.1:{_free(port)}"
    world = World(scenario(), clock)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="certpack-watchdog-demo-")))
        base_url = await stack.enter_async_context(serve(world))
        resolver = await stack.enter_async_context(ZoneResolver(world).serving())
        chat = Chat()
        chat_url = await stack.enter_async_context(chat.serving())
        path, server = folder / "config.yaml", "{}:{}".format(*resolver.address)
        path.write_text(configuration(base_url, folder, listen, server, chat_url), encoding="utf-8")
        config = load(path, {})
        store = Store.open(config.state.url.get_secret_value(), exclusive=True)
        stack.callback(store.close)
        metrics = new_metrics()
        runtime = await stack.enter_async_context(open_runtime(config, store, metrics=metrics, clock=clock))
        daemon = Daemon(runtime, metrics, path, os.environ, ticker=lambda *its: _FastTicker(clock.speed, *its))
        narrator = Narrator(_say, clock.now, ended=lambda: None if duration else daemon.ask_to_stop())
        if not verbose:
            logs.configure("critical", config.log.format, clock)
        runtime.telemetry.heard, chat.heard = narrator.happened, narrator.chatted
        _introduce(listen, length if duration else None, clock.speed)
        narrator.introduce()
        asyncio.get_running_loop().call_later(length.total_seconds(), daemon.ask_to_stop)
        await daemon.run()
        found, took = runtime.inventory(), timedelta(seconds=clock.monotonic())
    restarts, messages = counted(len(world.restarts), "restart"), counted(len(chat.texts), "message")
    _say(f"\n{span(took)} went by here. Cloudflare accepted {restarts}; the chat got {messages}.")
    _say("`certpack-watchdog status` would say now:\n")
    for line in lines(Overview.of(found), View(width=terminal.width())):
        _say(line)


class _FastTicker:
    """A ticker for a clock that runs ``speed`` times as fast."""

    def __init__(self, speed: float, period: timedelta, tick: Callable[[], None]) -> None:
        self._speed = speed
        self._ticker = Ticker(period / speed, tick)
        self.start, self.tick_now, self.stop = self._ticker.start, self._ticker.tick_now, self._ticker.stop

    def retune(self, period: timedelta) -> None:
        self._ticker.retune(period / self._speed)


def _introduce(listen: str, length: timedelta | None, speed: float) -> None:
    lasts = f"{length.total_seconds():.0f} s" if length is not None else "about a minute"
    what = "A daemon watches a simulated Cloudflare, with a DNS resolver and a chat beside it."
    how = f"The clock is quick: a second is {span(timedelta(seconds=speed))}, so that real waits pass in {lasts}."
    told = f"{len(STORIES)} zones have a story, each told once it has ended; `told` means that a person was."
    for line in (
        f"{what} Nothing leaves this machine. {how} Ctrl-C ends it. Its page, and its metrics:",
        "",
        f"http://{listen}/",
        f"http://{listen}/metrics",
        "",
        f"{told} One more zone is well, and never mentioned.",
        "",
    ):
        _say("\n".join(wrapped(line, WIDTH, "  " if line.startswith("http") else "")))


def _say(text: str) -> None:
    print(text, flush=True)


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
