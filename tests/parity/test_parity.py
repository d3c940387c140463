"""The same numbers as Detectron2, torchvision and matterport from the same checkpoints."""

import os
import pathlib

import pytest

pytestmark = pytest.mark.shared

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(os.environ.get("MRCNN_TEST_DATA", ROOT.parent / "shared")) / "parity"
CASES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir()) if FOLDER.is_dir() else []
# One case of each system, and one of the losses, are for every change.
FAST = {"d2_mask_r50_fpn", "d2_loss_mask_r50_fpn", "tv_mask_r50_fpn", "mp_mask_r50_fpn"}


def cases(losses: bool) -> list:
    """Parameters of the tests: names of cases of losses, or of detections."""
    names = [name for name in CASES if ("_loss_" in name) == losses]
    return [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", cases(losses=False))
def test_detections_of_the_reference(parity, name):
    compare, folder = parity
    worst = compare.inference_deviations(compare.Case(folder / name))
    assert {"proposals missed", "detections missed", "score"} <= set(worst)
    beyond = {key: value for key, value in worst.items() if not value <= compare.limit_of(key)}
    assert not beyond


@pytest.mark.parametrize("name", cases(losses=True))
def test_losses_and_gradients_of_the_reference(parity, name):
    compare, folder = parity
    worst = compare.training_deviations(compare.Case(folder / name))
    assert sum(key.endswith("_loss") for key in worst) >= 4 and any(key.startswith("gradient") for key in worst)
    beyond = {key: value for key, value in worst.items() if not value <= compare.limit_of(key)}
    assert not beyond
