"""Claims about the package: what the wheel holds, that it works where nothing of the checkout is, and what is made."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from tools.generate import COMMAND, GENERATED
from watchdog.commands.files import RUNBOOKS, SHIPPED, CannotLayOut, lay_out

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("place", GENERATED)
def test_what_is_made_from_something_else_is_current(place):
    current = GENERATED[place]() == (ROOT / place).read_text()
    assert current, f"{place} is not what it is made from: run `make generated` (.venv/bin/{COMMAND})"


def test_the_rules_of_the_operator_are_those_of_the_file():
    rule = yaml.safe_load((ROOT / "deploy/kubernetes/prometheus-operator/prometheusrule.yaml").read_text())
    assert rule["spec"] == yaml.safe_load((ROOT / "deploy/prometheus/certpack-watchdog.rules.yml").read_text())


@pytest.mark.real
@pytest.mark.skipif(not shutil.which("groff"), reason="groff not installed (Debian: groff-base)")
def test_groff_finds_nothing_wrong_with_the_manual_page():
    command = ["groff", "-man", "-ww", "-z", "-Tutf8", "docs/certpack-watchdog.1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# ── what is laid out ─────────────────────────────────────────────────────────────────────────────────────────────────


def below(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_are_laid_out_where_they_lie_in_the_checkout_and_as_they_are(tmp_path):
    assert lay_out(tmp_path / "new" / "folder") == len(below(tmp_path))
    found = below(tmp_path / "new" / "folder")
    assert {place.parts[0] for place in found} == set(SHIPPED)
    assert all(content == (ROOT / place).read_bytes() for place, content in found.items())


def test_an_operator_finds_the_unit_an_example_the_schema_rules_dashboard_manifests_and_runbooks(tmp_path):
    lay_out(tmp_path)
    for place in (
        "systemd/certpack-watchdog.service",
        "config.example.yaml",
        "docs/config.schema.json",
        "docs/certpack-watchdog.1",
        "docs/runbooks/gave_up.md",
        "deploy/prometheus/certpack-watchdog.rules.yml",
        "deploy/grafana/certpack-watchdog.json",
    ):
        assert (tmp_path / place).is_file()


def test_every_link_between_the_laid_out_pages_has_its_page(tmp_path):
    lay_out(tmp_path)
    for path in (tmp_path / "docs").rglob("*.md"):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
            assert (path.parent / link).resolve().exists(), f"{path.name}: {link}"


def test_nothing_is_written_where_one_of_the_files_is_there_already(tmp_path):
    (tmp_path / "systemd").mkdir()
    mine = tmp_path / "systemd" / "certpack-watchdog.service"
    mine.write_text("mine")
    with pytest.raises(CannotLayOut, match=r"certpack-watchdog\.service is there already: name another folder"):
        lay_out(tmp_path)
    assert below(tmp_path) == {mine.relative_to(tmp_path): b"mine"}


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CannotLayOut, match=r"/file is a file: name a folder, which need not be there yet$"):
        lay_out(tmp_path / "file")


def test_with_a_url_for_the_runbooks_every_rule_and_the_example_name_them_there(tmp_path):
    lay_out(tmp_path, "https://wiki.example/runbooks")
    rules = yaml.safe_load((tmp_path / "deploy/prometheus/certpack-watchdog.rules.yml").read_text())["groups"]
    named = [rule["annotations"]["runbook_url"] for group in rules for rule in group["rules"] if "alert" in rule]
    assert named
    assert all(re.fullmatch(r"https://wiki\.example/runbooks/[a-z_]+\.md", url) for url in named)
    assert "runbooks: https://wiki.example/runbooks/ " in (tmp_path / "config.example.yaml").read_text()
    left = [place for place, content in below(tmp_path).items() if b": " + RUNBOOKS.encode() in content]
    assert {place.parts[0] for place in left} <= {"docs"}


# ── the wheel ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_wheel_takes_in_exactly_what_is_laid_out():
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included == {name: f"watchdog/files/{name}" for name in SHIPPED}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from what the Dockerfile copies, and nothing else."""
    context, folder = tmp_path_factory.mktemp("context"), tmp_path_factory.mktemp("dist")
    copies = re.findall(r"(?m)^COPY (?!--)(.+)$", (ROOT / "Dockerfile").read_text())
    for name in {source for line in copies for source in line.split()[:-1]}:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, context / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, context)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(build, cwd=context, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    [built] = folder.glob("*.whl")
    return built


@pytest.mark.process
def test_the_wheel_says_that_it_is_typed_and_brings_its_manual_page(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "watchdog/py.typed" in names
    assert any(name.endswith(".data/data/share/man/man1/certpack-watchdog.1") for name in names)
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The command of an environment that has the wheel and the libraries that are here, and no checkout."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv" / "bin" / "python"
    [site] = (folder / "venv").glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")  # editable installs are not followed
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "--no-input", "install"]
    subprocess.run([*pip, "--quiet", "--no-deps", "--no-index", str(wheel)], check=True, timeout=120)

    def run(*arguments, **more):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        command = [str(folder / "venv" / "bin" / "certpack-watchdog"), *map(str, arguments)]
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=60, check=False, env={**environment, **more}
        )

    return run


@pytest.mark.process
def test_the_installed_command_says_the_version_that_its_package_has(wheel, installed):
    done = installed("--version")
    assert (done.returncode, done.stdout) == (0, f"certpack-watchdog {wheel.name.split('-')[1]}\n")


@pytest.mark.process
def test_the_installed_command_lays_out_its_files_and_takes_its_own_example(installed, tmp_path):
    done = installed("files", tmp_path / "here")
    assert (done.returncode, done.stderr) == (0, "")
    assert below(tmp_path / "here") == {
        path.relative_to(ROOT): path.read_bytes()
        for name in SHIPPED
        for path in ((ROOT / name).rglob("*") if (ROOT / name).is_dir() else [ROOT / name])
        if path.is_file()
    }
    example = tmp_path / "here" / "config.example.yaml"
    text = example.read_text()
    for number, secret in enumerate(re.findall(r"_file: (/\S+)", text)):
        place = tmp_path / str(number)
        kind = {"slack-url": "json://planted.example/", "heartbeat-url": "https://planted.example/"}
        place.write_text(kind.get(Path(secret).name, "planted"))
        place.chmod(0o600)
        text = text.replace(secret, str(place))
    example.write_text(text)
    done = installed("check-config", "--config", example)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{example}: fine: accounts: 2, zones: 2")


@pytest.mark.process
def test_a_shell_completes_commands(installed):
    done = installed(_CERTPACK_WATCHDOG_COMPLETE="complete_bash", COMP_WORDS="certpack-watchdog statu", COMP_CWORD="1")
    assert done.stdout.split() == ["status"]
