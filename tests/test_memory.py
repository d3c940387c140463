"""A program that builds, trains, exports and loads models all day keeps its memory."""

import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parent.parent / "benchmarks" / "memory_growth.py"
# MB of resident memory, which varies by 1 or 2. A leak of a tiny model is 20 to 100 a cycle.
MOST_MB = 3.0


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
@pytest.mark.parametrize(
    "cases",
    [
        pytest.param(("detect, fallback",), marks=pytest.mark.slow),
        pytest.param(("detect, compiled", "load, SavedModel"), marks=pytest.mark.slow),
        pytest.param(("fit, fallback, checkpointing",), marks=pytest.mark.slow),
        pytest.param(("export, StableHLO",), marks=pytest.mark.slow),
    ],
    ids=", ".join,
)
def test_a_cycle_of_making_using_and_deleting_a_model_leaves_nothing(cases):
    words = [sys.executable, str(SCRIPT), "--here", *cases]
    child = subprocess.run(words, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    rows = [line.strip("|").split("|") for line in child.stdout.splitlines() if line.startswith("|")]
    growth = {name.strip(): float(value) for name, value in rows}
    assert set(growth) == set(cases)
    assert all(value <= MOST_MB for value in growth.values()), growth
