"""The notebooks run from top to bottom, and are kept without outputs."""

import json
import pathlib

import pytest

from .tiny import FIELDS

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# What each shows: pictures, and words that it prints.
SHOWN = {
    "inspect_coco.ipynb": (5, ["training is safe", "anchors", "every target is a share"]),
    "train_on_your_photos.ipynb": (5, ["photos to train on", "anchor_sizes", "AP75", "detection"]),
    "train_shapes.ipynb": (8, ["AP75", "saved_model.pb", "the same"]),
}
# A first cell: the notebooks' preset becomes a tiny network, which is trained without graphs.
SETUP = """
import functools

from mrcnn_keras import presets
from mrcnn_keras.training.trainer import Trainer

preset = presets.PRESETS["mask_rcnn_narrow_fpn"]
presets.PRESETS["mask_rcnn_narrow_fpn"] = presets.Preset({**preset.fields, **FIELDS})
Trainer.compile = functools.partialmethod(Trainer.compile, run_eagerly=True)
"""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_outputs_are_stripped(path):
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_runs(path, monkeypatch, tmp_path):
    nbclient = pytest.importorskip("nbclient", reason="the extra [notebooks] is not installed")
    nbformat = pytest.importorskip("nbformat", reason="the extra [notebooks] is not installed")
    monkeypatch.setenv("MRCNN_NOTEBOOK_STEPS", "2")
    monkeypatch.setenv("MRCNN_NOTEBOOK_IMAGES", "4")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(f"FIELDS = {FIELDS!r}\n{SETUP}"))
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    least, words = SHOWN[path.name]
    assert len(pictures) >= least
    printed = "".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs)
    assert [word for word in words if word not in printed] == []
