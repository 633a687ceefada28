"""The official Python SDK's own tests of packs, verification, zones, tokens and DCV pass against the simulator.

They come from the SDK's source archive, of the locked version, and run unmodified. Left out are the calls that are not
simulated: making tokens and rolling their values (the SDK skips nearly all of its tests of those itself), and what
belongs to a zone other than its packs.
"""

import os
import socket
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

SUITE = (
    "ssl/test_certificate_packs.py",
    "ssl/certificate_packs",
    "ssl/test_verification.py",
    "test_zones.py",
    "test_dcv_delegation.py",
    "user/test_tokens.py",
    "accounts/test_tokens.py",
)
PLUGINS = "pytest-asyncio==1.5.0"
"""What the suite's own ``conftest.py`` needs besides pytest."""


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the SDK's source archive cannot be had here: {done.stderr.strip().splitlines()[-1:]}")


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """The SDK's source, unpacked, and beside it what its tests need."""
    folder = tmp_path_factory.mktemp("sdk")
    name = f"cloudflare=={version('cloudflare')}"
    pip("download", "--no-deps", "--no-binary", ":all:", "--dest", str(folder), name)
    pip("install", "--no-deps", "--target", str(folder / "plugins"), PLUGINS)
    with tarfile.open(next(folder.glob("cloudflare-*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.glob("cloudflare-*/"))


def test_the_sdks_own_suite_passes_unmodified(suite):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    here = Path(__file__)
    path = os.pathsep.join([str(suite.parent / "plugins"), str(here.parent), str(here.parents[2])])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "sdk_world", "-q", "-rfEs", "-p", "no:cacheprovider", "-o", "addopts="]
        + [f"tests/api_resources/{each}" for each in SUITE],
        cwd=suite,
        env=os.environ | {"TEST_API_BASE_URL": f"http://127.0.0.1:{port}/client/v4", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout.splitlines()[-1]
