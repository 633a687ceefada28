"""A long life leaves nothing behind. ``bench/longlife.py`` lives 10,000 passes; here are some hundreds, in a minute."""

from contextlib import redirect_stderr
from datetime import timedelta
from pathlib import Path

import pytest

from tests.harness.long_life import KEPT_LONG, grown, live
from tests.harness.time import simulated


@pytest.mark.process
@pytest.mark.repeats
def test_two_hundred_passes_hold_no_more_than_a_hundred(tmp_path):
    with Path("/dev/null").open("w") as nowhere, redirect_stderr(nowhere):
        early, late = simulated(lambda: live(tmp_path, (100, 200), timedelta(hours=2)))
    assert grown(early, late, set(late) - set(KEPT_LONG)) == {}
