"""Makes what is made from the code or from another file: ``make generated``, or ``python -m tools.generate``.

``GENERATED`` maps each file to the function that gives its text. A test holds the files against it.
"""

import json
import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from textwrap import indent
from typing import Any, Final

from typer.main import get_command

from tools.statements import statements
from watchdog.cli import app
from watchdog.config.load import json_schema
from watchdog.version import VERSION

ROOT = Path(__file__).parents[1]
RULES = "deploy/prometheus/certpack-watchdog.rules.yml"
COMMAND = "python -m tools.generate"


def editors_schema() -> str:
    """The JSON Schema of the configuration, for editors."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def prometheus_rule() -> str:
    """The rules as the Prometheus operator takes them: one object, with the groups and their comments as they are."""
    rules = (ROOT / RULES).read_text()
    return (
        f"# Made from {RULES} by `make generated`; change that file.\n"
        "apiVersion: monitoring.coreos.com/v1\n"
        "kind: PrometheusRule\n"
        "metadata:\n"
        "  name: certpack-watchdog\n"
        "spec:\n"
    ) + indent(rules[rules.index("groups:\n") :], "  ")


def man_page() -> str:
    """The manual page in roff's man macros: the help of every command, and the exit codes as the README has them."""
    program: Any = get_command(app)
    readme = (ROOT / "README.md").read_text()
    told = re.search(r"(?s)Exit codes: (.+?)\.\n\n", readme)
    if told is None:
        raise ValueError("README.md tells no exit codes")
    codes = [each.split(" ", 1) for each in " ".join(told[1].split()).split(" · ")]
    lines = [
        f'.\\" Made from the help by `make generated`.\n.TH CERTPACK-WATCHDOG 1 "" "certpack-watchdog {VERSION}"',
        ".SH NAME\ncertpack-watchdog \\- restarts timed-out validations of Cloudflare certificate packs",
        ".SH SYNOPSIS\n.B certpack-watchdog\n.I COMMAND\n.RI [ OPTIONS ]",
        f".SH DESCRIPTION\n{_roff(program.help)}\n.PP\n{_roff(program.epilog)}",
        ".SH OPTIONS",
        *_options(program),
        ".SH COMMANDS",
        *(line for name, command in _commands(program) for line in _section(name, command)),
        ".SH EXIT STATUS",
        *(f".TP\n.B {code}\n{_roff(meaning)}." for code, meaning in codes),
        ".SH SIGNALS\n.TP\n.B SIGHUP\n.B run\nreads its configuration again, whole or not at all.",
        '.TP\n.BR SIGTERM ", " SIGINT\n.B run\nends. What was sent is settled first, which may take 20 s.',
        ".SH FILES\n.TP\n.I /etc/certpack\\-watchdog/config.yaml\nThe configuration.",
        "An example with every key is among what\n.B certpack\\-watchdog files\nlays out, as is the documentation.",
        ".TP\n.I /var/lib/certpack\\-watchdog/state.db\nThe state, where the configuration names no other.",
    ]
    return "\n".join(lines) + "\n"


def _commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


def _section(name: str, command: Any) -> Iterator[str]:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    usage = [_placeholder(each) if each.required else f"[{_placeholder(each)}]" for each in arguments]
    yield f".SS certpack\\-watchdog {_roff(' '.join([name, *usage, '[OPTIONS]']))}"
    yield _roff(command.help)
    for argument in arguments:
        yield f".TP\n.I {_roff(_placeholder(argument))}\n{_roff(argument.help or '')}"
    yield from _options(command)


def _options(command: Any) -> Iterator[str]:
    for option in command.params:
        if option.param_type_name != "option" or option.hidden:
            continue
        names = ", ".join([*option.opts, *option.secondary_opts])
        value = "" if option.is_flag else f" {_placeholder(option)}"
        known = [f"default: {option.default}"] if option.default not in (None, "", False) and value else []
        known += [f"environment: {option.envvar}"] if option.envvar else []
        said = f"{option.help or ''} ({'; '.join(known)})" if known else option.help or ""
        yield f".TP\n.B {_roff(names + value)}\n{_roff(said)}"


def _placeholder(parameter: Any) -> str:
    if isinstance(parameter.default, StrEnum):
        return "|".join(type(parameter.default))
    return str(parameter.metavar or parameter.opts[0].lstrip("-")).upper()


def _roff(text: str) -> str:
    """Running text: one paragraph's lines joined, and what roff would take for its own made harmless."""
    text = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-").replace("`", "")
    return f"\\&{text}" if text.startswith((".", "'")) else text


GENERATED: Final[dict[str, Callable[[], str]]] = {
    "docs/certpack-watchdog.1": man_page,
    "docs/config.schema.json": editors_schema,
    "deploy/kubernetes/prometheus-operator/prometheusrule.yaml": prometheus_rule,
    "watchdog/state/statements.json": statements,
}

if __name__ == "__main__":
    for place, text in GENERATED.items():
        (ROOT / place).write_text(text())
