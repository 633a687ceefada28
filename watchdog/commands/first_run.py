"""What ``init`` does: looks what a token sees, and writes a configuration for it. It asks nobody and prints nothing.

Called by ``init``, which speaks with the person. The look is a pass of the daemon's own that changes nothing and whose
memory is thrown away, so what is said of a pack here is what ``status`` will say. Nothing is written before all of it
is known to work, and nothing is overwritten unless that is wanted.
"""

import errno
import json
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

import msgspec

from watchdog.cloudflare.credential import GLOBAL_KEY
from watchdog.commands.check_online import OnlineCheck, check_token
from watchdog.commands.once import OncePassed, one_pass
from watchdog.config.load import ConfigError, load
from watchdog.config.reading import plain
from watchdog.config.schema import Config, Log
from watchdog.config.secrets import header_safe
from watchdog.model.exit_codes import CONFIG_ERROR, IO_ERROR, NEEDS_A_PERSON, UNAVAILABLE, USAGE
from watchdog.model.history import ZoneMemory
from watchdog.model.meanings import meaning
from watchdog.model.report import Inventory
from watchdog.runtime import Runtime
from watchdog.state.store import Store
from watchdog.telemetry import Waits

USUAL_API = "https://api.cloudflare.com/client/v4"
INSTALLED = Path("/etc/certpack-watchdog")
"""Where an installation has its configuration. The unit shows ``token`` there to the daemon, by ``LoadCredential``."""

_USUAL_STATE = Path("/var/lib/certpack-watchdog")
_BARE = re.compile(r"[A-Za-z0-9/_.][A-Za-z0-9/_.:-]*")
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})


class CannotBegin(Exception):
    """Nothing was written; ``str()`` says why, ``code`` is the exit code for it."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a token sees. ``token`` is a sentence; ``zones`` are those that can be watched."""

    token: str
    zones: Sequence[ZoneMemory]
    inventory: Inventory


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written. ``zones`` are those to watch; none stands for every zone there is and will be."""

    token_file: Path
    zones: Sequence[ZoneMemory] = ()
    base_url: str = USUAL_API
    seen: int = 0
    output: Path = INSTALLED / "config.yaml"


def checked(token: str) -> str:
    """A token as somebody has given it, without the white space around it. Raises ``CannotBegin``."""
    try:
        token = header_safe(token.strip())
    except ValueError as error:
        raise CannotBegin(f"the token {error}: give the API token alone", USAGE) from None
    if token.startswith(GLOBAL_KEY):
        text = f"this is a global API key (it begins with {GLOBAL_KEY}): make an API token, which can do less"
        raise CannotBegin(text, USAGE)
    return token


async def look(token: str, base_url: str, names: Sequence[str], watch: Callable[[], None], waits: Waits) -> Found:
    """What the token sees: the zones of these names, or all. ``watch`` is called after each. Raises ``CannotBegin``."""
    config = Config.model_validate(
        {
            "accounts": {"main": {"api_token": token} | ({} if names else {"discover": {}})},
            "zones": [{"name": name, "account": "main"} for name in names],
            "diagnosis": {"enabled": False},
            "api": {"base_url": base_url},
        }
    )
    # No file may ask for it: what goes wrong here is said to the person, and not in a log as well.
    config = config.model_copy(update={"log": Log.model_construct(level="critical", format="json")})
    checks: list[OnlineCheck] = []

    async def verify(runtime: Runtime) -> None:
        client = runtime.components.clients["main"]
        works = any(not zone.error for zone in runtime.components.memory.zones.values())
        checks.append(await check_token(client, runtime.components.clock.now(), works=works))

    with closing(Store.in_memory()) as store:
        passed = await one_pass(config, store, dry_run=True, watch=watch, waits=waits, then=verify)
    [check] = checks
    _judge(check, passed, names)
    zones = [zone for zone in passed.inventory.zones if zone.id]
    return Found(token=check.what, zones=sorted(zones, key=lambda zone: zone.label), inventory=passed.inventory)


def _judge(check: OnlineCheck, passed: OncePassed, names: Sequence[str]) -> None:
    zones = passed.inventory.zones
    if check.error:
        raise CannotBegin(f"the token cannot be used: {check.error}", UNAVAILABLE)
    if not zones:
        text = "the token sees no zone: give it Zone / Zone / Read for the zones that are to be watched"
        raise CannotBegin(text, NEEDS_A_PERSON)
    failed = [zone for zone in zones if zone.error]
    if failed and (names or len(failed) == len(zones)):
        first = failed[: None if names else 1]
        text = "\n".join(f"zone {zone.label}: {zone.error}" if zone.id or names else zone.error for zone in first)
        unreachable = all(meaning(zone.reason).unreachable for zone in failed)
        raise CannotBegin(text, UNAVAILABLE if unreachable else NEEDS_A_PERSON)


def configuration(wanted: Wanted, now: datetime) -> str:
    """The file, with comments."""
    return f"""\
# certpack-watchdog: what is watched, and with which token. Written by `certpack-watchdog init` on {now:%Y-%m-%d}.
#
# What is left out has its default: `certpack-watchdog check-config --show` prints what holds, and config.example.yaml
# says what each key is for (`certpack-watchdog files DIR` lays it out). A changed file is noticed within a minute; try
# it before: certpack-watchdog check-config

accounts:
  main:
    # A file of its own, which others cannot read.
    api_token_file: {_place_of_token(wanted.token_file)}
{_discovery(wanted)}{_zones(wanted)}
# Timed-out validations are restarted: at once, then after 15m, 30m, 1h, ... With `enabled: false` all is only watched.
restart:
  enabled: true

# Whom to tell when a person is needed. Until somebody is named here, only `status`, the page and the metrics say so.
# Try it: certpack-watchdog test-alert
alerts:
  destinations: []
  #  - {{name: ops, url_file: {wanted.token_file.absolute().parent}/slack-url}}    # Slack, Teams, mail, ...
  #  - {{name: am, alertmanager: "http://127.0.0.1:9093"}}

# What it remembers: attempts, waits and what was told. Keep it on a disk that stays.
state:
  url: {_text(f"sqlite:///{_state_beside(wanted.output) / 'state.db'}")}
{_api(wanted)}"""


def write(wanted: Wanted, token: str | None, now: datetime, *, replace: bool) -> None:
    """Write the configuration, and the ``token`` where it was not in its file. Raises ``CannotBegin``.

    Unless it is to ``replace`` one, a file that is there already stays as it is.
    """
    if token is not None:
        _put(wanted.token_file, f"{token}\n", 0o600, replace=False)
    try:
        _put(wanted.output, configuration(wanted, now), 0o644, replace=replace, judge=_judged)
    except CannotBegin:
        if token is not None:
            wanted.token_file.unlink(missing_ok=True)
        raise


def _judged(path: Path) -> None:
    try:
        load(path, os.environ)
    except ConfigError as error:
        raise CannotBegin(f"what would have been written is refused: {error}", CONFIG_ERROR) from None


def _put(
    path: Path, text: str, mode: int, *, replace: bool, judge: Callable[[Path], None] = lambda _path: None
) -> None:
    """A whole file or none: it is made beside its place, ``judge`` may refuse it, and then it is put there at once."""
    path = Path(os.path.realpath(path))
    made: Path | None = None
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        made = Path(name)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        judge(made)
        _place(made, path, replace=replace)
    except FileExistsError:
        raise CannotBegin(f"{path} is there already, and was left as it is", IO_ERROR) from None
    except OSError as error:
        raise CannotBegin(f"{path} cannot be written: {error.strerror}", IO_ERROR) from None
    finally:
        if made is not None:
            made.unlink(missing_ok=True)


def _place(made: Path, path: Path, *, replace: bool) -> None:
    if replace:
        made.replace(path)
        return
    try:
        path.hardlink_to(made)  # where somebody was faster, this fails
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):
            raise FileExistsError from None
        made.replace(path)


def _place_of_token(path: Path) -> str:
    path = path.absolute()
    if path == INSTALLED / "token":  # the same file by hand and under systemd, which shows the daemon a copy
        return f"${{CREDENTIALS_DIRECTORY:-{INSTALLED}}}/token"
    return _text(str(path))


def _discovery(wanted: Wanted) -> str:
    if wanted.zones:
        return ""
    return f"""
    # Every zone that the token sees, also those that come later; it saw {wanted.seen} when this was written.
    discover:
      include: ["*"]
      exclude: []           # such as ["*.test"]
"""


def _zones(wanted: Wanted) -> str:
    if not wanted.zones:
        return ""
    listed = "".join(f'  - name: {_text(zone.label)}\n    id: "{zone.id}"\n' for zone in wanted.zones)
    return f"\n# The zones to watch, with all their packs.\nzones:\n{listed}"


def _api(wanted: Wanted) -> str:
    return "" if wanted.base_url == USUAL_API else f"\napi:\n  base_url: {_text(wanted.base_url)}\n"


def _state_beside(output: Path) -> Path:
    """An installation has a folder for it; who tries it out elsewhere has it beside the configuration."""
    folder = output.absolute().parent
    return _USUAL_STATE if folder == INSTALLED else folder


def _text(text: str) -> str:
    """A text as it stands in the file, quoted where it would be taken for something else."""
    bare = _BARE.fullmatch(text) and plain(text) == text
    return text if bare else json.dumps(text, ensure_ascii=False).replace("$", "$$")
