"""The same numbers as Detectron2, torchvision and matterport from the same checkpoints."""

import os
import pathlib

import pytest

pytestmark = pytest.mark.shared

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(os.environ.get("MRCNN_TEST_DATA", ROOT.parent / "shared")) / "parity"
CASES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir()) if FOLDER.is_dir() else []


@pytest.mark.parametrize("name", [name for name in CASES if "_loss_" not in name])
def test_detections_of_the_reference(parity, name):
    compare, folder = parity
    worst = compare.inference_deviations(compare.Case(folder / name))
    assert {"proposals missed", "detections missed", "score"} <= set(worst)
    beyond = {key: value for key, value in worst.items() if not value <= compare.limit_of(key)}
    assert not beyond


@pytest.mark.parametrize("name", [name for name in CASES if "_loss_" in name])
def test_losses_and_gradients_of_the_reference(parity, name):
    compare, folder = parity
    worst = compare.training_deviations(compare.Case(folder / name))
    assert sum(key.endswith("_loss") for key in worst) >= 4 and any(key.startswith("gradient") for key in worst)
    beyond = {key: value for key, value in worst.items() if not value <= compare.limit_of(key)}
    assert not beyond
