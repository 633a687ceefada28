"""An example in a docstring is a promise too."""

import doctest
from importlib import import_module

import pytest

from tests.harness.handbook import ROOT

SHOWING = sorted(path for path in (ROOT / "watchdog").rglob("*.py") if "    >>> " in path.read_text())


@pytest.mark.parametrize("path", SHOWING, ids=lambda path: path.stem)
def test_every_example_in_a_docstring_gives_what_it_shows(path):
    module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    shown = doctest.testmod(module)  # prints what differs
    assert (shown.attempted > 0, shown.failed) == (True, 0)
