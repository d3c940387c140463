"""`benchmarks/serving_load.py` accounts for every photo that was sent."""

import importlib.util
import pathlib
import sys
import time
import types

import numpy as np
import pytest

FILE = pathlib.Path(__file__).resolve().parents[2] / "benchmarks" / "serving_load.py"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])  # it puts folders there
    spec = importlib.util.spec_from_file_location("serving_load", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Found(types.SimpleNamespace):
    """One detection."""

    boxes = np.zeros((1, 4))

    def __len__(self):
        return 1


class Faulty:
    """A client that raises one exception after the other, and then answers."""

    failures: list = []

    def __init__(self, address, retries):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def detect(self, photo, masks):
        time.sleep(0.01)
        if self.failures:
            raise self.failures.pop(0)
        return [Found()]


def asked(benchmark, monkeypatch, failures):
    monkeypatch.setattr(Faulty, "failures", failures)
    monkeypatch.setattr(benchmark, "Client", Faulty)
    asker = benchmark.Asker("here", [b"", b""], [Found(), Found()], 0, time.monotonic() + 0.2)
    asker.run()
    return asker


def test_an_error_of_any_kind_is_counted(benchmark, monkeypatch):
    asker = asked(benchmark, monkeypatch, [OSError("gone"), RuntimeError("odd"), TypeError("odder"), TypeError("odd")])
    assert asker.errors == {"OSError": 1, "RuntimeError": 1, "TypeError": 2}
    assert asker.sent == len(asker.latencies) + 4 and asker.latencies and not asker.wrong
    assert benchmark.lost_by(asker) == 0


def test_a_photo_without_an_account_is_lost(benchmark, monkeypatch):
    asker = asked(benchmark, monkeypatch, [OSError("gone")])
    asker.sent += 2  # as where the thread ended in the middle
    assert benchmark.lost_by(asker) == 2


@pytest.mark.parametrize("lost, status", [([0, 0], 0), ([1, 0], 1), ([0, 1], 1)])
def test_the_exit_status_tells_of_lost_photos(benchmark, monkeypatch, lost, status):
    monkeypatch.setattr(benchmark, "export", lambda preset, path: None)
    monkeypatch.setattr(benchmark, "Running", lambda base: types.SimpleNamespace(kill=lambda: None))
    monkeypatch.setattr(benchmark, "load", lambda *arguments, **options: lost.pop(0))
    monkeypatch.setattr(sys, "argv", ["serving_load.py"])
    assert benchmark.main() == status and not lost
