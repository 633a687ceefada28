"""``state copy`` as an operator types it."""

from pathlib import Path

import pytest


@pytest.fixture
def here(command, cloudflare, configure, tmp_path):
    """The URL of a state that has seen a fleet; its configuration is ``here.config``."""
    config = configure(cloudflare(zones=[{"name": "well.example", "packs": [{"status": "active"}]}]))
    command("once", "-c", config)
    [path] = tmp_path.rglob("state.db")
    return f"sqlite:///{path}"


def test_a_state_is_copied_to_a_url_or_to_what_a_file_names(command, here, tmp_path):
    there, file = f"sqlite:///{tmp_path / 'there.db'}", tmp_path / "state-url"
    file.write_text(f"{there}\n")
    done = command("state", "copy", here, file)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("copied: zones: 1, packs: 1, ")
    again = command("state", "copy", here, there)
    assert (again.code, again.out) == (74, "")
    assert again.err.endswith("there.db holds a state already: name an empty one\n")


@pytest.mark.parametrize("spelled", ["{here}", "sqlite:///{folder}/../{name}/state.db"])
def test_a_state_is_not_copied_onto_itself(command, here, spelled):
    folder = Path(here.removeprefix("sqlite:///")).parent
    said = command("state", "copy", here, spelled.format(here=here, folder=folder, name=folder.name)).failed(2)
    assert said == f"FROM and TO are the same state, {folder}/state.db: name another place as TO"


def test_a_url_or_a_part_of_it_is_taken_from_the_environment(command, here, tmp_path, monkeypatch):
    monkeypatch.setenv("PLACE", f"{tmp_path}/there.db")
    monkeypatch.setenv("STATE_URL", here)
    done = command("state", "copy", "${STATE_URL}", "sqlite:///${PLACE}")
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "there.db").exists()


@pytest.mark.parametrize(
    ("source", "code", "says"),
    [
        ("${NOT_SET}", 2, "FROM: the environment has no variable NOT_SET"),
        (
            "sqlite:///a$b",
            2,
            "FROM: a `$` stands alone: write ${NAME} for a variable of the environment, $$ for a dollar",
        ),
        ("sqlite:////nowhere/state.db", 74, "the directory /nowhere does not exist"),
        ("nowhere", 2, "nowhere is no URL of a state (sqlite:///PATH is one), nor a file that holds one: No such file"),
        ("mysql://x/y", 74, "state.url must be sqlite:///PATH"),
    ],
)
def test_what_is_no_state_is_told_in_a_sentence(command, here, source, code, says):
    done = command("state", "copy", source, here)
    assert (done.code, done.out) == (code, "")
    assert says in done.err
