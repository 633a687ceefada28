"""Libraries that are imported without what nobody here uses of them."""

import json
import re
import subprocess
import sys
import typing
from importlib import import_module
from types import SimpleNamespace

import pytest
import typing_extensions

from watchdog.config.load import json_schema
from watchdog.lean_imports import import_without, late_patterns, shapeless


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


def test_a_late_pattern_answers_as_any_other():
    with late_patterns():
        late = re.compile("b (.)", re.VERBOSE)
    assert late.search("abc")[1] == re.compile("b (.)", re.VERBOSE).search("abc")[1] == "c"


def test_a_pattern_is_late_until_it_is_asked():
    with late_patterns():
        broken = re.compile("(")
    with pytest.raises(re.error):
        broken.search("")


@pytest.mark.parametrize("module", [typing, typing_extensions])
def test_a_shape_is_a_dict_and_of_its_keys_nothing_is_asked(module):
    with shapeless():

        class Shape(module.TypedDict, total=False):
            key: "a word that means nothing"  # noqa: F722  that is the claim

        class Larger(Shape):
            more: "nor does this"  # noqa: F722  as above

    made = Larger(key=1, more=2)
    assert (made, type(made)) == ({"key": 1, "more": 2}, dict)


@pytest.mark.parametrize("module", [typing, typing_extensions])
def test_shapes_are_looked_at_again_afterwards(module):
    before = module.TypedDict
    with shapeless():
        assert module.TypedDict is not before
    assert module.TypedDict is before


@pytest.mark.process
def test_what_a_command_imports_pydantic_without_is_not_missed():
    lean = """
import json, sys
from watchdog.cli.process import prepared
sys.argv = ["certpack-watchdog", "schema"]
with prepared():
    from watchdog.config.load import json_schema
    from watchdog.config.secrets import Secret
    found = {"zoneinfo", "secrets"} & {*sys.modules}
    print(json.dumps([json_schema(), Secret("a") == Secret("a"), Secret("a") == Secret("b"), sorted(found)]))
"""
    said = subprocess.run([sys.executable, "-c", lean], capture_output=True, check=True, text=True).stdout
    assert json.loads(said) == [json.loads(json.dumps(json_schema())), True, False, []]
