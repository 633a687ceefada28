"""``python -m watchdog`` is ``certpack-watchdog``."""

from watchdog.cli import main

if __name__ == "__main__":
    main()
