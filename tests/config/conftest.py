"""A folder with a configuration file in it, and the way to load it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from watchdog.config.load import ConfigError, load
from watchdog.config.schema import Config


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Config]:
    def reading(text: str, **environ: str) -> Config:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return load(path, environ)

    return reading


@pytest.fixture
def refused(read: Callable[..., Config], tmp_path: Path) -> Callable[..., list[str]]:
    """The lines that the refusal of a file consists of, without the folder's name."""

    def refusing(text: str, **environ: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read(text, **environ)
        return str(caught.value).replace(f"{tmp_path}/", "").splitlines()

    return refusing
