"""The commands that need no account: ``demo``, ``simulate``."""

from pathlib import Path
from typing import Annotated

import typer

from watchdog.cli.exits import failing
from watchdog.cli.options import a_duration
from watchdog.cli.process import in_loop
from watchdog.model.exit_codes import CONFIG_ERROR, IO_ERROR


def demo(
    speed: Annotated[float, typer.Option(help="How many times faster than the usual demo.", min=0.1, max=10)] = 1.0,
    duration: Annotated[
        str | None,
        typer.Option("--for", help="How long, such as 45s; by default until the story ends.", callback=a_duration),
    ] = None,
    port: Annotated[int, typer.Option(help="Port of the daemon's own pages; 0: any.", min=0, max=65535)] = 9909,
    verbose: Annotated[bool, typer.Option("--verbose", help="The daemon's log lines as well.")] = False,
) -> None:
    """Show the daemon at work against the built-in simulator. No account needed."""
    from watchdog.demo.show import show

    in_loop(show(speed=speed, duration=duration, port=port, verbose=verbose))


def simulate(
    port: Annotated[int, typer.Option(help="Port on loopback; 0: any.", min=0, max=65535)] = 8787,
    scenario: Annotated[Path | None, typer.Option(help="A scenario file; by default the demo's.")] = None,
) -> None:
    """Run the simulator alone: a little Cloudflare on loopback, speaking its API."""
    from watchdog.demo.simulate import CannotListen, CannotSimulate
    from watchdog.demo.simulate import simulate as serve

    with failing(CONFIG_ERROR, CannotSimulate), failing(IO_ERROR, CannotListen):
        in_loop(serve(port, scenario))
