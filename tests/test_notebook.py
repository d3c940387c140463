"""The notebook runs from top to bottom, and is kept without outputs."""

import json
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


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
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 8
    printed = "".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs)
    assert "AP75" in printed and "saved_model.pb" in printed and "the same" in printed
