"""What is worth a warning in a configuration that is taken. One sentence each; said by ``check-config``."""

from collections.abc import Iterable, Iterator, Mapping

from watchdog.config.permissions import Exposed
from watchdog.config.schema import Config
from watchdog.model.text import clean
from watchdog.proxy import unreadable

_IDS_DO_NOT_LAST = (
    "pack ids do not last, each renewal brings a new one; a pack that was seen is followed, but name it by its hosts:"
    " packs: [{hosts: [...]}]"
)


def advice(config: Config, exposed: Iterable[Exposed], environ: Mapping[str, str]) -> Iterator[str]:
    """``exposed`` are the files that ``load`` warned of."""
    yield from map(str, exposed)
    for entry in unreadable(environ):
        yield f"the environment's NO_PROXY names no host or network with {clean(entry, 100)}, which is ignored"
    for zone in config.zones:
        if any(isinstance(pack, str) for pack in zone.named_packs()):
            yield f"zone {zone.label}: {_IDS_DO_NOT_LAST}"
