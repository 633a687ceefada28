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
    yield from _of_one_user(config)
    for zone in config.zones:
        if any(isinstance(pack, str) for pack in zone.named_packs()):
            yield f"zone {zone.label}: {_IDS_DO_NOT_LAST}"


def _of_one_user(config: Config) -> Iterator[str]:
    """Accounts that are certainly of one user: Cloudflare counts the requests of all its credentials together."""
    users: dict[str, list[str]] = {}
    for name, account in config.accounts.items():
        if account.api_email is not None:
            users.setdefault(account.api_email.lower(), []).append(name)
        elif account.api_token is not None and not account.api_token.unread:
            users.setdefault(account.api_token.get_secret_value(), []).append(name)
    for names in users.values():
        if len(names) > 1:
            share = 100 * sum(config.accounts[name].rate_limit.share for name in names)
            yield (
                f"accounts {', '.join(names[:-1])} and {names[-1]} are of one user, whose allowance is one: together"
                f" they may take {share:.0f} % of it (rate_limit.share)"
            )
