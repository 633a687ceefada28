"""The API of a live daemon against its own document, by tools that know OpenAPI and nothing of us."""

import json
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.harness.servers import eventually

TOOLS = Path(__file__).parents[2] / ".venv" / "contract" / "bin"


def tool(name):
    """The tool, or a skip that says how it is had."""
    found = shutil.which(name, path=str(TOOLS)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} not installed (`make test-real` brings it; requirements/contract.txt)")
    return found


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """The address of a daemon that watches the demo's fleet, and has seen it once."""
    told = tmp_path_factory.mktemp("demo") / "log"
    command = [sys.executable, "-m", "watchdog", "demo", "--for", "5m", "--port", "0"]

    def ready():
        """The address, once it answers."""
        assert demo.poll() is None, told.read_text()
        found = re.search(r"http://127\.0\.0\.1:\d+(?=/metrics)", told.read_text())
        with suppress(httpx.TransportError):
            return found and httpx.get(f"{found[0]}/readyz", trust_env=False).is_success and found[0]
        return None

    with told.open("w") as log, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as demo:
        try:
            yield eventually(ready)
        finally:
            demo.terminate()


@pytest.mark.real
def test_the_document_is_valid_openapi(live, tmp_path):
    validator, path = tool("openapi-spec-validator"), tmp_path / "openapi.json"
    path.write_text(json.dumps(httpx.get(f"{live}/api/v1/openapi.json", trust_env=False).json()))
    done = subprocess.run([validator, str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.real
def test_a_live_daemon_answers_whatever_is_asked_as_its_document_says(live, tmp_path):
    """Names of accounts and zones, and places to go on from, may be of the right shape and still be refused."""
    options = ["--exclude-checks", "positive_data_acceptance", "--max-examples", "50", "--seed", "1"]
    command = [tool("schemathesis"), "run", f"{live}/api/v1/openapi.json", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
