"""A program that builds, trains, exports and loads models all day keeps its memory."""

import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parent.parent / "benchmarks" / "memory_growth.py"
# MB of resident memory, which varies by some tenths. A leak of a tiny model is 20 to 100 a cycle.
MOST_MB = 1.0
# Cycles before the growth is measured. In training the allocators take more and more for some of them.
WARM_UP = {"detect, fallback": 2, "load, SavedModel": 2, "fit, checkpointing": 4, "export, StableHLO": 2}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
@pytest.mark.parametrize("case", WARM_UP)
def test_a_cycle_of_making_using_and_deleting_a_model_leaves_nothing(case):
    words = [sys.executable, str(SCRIPT), "--here", "--warm-up", str(WARM_UP[case]), case]
    child = subprocess.run(words, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    (row,) = [line.strip("|").split("|") for line in child.stdout.splitlines() if line.startswith("|")]
    assert row[0].strip() == case and float(row[1]) <= MOST_MB
