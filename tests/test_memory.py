"""A program that builds, trains, exports and loads models all day keeps its memory."""

import pathlib
import runpy
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parent.parent / "benchmarks" / "memory_growth.py"
CASES = ["detect, fallback", "load, SavedModel", "fit, checkpointing", "export, StableHLO"]
MOST_MB = 1.0  # allocated. A leak of a tiny model is 20 to 100 a cycle; without one it is below 0.3.


@pytest.mark.slow
@pytest.mark.skipif(
    not runpy.run_path(str(SCRIPT))["counts_allocations"](), reason="needs Linux with glibc 2.33 or newer"
)
@pytest.mark.parametrize("case", CASES)
def test_a_cycle_of_making_using_and_deleting_a_model_leaves_nothing(case):
    child = subprocess.run([sys.executable, str(SCRIPT), "--cycles", "3", case], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    name, allocated, _ = child.stdout.splitlines()[-1].strip("|").split("|")
    assert name.strip() == case and float(allocated) <= MOST_MB, child.stdout
