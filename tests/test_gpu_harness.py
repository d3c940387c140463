"""benchmarks/gpu/roi_align_cuda.py where something is missing; what it checks is tested in ops."""

import importlib
import pathlib
import shutil
import sys

import pytest

GPU = pathlib.Path(__file__).resolve().parents[1] / "benchmarks" / "gpu"


@pytest.fixture
def harness(monkeypatch):
    """The script as a module, on a machine without CUDA's compiler."""
    monkeypatch.syspath_prepend(str(GPU))
    module = importlib.import_module("roi_align_cuda")
    monkeypatch.setattr(module, "find_nvcc", lambda: None)
    return module


def run(harness, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["roi_align_cuda.py", *map(str, arguments)])
    return harness.main()


def test_no_torch(harness, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run(harness, monkeypatch) == 2
    assert "torch" in (said := capsys.readouterr().err) and "pip install torch torchvision" in said


def test_no_compiler(harness, monkeypatch, capsys):
    assert run(harness, monkeypatch, "--build-only") == 2
    assert "no nvcc found: install CUDA's toolkit, and set CUDA_HOME" in capsys.readouterr().err


def test_compiler_that_fails(harness, monkeypatch, capsys, tmp_path):
    nvcc = tmp_path / "nvcc"
    nvcc.write_text("#!/bin/sh\necho no such header >&2\nexit 3\n")
    nvcc.chmod(0o755)
    monkeypatch.setattr(harness, "find_nvcc", lambda: str(nvcc))
    assert run(harness, monkeypatch, "--build-only") == 2
    said = capsys.readouterr().err
    assert "failed with status 3" in said and "no such header" in said and "-arch=all-major" in said


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc")
def test_kernels_compile_and_link(harness, monkeypatch, capsys):
    monkeypatch.setattr(harness, "find_nvcc", lambda: shutil.which("nvcc"))
    assert run(harness, monkeypatch, "--build-only", "--architecture", "sm_90") == 0
    assert "built roi_align_cuda.so" in capsys.readouterr().out


def test_a_check_that_fails_or_gives_nan_is_shown(harness, capsys):
    rows = [{"check": "one", "error": 0.5}, {"check": "two", "error": float("nan")}, {"check": "three", "error": 1.5}]
    assert harness.print_checks(rows[:1])
    assert not harness.print_checks(rows[:2]) and not harness.print_checks([rows[0], rows[2]])
    said = capsys.readouterr().out
    assert "| one | 0.5 | ok |" in said and "| two | nan | FAILED |" in said and "| three | 1.5 | FAILED |" in said


def test_timed_boxes_lie_in_the_image(harness):
    boxes = harness.photo_boxes(1000)
    sides = boxes[:, 2:] - boxes[:, :2]
    assert boxes.min() >= 0 and (boxes[:, 2:] <= (1344, 800)).all()
    assert (sides > 5).all() and sides.max() > 400
