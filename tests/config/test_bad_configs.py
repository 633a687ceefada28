"""Each file of ``bad/`` is refused with exactly the lines in the ``.txt`` beside it, without a word about secrets."""

import shutil
from pathlib import Path

import pytest

from watchdog.config.load import ConfigError, load

BAD = Path(__file__).parent / "bad"
FILES = sorted(path.name for path in BAD.glob("*.yaml"))
SECRET = "s3cr3t"


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_refused_with_the_expected_lines(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(BAD, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(Path(name), {"EMPTY": "", "PLANTED": f"{SECRET}-in-the-environment"})
    assert str(caught.value).splitlines() == (BAD / name).with_suffix(".txt").read_text().splitlines()


@pytest.mark.parametrize("name", FILES)
def test_no_refusal_repeats_a_secret(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(BAD / name, {"EMPTY": "", "PLANTED": f"{SECRET}-in-the-environment"})
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)


def test_every_expected_refusal_belongs_to_a_file() -> None:
    assert sorted(path.stem for path in BAD.glob("*.txt")) == sorted(Path(name).stem for name in FILES)
