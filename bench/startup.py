"""What the commands cost before they do anything: CPU and memory of whole processes, medians."""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from measure import OURS, run, write_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        small = write_config(Path(folder), "http://127.0.0.1:9", 5, "{requests: 1200, per: 5m}")
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "certpack-watchdog --help": [*OURS, "--help"],
            "certpack-watchdog check-config": [*OURS, "check-config", "--config", str(small)],
        }
        print("| | CPU ms | wall ms | RSS MB |\n|---|--:|--:|--:|")
        for name, command in commands.items():
            run(command)  # the first run may still write bytecode
            costs = [run(command) for _ in range(rounds)]
            cpu, wall, rss = (
                statistics.median(getattr(cost, field) for cost in costs) for field in ("cpu", "wall", "rss")
            )
            print(f"| {name} | {cpu * 1000:.0f} | {wall * 1000:.0f} | {rss:.0f} |")


if __name__ == "__main__":
    main()
