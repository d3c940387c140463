"""StableHLO in XLA's runtimes against the model that it was made of."""

import json
import subprocess
import sys
import types

import numpy as np
import pytest

from mrcnn_keras.serving import export_stablehlo, load_stablehlo, model_info

from . import tiny

CONFIG = tiny.NORMED.replace(**tiny.KEYPOINTS)
SIZES, HEIGHT, WIDTH = [(64, 96), (50, 90)], 64, 96


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model with masks and keypoints, and its folder, which the command line wrote."""
    from mrcnn_keras.cli import main

    folder = tmp_path_factory.mktemp("xla")
    model = tiny.decided_model(CONFIG)
    model.save(folder / "model.keras")
    arguments = ["--input-size", str(HEIGHT), str(WIDTH), "--batch-size", "2", "--model", str(folder / "model.keras")]
    assert main(["export", str(folder / "new" / "tiny.stablehlo"), *arguments]) == 0
    return model, folder / "new" / "tiny.stablehlo"


@pytest.fixture(scope="module")
def expected(exported):
    """What the model answers."""
    inputs = tiny.batch(SIZES, HEIGHT, WIDTH)
    outputs = exported[0]({**inputs, "images": inputs["images"].astype(np.float32)}, training=False)
    return {name: np.asarray(value) for name, value in outputs.items()}


def read(folder):
    """The description, and the arguments of the module for the photos of the test."""
    description = json.loads((folder / "model.json").read_text())
    values = {**np.load(folder / "weights.npz"), **tiny.batch(SIZES, HEIGHT, WIDTH)}
    arguments = [values[argument["name"]] for argument in description["arguments"]]
    assert len(arguments) == len(values)
    for argument, value in zip(description["arguments"], arguments):
        assert (argument["shape"], argument["dtype"]) == (list(value.shape), value.dtype.name), argument["name"]
    return description, arguments


def assert_same(description, results, expected):
    """Compare the module's results with the model's."""
    found = dict(zip((result["name"] for result in description["results"]), map(np.asarray, results), strict=True))
    assert set(found) == set(expected)
    for result, value in zip(description["results"], found.values()):
        assert (result["shape"], result["dtype"]) == (list(value.shape), value.dtype.name)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=2e-3 if name in ("boxes", "keypoints") else 1e-4)
    assert ((found["class_ids"] >= 0).sum(axis=1) > 0).all()
    return found


# Runs the module with the arguments of a file, arr_0 and so on: XLA keeps memory of the process for ever.
COMPILED = """
import json, pathlib, sys
import numpy as np
from tensorflow.compiler.tf2xla.ops import gen_xla_ops
folder = pathlib.Path(sys.argv[1])
results = json.loads((folder / "model.json").read_text())["results"]
with np.load(sys.argv[2]) as given:
    arguments = [given[f"arr_{number}"] for number in range(len(given))]
np.savez(sys.argv[3], *gen_xla_ops.xla_call_module(
    arguments,
    version=9,
    module=(folder / "model.stablehlo").read_bytes(),
    Sout=[result["shape"] for result in results],
    Tout=[result["dtype"] for result in results],
    platforms=["CPU"],
))
"""


@pytest.mark.slow
def test_the_file_in_tensorflows_xla(exported, expected, tmp_path):
    model, folder = exported
    description, arguments = read(folder)
    np.savez(tmp_path / "arguments.npz", *arguments)
    words = [folder, tmp_path / "arguments.npz", tmp_path / "results.npz"]
    subprocess.run([sys.executable, "-c", COMPILED, *map(str, words)], check=True)
    with np.load(tmp_path / "results.npz") as results:
        found = assert_same(description, [results[f"arr_{number}"] for number in range(len(results))], expected)
    detected = model.detect(arguments[0][0])[0]  # as large as the input, so that nothing is resized
    count = len(detected.scores)
    assert count == (found["class_ids"][0] >= 0).sum()
    np.testing.assert_allclose(detected.boxes, found["boxes"][0, :count], atol=1e-3)
    np.testing.assert_array_equal(detected.class_ids, found["class_ids"][0, :count])


@pytest.mark.slow
def test_the_file_in_jax(exported, expected):
    pytest.importorskip("jax")
    description, arguments = read(exported[1])
    results = load_stablehlo(exported[1])(*arguments[:2])
    assert_same(description, results.values(), expected)


@pytest.mark.slow
def test_what_jax_cannot_load(exported, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", types.ModuleType("jax"))
    with pytest.raises(ValueError, match=f"{tmp_path} is no StableHLO export: there is no model.stablehlo in it"):
        load_stablehlo(tmp_path)
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(ImportError, match="runs the network in JAX: pip install jax"):
        load_stablehlo(exported[1])


@pytest.mark.slow
def test_the_folder_says_what_it_is(exported):
    _, folder = exported
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.stablehlo", "weights.npz"]
    assert [path.name for path in folder.parent.iterdir()] == ["tiny.stablehlo"]
    description, arguments = read(folder)
    assert [argument["name"] for argument in description["arguments"][:2]] == ["images", "image_sizes"]
    shapes = {result["name"]: result["shape"] for result in description["results"]}
    assert shapes == {
        "boxes": [2, 13, 4],
        "class_ids": [2, 13],
        "keypoints": [2, 13, 3, 3],
        "mask_probs": [2, 13, 28, 28],
        "scores": [2, 13],
    }
    info = model_info.from_json(json.dumps(description["model_info"]))[0]
    assert info.names == ("cat", "dog", "bird") and info.num_keypoints == 3
    assert not any("moving_mean" in argument["name"] for argument in description["arguments"])
    assert description["operations"]["convolution"] >= sum(value.ndim == 4 for value in arguments[1:])
    assert not {"custom_call", "set_dimension_size", "constant"} & set(description["operations"])


@pytest.mark.slow
def test_the_module_names_no_function_of_tensorflow(exported):
    module = (exported[1] / "model.stablehlo").read_bytes()
    assert module.startswith(b"ML\xefR\rStableHLO_v1.0.0\0")
    assert b"convolution_v1" in module and b"custom_call" not in module
    assert b".py" not in module  # places in the sources are left out


@pytest.mark.slow
def test_bfloat16_convolutions(exported, tmp_path):
    export_stablehlo(exported[0], tmp_path / "half", input_size=(64, 64), image_dtype="float32", precision="bfloat16")
    description = json.loads((tmp_path / "half" / "model.json").read_text())
    assert description["arguments"][0] == {"name": "images", "shape": [1, 64, 64, 3], "dtype": "float32"}
    assert {value["dtype"] for value in description["arguments"][1:]} == {"float32"}
    single = json.loads((exported[1] / "model.json").read_text())
    assert description["operations"]["convert"] > single["operations"]["convert"] + 50


class Unused:
    """Stands in for a model; nothing of it is lowered."""

    config = CONFIG


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch_size": 0}, "batch_size=0: expected a whole number from 1 up"),
        ({"input_size": (60, 64)}, r"input_size=\(60, 64\): expected \(height, width\), multiples of 32"),
        ({"image_dtype": "int8"}, "image_dtype='int8': expected 'uint8' or 'float32'"),
        ({"precision": "float16"}, "precision='float16': expected one of float32, bfloat16"),
    ],
)
def test_options_out_of_range(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        export_stablehlo(Unused(), tmp_path / "new", **options)
    assert not list(tmp_path.iterdir())


def test_what_xla_does_not_have(tmp_path):
    model = Unused()
    model.config = CONFIG.replace(roi_op="crop_and_resize")
    with pytest.raises(ValueError, match="XLA has no roi_op='crop_and_resize'; give the config 'align'"):
        export_stablehlo(model, tmp_path / "new")


def test_other_folders_are_left_alone(tmp_path, capsys):
    from mrcnn_keras.cli import main

    (tmp_path / "m.keras").write_text("mine")
    with pytest.raises(ValueError, match=f"{tmp_path} exists and is no StableHLO export; choose a new folder"):
        export_stablehlo(Unused(), tmp_path)
    assert main(["export", str(tmp_path), "--format", "stablehlo", "--model", str(tmp_path / "m.keras")]) == 2
    assert f"OUT: {tmp_path} exists and is no StableHLO export" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["m.keras"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["new.stablehlo", "--masks", "png"], "--masks is for --format saved_model, not for --format stablehlo"),
        (["new.stablehlo", "--xla"], "--xla is for --format saved_model, not for --format stablehlo"),
        (["new", "--batch-size", "2"], "--batch-size is for --format stablehlo, not for --format saved_model"),
        (
            ["new.onnx", "--precision", "bfloat16"],
            "--precision is for --format saved_model and --format stablehlo, not",
        ),
    ],
)
def test_options_of_other_formats(tmp_path, capsys, monkeypatch, arguments, message):
    from mrcnn_keras.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.keras").write_bytes(b"")
    assert main(["export", *arguments, "--model", "m.keras"]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["m.keras"]
