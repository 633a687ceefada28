"""Claims about the commands that speak of the package itself: its version, and the files it brings."""

import pytest


def test_the_version_is_told_and_nothing_else(command):
    done = command("--version")
    assert (done.code, done.err) == (0, "")
    name, version = done.out.split()
    assert name == "certpack-watchdog"
    assert version[0].isdigit()


def test_files_says_where_they_are_and_with_which_to_begin(command, tmp_path):
    done = command("files", tmp_path / "here")
    assert (done.code, done.err) == (0, "")
    count = sum(path.is_file() for path in (tmp_path / "here").rglob("*"))
    assert done.out == f"{tmp_path}/here: {count} files; begin with docs/deploy.md and config.example.yaml\n"


def test_files_overwrites_nothing_and_says_so_in_a_sentence(command, tmp_path):
    (tmp_path / "config.example.yaml").write_text("mine")
    done = command("files", tmp_path)
    assert (done.code, done.out) == (74, "")
    there = f"{tmp_path}/config.example.yaml"
    assert done.err == f"{there} is there already: name another folder, as nothing is overwritten\n"
    assert [path.name for path in tmp_path.iterdir()] == ["config.example.yaml"]


@pytest.mark.parametrize("url", ["runbooks", "ftp://x/", "https://x/ y", 'https://x/"', "https://x/{{.}}"])
def test_what_is_no_url_for_runbooks_is_wrong_usage(command, tmp_path, url):
    done = command("files", tmp_path / "here", "--runbooks", url)
    assert done.code == 2
    assert "a URL is needed" in " ".join(done.err.split())
    assert not (tmp_path / "here").exists()
