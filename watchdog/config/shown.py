"""A configuration as it holds, every default filled in, as a file that could be loaded again. Secrets are not in it.

A secret that came from a file is shown as that file. Any other is hidden behind a word, ``(hidden)``, that is valid in
its place. A zone shows of ``restart`` only what differs from the global one. Called by the command ``check-config``.
"""

from datetime import timedelta
from typing import Any

import yaml
from pydantic import BaseModel

from watchdog.config.durations import format_duration
from watchdog.config.reading import plain
from watchdog.config.schema import PER_ACCOUNT, Config, RestartPolicy, ZoneConfig
from watchdog.config.secrets import Address, Secret

HIDDEN = "(hidden)"
_HIDDEN_ADDRESS = "https://hidden.invalid/"
_HIDDEN_SERVICE = "json://hidden.invalid/"
_ADDRESSES = {"url": _HIDDEN_SERVICE} | dict.fromkeys(("webhook", "alertmanager", "heartbeat_url"), _HIDDEN_ADDRESS)
_WIDTH = 100


class _Dumper(yaml.SafeDumper):
    """Quotes what our reader would not take for text."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    # A `$` begins a variable, and what is plain to YAML 1.1 may be a number to us.
    text = text.replace("$", "$$")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain(text) == text else '"')


_Dumper.add_representer(str, _text)


def shown(config: Config) -> str:
    """The configuration as YAML."""
    data = _block(config) | {"zones": [_zone(zone, config.restart) for zone in config.zones]}
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH, default_flow_style=False)


def _zone(zone: ZoneConfig, policy: RestartPolicy) -> dict[str, Any]:
    own = _different(_block(zone.restart), _block(policy))
    own = {key: value for key, value in own.items() if key not in PER_ACCOUNT}
    return {key: value for key, value in _block(zone).items() if key != "restart"} | ({"restart": own} if own else {})


def _different(own: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for key, value in own.items():
        below = _different(value, usual[key]) if isinstance(value, dict) else value
        if value != usual[key]:
            found[key] = below
    return found


def _block(block: BaseModel) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in type(block).model_fields:
        value = getattr(block, name)
        if isinstance(value, Secret):
            file = value.file
            found |= {name: _hidden(name, value)} if file is None else {f"{name}_file": str(file.absolute())}
        elif value is not None:
            found[name] = _value(value)
    return found


def _hidden(name: str, secret: Secret) -> str:
    if isinstance(secret, Address):
        return str(secret)
    if name == "alertmanager" and not secret.unread and not set("@?") & set(secret.get_secret_value()):
        return secret.get_secret_value()  # an address, and no secret
    return _ADDRESSES.get(name, HIDDEN)


def _value(value: Any) -> Any:
    match value:
        case BaseModel():
            return _block(value)
        case timedelta():
            return format_duration(value)
        case dict():
            return {key: _value(below) for key, below in value.items()}
        case tuple():
            return [_value(below) for below in value]
        case _:
            return value
