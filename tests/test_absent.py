"""Libraries that are imported without what nobody here uses of them."""

import sys
from importlib import import_module
from types import SimpleNamespace

import pytest

from watchdog.absent import import_without


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Makes a library of these lines, and what it wants, which knows ``old`` and ``new``."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "heavy_for_tests.py").write_text("old = new = 'itself'\n")

    def make(text):
        (tmp_path / "library_for_tests.py").write_text(text)

    yield make
    for name in ("library_for_tests", "heavy_for_tests"):
        sys.modules.pop(name, None)


def test_a_library_has_what_stands_for_what_it_wants_and_others_have_that_itself(library):
    library("from heavy_for_tests import old\n")
    import_without("library_for_tests", instead={"heavy_for_tests": SimpleNamespace(old="stand-in")})
    named = [import_module(name) for name in ("library_for_tests", "heavy_for_tests")]
    assert [each.old for each in named] == ["stand-in", "itself"]


@pytest.mark.parametrize(
    "text",
    [
        "from heavy_for_tests import new",
        "import heavy_for_tests\nnew = heavy_for_tests.new",
        "import heavy_for_tests.deep as new",
    ],
)
def test_a_version_that_wants_more_is_imported_with_all_that_it_wants(library, text, tmp_path):
    if "deep" in text:
        (tmp_path / "heavy_for_tests.py").unlink()
        (tmp_path / "heavy_for_tests").mkdir()
        (tmp_path / "heavy_for_tests/__init__.py").touch()
        (tmp_path / "heavy_for_tests/deep.py").touch()
    library(text)
    import_without("library_for_tests", instead={"heavy_for_tests": SimpleNamespace(old="stand-in")})
    assert import_module("library_for_tests").new
    sys.modules.pop("heavy_for_tests.deep", None)
