import io
import os
import pathlib
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mrcnn_keras.serving import export, export_saved_model, model_info

from .tiny import TINY, photo

# Runs where the package cannot be imported, as in TF Serving.
CLIENT = """
import sys
sys.modules["mrcnn_keras"] = None
import numpy as np, tensorflow as tf
served = tf.saved_model.load(sys.argv[1])
files = [open(name, "rb").read() for name in sys.argv[3:]]
answers = {"bytes/" + k: v for k, v in served.signatures["serving_default"](image_bytes=tf.constant(files)).items()}
image = tf.io.decode_png(files[1], channels=3)
both = tf.stack([image, image[:, ::-1]])
answers |= {"tensor/" + k: v for k, v in served.signatures["serving_tensor"](image=both).items()}
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry
(meta,) = saved_model_pb2.SavedModel.FromString(open(sys.argv[1] + "/saved_model.pb", "rb").read()).meta_graphs
nodes = [*meta.graph_def.node, *(node for one in meta.graph_def.library.function for node in one.node_def)]
answers["registered"] = [kind for kind in {node.op for node in nodes} if op_def_registry.get(kind) is not None]
np.savez(sys.argv[2], **answers)
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """What a tiny model detects, and what its SavedModel answers in a process without this package."""
    return serve(TINY, tmp_path_factory.mktemp("served"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"roi_op": "pool", "mask_head": "mlp", "mask_head_fc_dim": 8, "mask_loss": "softmax"},
        {"roi_op": "warp", "roi_reduce": "max", "num_keypoints": 3, "keypoint_head_dim": 8, "keypoint_head_convs": 1},
    ],
)
def test_other_kinds_of_models_are_served_too(fields, tmp_path):
    found, _, _, answers = serve(TINY.replace(**fields), tmp_path)
    for i, one in enumerate(found):
        count = int(answers["bytes/num_detections"][i])
        assert count == len(one) > 0
        np.testing.assert_allclose(answers["bytes/detection_scores"][i, :count], one.scores, atol=1e-4)
        assert answers["bytes/detection_masks"][i, :count].shape == (count, 28, 28)
        if one.keypoints is not None:
            scale = np.array(one.size[::-1], np.float32)
            served = answers["bytes/detection_keypoints"][i, :count]
            np.testing.assert_allclose(served[..., ::-1] * scale, one.keypoints[..., :2], atol=0.5)


def serve(config, folder):
    """What a model of this config detects, the model, the files, and what its SavedModel answers elsewhere."""
    from mrcnn_keras.model import MaskRCNN

    photo(120, 170, 0).save(folder / "wide.jpg", quality=95)
    photo(200, 90, 1).save(folder / "tall.png")
    files = [str(folder / "wide.jpg"), str(folder / "tall.png")]
    model = MaskRCNN(config)
    assert export_saved_model(model, folder / "exported" / "1") == folder / "exported" / "1"
    command = [sys.executable, "-c", CLIENT, str(folder / "exported" / "1"), str(folder / "answers.npz"), *files]
    subprocess.run(command, check=True, cwd=folder)
    with np.load(folder / "answers.npz") as answers:
        return model.detect(files, batch_size=2), model, files, dict(answers)


def test_answers_have_the_object_detection_apis_form(served):
    answers = served[-1]
    shapes = {name: value.shape for name, value in answers.items() if name.startswith("bytes/")}
    assert shapes == {
        "bytes/num_detections": (2,),
        "bytes/detection_boxes": (2, 10, 4),
        "bytes/detection_classes": (2, 10),
        "bytes/detection_scores": (2, 10),
        "bytes/detection_masks": (2, 10, 28, 28),
    }
    assert all(value.dtype == np.float32 for name, value in answers.items() if "/" in name)
    assert (answers["bytes/detection_boxes"] >= 0).all() and (answers["bytes/detection_boxes"] <= 1).all()


def test_photos_of_any_size_give_the_models_detections(served):
    found, _, _, answers = served
    for i, one in enumerate(found):
        count = int(answers["bytes/num_detections"][i])
        assert count == len(one) > 0
        height, width = one.size
        boxes = answers["bytes/detection_boxes"][i, :count][:, [1, 0, 3, 2]] * [width, height, width, height]
        np.testing.assert_allclose(boxes, one.boxes, atol=0.01)
        np.testing.assert_allclose(answers["bytes/detection_scores"][i, :count], one.scores, atol=1e-4)
        np.testing.assert_array_equal(answers["bytes/detection_classes"][i, :count], one.class_ids + 1)
        assert 0 < answers["bytes/detection_masks"][i, :count].min() < answers["bytes/detection_masks"][i].max() < 1


def test_tensor_signature_gives_the_models_detections(served):
    _, model, files, answers = served
    image = np.asarray(Image.open(files[1]))
    for i, one in enumerate(model.detect([image, image[:, ::-1]], batch_size=2)):
        assert int(answers["tensor/num_detections"][i]) == len(one)
        np.testing.assert_allclose(answers["tensor/detection_scores"][i, : len(one)], one.scores, atol=1e-4)


class Corner:
    """Stands in for a model: finds one object, the upper left quarter of the image, in an image lighter than 100."""

    config = TINY.replace(image_min_side=32, image_max_side=64, max_detections=4)

    def __init__(self):
        self.factor = tf.Variable(0.5)
        self.variables = [types.SimpleNamespace(value=self.factor)]

    def get_layer(self, name):
        return types.SimpleNamespace(compute_dtype="float32")

    def __call__(self, inputs, training):
        height, width = tf.unstack(inputs["image_sizes"] * self.factor, axis=1)
        light = tf.reduce_max(inputs["images"], axis=(1, 2, 3)) > 100
        boxes = tf.stack([tf.zeros_like(width), tf.zeros_like(width), width, height], axis=-1)[:, None]
        ids = tf.where(light, 2, -1)[:, None]
        return {"boxes": boxes, "scores": tf.ones_like(boxes[..., 0]), "class_ids": ids}


def test_fewer_detections_are_padded_and_boxes_are_fractions(tmp_path):
    export_saved_model(Corner(), tmp_path / "1")
    answer = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_tensor"](
        image=np.array([[[[200]]], [[[10]]]], np.uint8) * np.ones((2, 40, 90, 3), np.uint8)
    )
    assert answer["num_detections"].numpy().tolist() == [1, 0]
    assert answer["detection_classes"].numpy().tolist() == [[3, 0, 0, 0], [0, 0, 0, 0]]
    assert answer["detection_boxes"].numpy()[:, 0].tolist() == [[0, 0, 0.5, 0.5], [0, 0, 0, 0]]
    assert "detection_masks" not in answer


def test_grey_and_transparent_files(tmp_path):
    export_saved_model(Corner(), tmp_path / "1")
    files = []
    for mode, kind in (("L", "JPEG"), ("L", "PNG"), ("RGBA", "PNG"), ("P", "PNG")):
        buffer = io.BytesIO()
        Image.new("RGB", (50, 30), (200, 200, 200)).convert(mode).save(buffer, kind)
        files.append(buffer.getvalue())
    answer = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"](image_bytes=tf.constant(files))
    assert answer["num_detections"].numpy().tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("kind", ["MrcnnKeras>RoiAlign", "PyFunc", "PyFuncStateless", "EagerPyFunc"])
def test_a_foreign_operation_is_an_error_and_leaves_nothing_behind(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(export, "op_names", lambda path: ["MatMul", kind])
    with pytest.raises(RuntimeError, match=f"needs {kind}, which"):
        export_saved_model(Corner(), tmp_path / "1")
    assert not list(tmp_path.iterdir())


def test_a_function_of_this_process_is_not_exported(tmp_path, monkeypatch):
    def call(self, inputs, training):
        light = tf.reshape(tf.numpy_function(lambda images: images.max() > 100, [inputs["images"]], tf.bool), [1, 1])
        return {"boxes": tf.zeros((1, 1, 4)), "scores": tf.zeros((1, 1)), "class_ids": tf.where(light, [[0]], [[-1]])}

    monkeypatch.setattr(Corner, "__call__", call)
    with pytest.raises(RuntimeError, match="PyFunc"):
        export_saved_model(Corner(), tmp_path / "1")


def test_every_operation_is_one_of_stock_tensorflow(served):
    _, _, files, answers = served
    kinds = set(export.op_names(pathlib.Path(files[0]).parent / "exported" / "1"))
    assert {"DecodePng", "CropAndResize", "Conv2D"} <= kinds
    assert set(answers["registered"]) == kinds


def test_saved_model_cli_runs_it(served, tmp_path):
    program = shutil.which("saved_model_cli", path=str(pathlib.Path(sys.executable).parent))
    if program is None:
        pytest.skip("TensorFlow's saved_model_cli is not beside this Python")
    found, _, files, _ = served
    np.save(tmp_path / "files.npy", np.array([pathlib.Path(file).read_bytes() for file in files]))
    words = ["--dir", pathlib.Path(files[0]).parent / "exported" / "1", "--tag_set", "serve"]
    words += ["--signature_def", "serving_default", "--inputs", f"image_bytes={tmp_path / 'files.npy'}"]
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([program, "run", *words, "--outdir", tmp_path / "out"], check=True, cwd=tmp_path, env=alone)
    answer = {name: np.load(tmp_path / "out" / f"{name}.npy") for name in ("num_detections", "detection_scores")}
    for one, count, scores in zip(found, answer["num_detections"], answer["detection_scores"], strict=True):
        assert count == len(one) > 0
        np.testing.assert_allclose(scores[: len(one)], one.scores, atol=1e-4)


def test_an_older_export_is_replaced_and_other_folders_are_not(tmp_path):
    export_saved_model(Corner(), tmp_path / "1")
    export_saved_model(Corner(), tmp_path / "1")
    assert [p.name for p in tmp_path.iterdir()] == ["1"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="no SavedModel"):
        export_saved_model(Corner(), tmp_path / "photos")
    assert (tmp_path / "photos" / "a.jpg").exists()


def test_torchvisions_resize_and_keypoints_are_served_too(tmp_path):
    from mrcnn_keras.model import MaskRCNN

    fields = {"resize": "torchvision", "num_keypoints": 3, "keypoint_head_dim": 8, "keypoint_head_convs": 1}
    model = MaskRCNN(TINY.replace(**fields, keypoint_score="logit", rpn_post_nms_topk_test=10, mask_head="none"))
    export_saved_model(model, tmp_path / "1")
    image = np.asarray(photo(123, 77, 3))
    answer = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_tensor"](image=image[None])
    (found,) = model.detect(image)
    count = int(answer["num_detections"][0])
    assert count == len(found) > 0 and "detection_masks" not in answer
    points = answer["detection_keypoints"][0, :count].numpy()[..., ::-1] * [77, 123]
    np.testing.assert_allclose(points, found.keypoints[..., :2], atol=0.02)
    np.testing.assert_allclose(answer["detection_keypoint_scores"][0, :count], found.keypoints[..., 2], atol=1e-3)


def test_a_photo_is_served_upright(tmp_path):
    export_saved_model(Corner(), tmp_path / "1", warm_up=False)
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (50, 30), (200, 200, 200)).save(buffer, "JPEG", exif=exif)
    signature = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    (masks, boxes) = (
        signature(image_bytes=tf.constant([buffer.getvalue()]))[name] for name in ("num_detections", "detection_boxes")
    )
    assert masks[0] == 1 and boxes[0, 0].numpy().tolist() == [0, 0, 0.5, 0.5]


def test_what_travels_with_the_graph(tmp_path):
    export_saved_model(Corner(), tmp_path / "1", serving_name="shapes")
    config, masks = model_info.from_json((tmp_path / "1" / "assets.extra" / "model.json").read_text())
    assert config == Corner.config.replace(class_names=Corner.config.names) and masks == "probabilities"
    served = tf.saved_model.load(str(tmp_path / "1"))
    told = served.signatures["model_info"](keys=tf.constant(["model_info", "anything"]))["values"].numpy()
    assert model_info.from_json(told[0].decode()) == (config, masks) and told[1] == b""
    requests = warm_up_requests(tmp_path / "1")
    assert {(one.model_spec.name, one.model_spec.signature_name) for one in requests} == {("shapes", "serving_default")}
    for one in requests:
        answer = served.signatures["serving_default"](image_bytes=tf.make_ndarray(one.inputs["image_bytes"]))
        assert answer["num_detections"].shape == (1,)


def warm_up_requests(folder):
    """What TensorFlow Serving asks a model before it says that it is ready."""
    predict = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    records = tf.data.TFRecordDataset(str(folder / "assets.extra" / "tf_serving_warmup_requests")).as_numpy_iterator()
    return [predict.PredictionLog.FromString(record).predict_log.request for record in records]


@pytest.mark.parametrize("limit", [5000, 1])
def test_a_model_takes_the_photos_that_it_is_warmed_up_with(tmp_path, limit):
    """TensorFlow Serving does not load a model that refuses one of them."""
    export_saved_model(Corner(), tmp_path / "1", max_pixels=limit)
    signature = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    sizes = []
    for request in warm_up_requests(tmp_path / "1"):
        (photo,) = tf.make_ndarray(request.inputs["image_bytes"])
        assert signature(image_bytes=tf.constant([photo]))["num_detections"].shape == (1,)
        sizes.append(Image.open(io.BytesIO(photo)).size)
    assert sizes == {5000: [(81, 61), (61, 81)], 1: [(1, 1)] * 2}[limit]


@pytest.fixture(scope="module")
def tiny():
    from mrcnn_keras.model import MaskRCNN

    return MaskRCNN(TINY)


@pytest.mark.slow
@pytest.mark.parametrize("masks", ["full", "png"])
def test_masks_of_the_images_size(tiny, tmp_path, masks):
    export_saved_model(tiny, tmp_path / "1", masks=masks, warm_up=False)
    files = []
    for size in ((120, 170), (200, 90)):
        buffer = io.BytesIO()
        photo(*size, 0).save(buffer, "PNG")
        files.append(buffer.getvalue())
    answer = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"](image_bytes=tf.constant(files))
    given = answer["detection_masks_bytes" if masks == "png" else "detection_masks"].numpy()
    for i, found in enumerate(tiny.detect(files, batch_size=2)):
        height, width = found.size
        if masks == "png":
            assert (given[i, len(found) :] == b"").all()
            served = np.stack([np.asarray(Image.open(io.BytesIO(one))) == 255 for one in given[i, : len(found)]])
        else:
            assert (
                given.shape == (2, 10, 200, 170) and not given[i, :, height:].any() and not given[i, :, :, width:].any()
            )
            served = given[i, : len(found), :height, :width] == 1
        assert served.shape == found.masks.shape and len(found) and found.masks.any()
        assert (served != found.masks).mean() < 1e-4


@pytest.mark.slow
def test_a_fixed_size_compiled_by_xla_gives_the_models_detections(tiny, tmp_path):
    image = np.asarray(photo(150, 90, 2))
    (expected,) = tiny.detect(image)
    export_saved_model(tiny, tmp_path / "1", input_size=(160, 96), jit_compile=True, warm_up=False)
    signature = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_tensor"]
    answer = signature(image=np.stack([image, image[:, ::-1]]))
    assert int(answer["num_detections"][0]) == len(expected) > 0
    np.testing.assert_allclose(answer["detection_scores"][0, : len(expected)], expected.scores, atol=1e-4)
    wide = signature(image=np.asarray(photo(90, 300, 2))[None])  # made to fit
    assert wide["num_detections"][0] > 0


@pytest.mark.slow
def test_half_precision_is_near(tiny, tmp_path):
    export_saved_model(tiny, tmp_path / "1", precision="bfloat16", warm_up=False)
    image = np.asarray(photo(120, 170, 0))
    answer = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_tensor"](image=image[None])
    (expected,) = tiny.detect(image)
    assert answer["detection_boxes"].dtype == tf.float32
    np.testing.assert_allclose(answer["detection_scores"][0, :3], expected.scores[:3], atol=0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "float16"}, "precision='float16': expected one of float32, bfloat16"),
        ({"masks": "rle"}, "masks='rle': expected one of probabilities, full, png"),
        ({"max_pixels": 0}, "max_pixels=0: expected 1 or more"),
        ({"input_size": (100, 128)}, r"input_size=\(100, 128\): expected \(height, width\), multiples of 32"),
    ],
)
def test_options_that_cannot_be(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        export_saved_model(Corner(), tmp_path / "1", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("masks", ["full", "png"])
def test_masks_of_a_model_without_them(tmp_path, masks):
    """A client would look for them in every answer."""
    with pytest.raises(ValueError, match=f"masks='{masks}': the model has none.*leave masks out"):
        export_saved_model(types.SimpleNamespace(config=TINY.replace(mask_head="none")), tmp_path / "1", masks=masks)
    assert not list(tmp_path.iterdir())
