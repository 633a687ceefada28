"""``python -m watchdog`` is ``certpack-watchdog``."""

from watchdog.cli import program

if __name__ == "__main__":
    program()
