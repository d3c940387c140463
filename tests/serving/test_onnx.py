"""ONNX files in ONNX Runtime against the network they were made of."""

import contextlib
import io
import json

import numpy as np
import pytest

from mrcnn_keras.serving import export_onnx, model_info, onnx_file

from . import tiny
from .tiny import batch

onnx = pytest.importorskip("onnx")
pytest.importorskip("tf2onnx")
runtime = pytest.importorskip("onnxruntime")

C4 = {"features": "c4", "anchor_sizes": (16, 32, 64), "box_head": "res5", "roi_sampling_ratio": 0}


def make_model(**fields):
    """A model of the configuration above with other fields."""
    return tiny.decided_model(tiny.NORMED.replace(**{"box_head": "1fc", "mask_head_convs": 1, **fields}))


def run_file(path, inputs):
    """What the file answers in ONNX Runtime on the CPU."""
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs)))


def assert_same(model, path, inputs):
    """Compare the file with the network; returns what was found."""
    pixels = inputs["images"].astype(np.float32)
    expected = {k: np.asarray(v) for k, v in model({**inputs, "images": pixels}, training=False).items()}
    found = run_file(path, inputs)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_allclose(found[name], value, atol=2e-3 if name in ("boxes", "keypoints") else 1e-4)
    return found


@pytest.fixture(scope="module", params=["c4", pytest.param("fpn", marks=pytest.mark.slow)])
def exported(request, tmp_path_factory):
    """A model with masks and keypoints and its file, the first of which the command line wrote."""
    from mrcnn_keras.cli import main

    folder = tmp_path_factory.mktemp(request.param)
    path = folder / "new" / "model.onnx"
    model = make_model(**tiny.KEYPOINTS, **(C4 if request.param == "c4" else {}))
    if request.param == "c4":
        model.save(folder / "model.keras")
        with contextlib.redirect_stdout(io.StringIO()) as said:
            assert main(["export", str(path), "--model", str(folder / "model.keras")]) == 0
        assert f"wrote {path}" in said.getvalue()
    else:
        model.export(path, format="onnx")
    return model, path


SIZES = {
    "one": ([(96, 128)], 96, 128),
    "padded": ([(120, 61)], 128, 64),
    "two": ([(64, 96), (50, 90)], 64, 96),
    "one of two is empty": ([(0, 0), (64, 64)], 64, 64),
}


@pytest.mark.parametrize("name", SIZES)
def test_one_file_for_all_sizes_and_batches(exported, name):
    sizes, height, width = SIZES[name]
    found = assert_same(*exported, batch(sizes, height, width))
    for size, class_ids in zip(sizes, found["class_ids"]):
        assert (class_ids >= 0).any() == (max(size) > 0)


def test_nothing_found(exported):
    found = run_file(exported[1], batch([(0, 0)], 64, 64))
    assert (found["class_ids"] == -1).all()
    for name in ("boxes", "scores", "mask_probs", "keypoints"):
        assert not found[name].any(), name


def test_file_says_what_it_is(exported):
    proto = onnx.load(str(exported[1]))
    text = {entry.key: entry.value for entry in proto.metadata_props}["model_info"]
    assert model_info.from_json(text)[0].names == ("cat", "dog", "bird")
    assert json.loads(text)["config"]["num_keypoints"] == 3
    shapes = {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*proto.graph.input, *proto.graph.output)
    }
    side = 8 if exported[0].config.features == "c4" else 28
    assert shapes == {
        "images": ["batch", "height", "width", 3],
        "image_sizes": ["batch", 2],
        "boxes": ["batch", 13, 4],
        "scores": ["batch", 13],
        "class_ids": ["batch", 13],
        "mask_probs": ["batch", 13, side, side],
        "keypoints": ["batch", 13, 3, 3],
    }
    assert proto.opset_import[0].version == 17
    assert [path.name for path in exported[1].parent.iterdir()] == ["model.onnx"]


def test_command_line_refuses_a_folder(tmp_path, capsys):
    from mrcnn_keras.cli import main

    (tmp_path / "model.keras").write_bytes(b"")
    assert main(["export", str(tmp_path), "--format", "onnx", "--model", str(tmp_path / "model.keras")]) == 2
    assert "is a folder" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"mask_loss": "softmax", "roi_op": "pool", "resize": "torchvision", **tiny.C4},
        {
            "mask_class_agnostic": True,
            "box_class_agnostic": True,
            "roi_op": "warp",
            "detection_min_size": 2.0,
            "backbone_norm": "group",
            **tiny.C4,
        },
        {"roi_reduce": "max", "roi_aligned": False, "backbone_norm": "none", "fpn_norm": "group"},
        {"features": "dc5", "anchor_sizes": (16, 32, 64), "non_local_blocks": (0, 0, 1, 0), "num_groups": 2},
        {"mask_head": "mlp", "mask_head_fc_dim": 8, "roi_op": "crop_and_resize", "best_class_only": True, **tiny.C4},
    ],
    ids=["pool", "warp", "max", "dc5", "mlp"],
)
def test_other_kinds_of_models(fields, tmp_path):
    model = make_model(**fields)
    export_onnx(model, tmp_path / "model.onnx", image_dtype="uint8")
    assert (assert_same(model, tmp_path / "model.onnx", batch([(90, 64), (96, 50)], 96, 64))["class_ids"] >= 0).any()


@pytest.mark.slow
def test_mixed_precision_is_written_in_float32(tmp_path):
    import keras

    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = make_model(**C4)
        export_onnx(half, tmp_path / "model.onnx", image_dtype="float32", opset=18)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    single = make_model(**C4)
    single.set_weights(half.get_weights())
    inputs = batch([(64, 64)], 64, 64)
    assert_same(single, tmp_path / "model.onnx", {**inputs, "images": inputs["images"].astype(np.float32)})


class Unused:
    """Stands in for a model; nothing of it is converted."""

    config = tiny.NORMED


@pytest.mark.parametrize(
    "options, message",
    [
        ({"opset": 15}, "opset=15: expected 16 to 18"),
        ({"image_dtype": "int8"}, "image_dtype='int8': expected 'uint8' or 'float32'"),
    ],
)
def test_options_out_of_range(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        export_onnx(Unused(), tmp_path / "model.onnx", **options)


def test_a_folder_is_not_written_over(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path} is a folder"):
        export_onnx(Unused(), tmp_path)


def test_what_onnx_cannot_pool(tmp_path):
    model = Unused()
    model.config = tiny.NORMED.replace(roi_reduce="max", roi_sampling_ratio=0)
    with pytest.raises(ValueError, match="give the config a roi_sampling_ratio"):
        export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_no_such_format(tmp_path):
    with pytest.raises(ValueError, match="format='tflite': expected 'tf_saved_model' or 'onnx'"):
        make_model().export(tmp_path / "model", format="tflite")


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file.importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else object())
    with pytest.raises(ImportError, match=r'needs tf2onnx: pip install "mrcnn-keras\[onnx\]"'):
        export_onnx(Unused(), tmp_path / "model.onnx")


def test_what_was_not_converted_is_named():
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    body = helper.make_graph([helper.make_node("Mystery", ["x"], ["y"])], "body", [], [])
    branch = helper.make_node("If", ["x"], ["z"], then_branch=body, else_branch=body)
    with pytest.raises(RuntimeError, match="no operators for Mystery, which"):
        onnx_file._check(helper.make_model(helper.make_graph([branch], "graph", [value], [])))
