"""What the commands teach, and what they say to those who mistype."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from watchdog.cli import app

ROOT = Path(__file__).parents[2]
COMMANDS = get_command(app).commands
HEAVY = (
    "asyncio",
    "httpx",
    "sqlalchemy",
    "pydantic",
    "apscheduler",
    "prometheus_client",
    "structlog",
    "uvicorn",
    "yaml",
)


@pytest.mark.process
def test_help_teaches_every_command(shell):
    done = shell("--help")
    assert (done.code, done.err) == (0, "")
    listed = dict(re.findall(r"(?m)^  ([a-z-]+) {2,}(\S.*)$", done.out))
    assert set(listed) >= set(COMMANDS)
    for name, command in COMMANDS.items():
        assert command.help.startswith(listed[name].rstrip(".")), name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_and_its_options(command, name):
    done, taught = command(name, "--help"), COMMANDS[name]
    assert (done.code, done.err) == (0, "")
    said = " ".join(done.out.split())
    assert taught.help.splitlines()[0] in said
    for parameter in taught.params:
        assert parameter.help.split()[0] in said, parameter.name


@pytest.mark.process
def test_help_comes_quickly_since_nothing_heavy_is_imported():
    script = f"import watchdog.cli, sys; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.process
@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_whoever_is_shown_the_commands_waits_for_nothing_heavy(arguments):
    script = f"""
import sys
sys.argv = ["certpack-watchdog", *{arguments}]
from watchdog.cli import main
try:
    main()
finally:
    print([name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_dns_library_is_loaded_by_the_first_diagnosis_and_not_before():
    script = "import watchdog.commands.one_pack, watchdog.commands.once, sys; print('dns' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    "arguments",
    [
        "frobnicate",
        "run --fast",
        "once --output xml",
        "restart",
        "simulate --port 99999",
        "simulate --port many",
        "demo --speed 1000",
        "demo --for 5",
    ],
)
def test_wrong_usage_is_told_with_exit_code_2(command, arguments):
    done = command(*arguments.split())
    assert (done.code, done.out) == (2, "")
    assert re.search(r"(?m)^Error: .+", done.err)
    assert "Traceback" not in done.err


def test_without_a_command_the_help_is_shown(command):
    done = command()
    assert done.code == 2
    assert "check-config" in done.out + done.err


def test_the_schema_is_the_one_that_is_shipped(command):
    done = command("schema")
    assert done.code == 0
    assert done.out == (ROOT / "docs" / "config.schema.json").read_text()
    assert json.loads(done.out)["required"] == ["accounts"]


def test_the_configuration_may_be_named_by_the_environment(command):
    done = command("check-config", CERTPACK_WATCHDOG_CONFIG="/nowhere/watchdog.yaml")
    assert done.failed(78) == "/nowhere/watchdog.yaml: cannot be read: No such file or directory"


def test_without_any_the_configuration_is_where_packages_put_it(command):
    if not Path("/etc/certpack-watchdog/config.yaml").exists():
        assert command("status").failed(78).startswith("/etc/certpack-watchdog/config.yaml: cannot be read")
