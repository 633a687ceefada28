"""The bench of several replicas runs to its end, small as it may be, and shows what it was asked for."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.postgresql import needs_postgresql

BENCH = Path(__file__).parents[2] / "bench" / "replicas.py"
SMALL = (
    *("--accounts", "4", "--zones", "3", "--packs", "1", "--replicas", "2", "--per-second", "20"),
    *("--seconds", "1", "--settling", "0", "--lease", "3s"),
)


@pytest.mark.real
def test_a_line_for_each_number_of_replicas_and_a_takeover_of_half_the_accounts():
    needs_postgresql()
    done = subprocess.run([sys.executable, str(BENCH), *SMALL], capture_output=True, text=True, timeout=300, check=True)
    lines = dict(re.findall(r"^\| (SQLite|2) \| ([0-9.]+) ", done.stdout, re.MULTILINE))
    assert lines.keys() == {"SQLite", "2"}
    assert all(float(looks) > 0 for looks in lines.values())
    assert re.search(r"takeover: 2 accounts with 6 packs, lease 3s: the first was looked at", done.stdout)
