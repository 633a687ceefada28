"""The exit codes of the commands, which programs read. Beside 0 they are those of sysexits.h, and the shell's 1 and 2.

0 fine, 1 something needs a person, 2 wrong usage, 69 Cloudflare cannot be reached or refuses the credentials, 74 the
machine refuses: the state (or the report) cannot be opened or written, the address is taken, no file descriptor is
left; 75 another instance holds the state, 78 the configuration is wrong, or a newer version wrote the state.
"""

NEEDS_A_PERSON, USAGE, UNAVAILABLE, IO_ERROR, STATE_HELD, CONFIG_ERROR = 1, 2, 69, 74, 75, 78
