"""The SavedModel: what its signatures answer, where the package is absent, and what lies beside the graph."""

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

from mrcnn_keras.model import MaskRCNN
from mrcnn_keras.serving import export, export_saved_model, model_info

from .conftest import file_of, predict
from .corner import Corner
from .tiny import C4, KEYPOINTS, TINY, photo

# Runs where the package cannot be imported, as in TF Serving: the answers of one SavedModel after the other to the same
# files, and the kinds of operations that this TensorFlow knows.
CLIENT = """
import sys
sys.modules["mrcnn_keras"] = None
import numpy as np, tensorflow as tf
from tensorflow.python.framework import op_def_registry
files, kinds, *folders = (words.split("|") for words in sys.argv[2:])
images = tf.constant([open(name, "rb").read() for name in files])
answers = {"registered": [kind for kind in kinds if op_def_registry.get(kind) is not None]}
for number, (folder,) in enumerate(folders):
    answer = tf.saved_model.load(folder).signatures["serving_default"](image_bytes=images)
    answers |= {f"{number}/{name}": value for name, value in answer.items()}
np.savez(sys.argv[1], **answers)
"""


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A wide and a tall photo."""
    folder = tmp_path_factory.mktemp("photos")
    photo(120, 170, 0).save(folder / "wide.jpg", quality=95)
    photo(200, 90, 1).save(folder / "tall.png")
    return [str(folder / "wide.jpg"), str(folder / "tall.png")]


@pytest.fixture(scope="module")
def found(model, files):
    """What the model detects in the photos."""
    return model.detect(files, batch_size=2)


@pytest.fixture(scope="module")
def answers(server, files):
    """What its SavedModel answers to the photos in a process without this package."""
    return predict(server, "serving_default", [pathlib.Path(file).read_bytes() for file in files])


@pytest.mark.slow
def test_other_kinds_of_models_are_served_too(files, tmp_path):
    kinds_of_models = [
        {"roi_op": "pool", "mask_head": "mlp", "mask_head_fc_dim": 8, "mask_loss": "softmax"},
        {"roi_op": "warp", "roi_reduce": "max", **C4, **KEYPOINTS},
    ]
    models = [MaskRCNN(TINY.replace(**fields)) for fields in kinds_of_models]
    folders = [export_saved_model(model, tmp_path / str(number)) for number, model in enumerate(models)]
    operations = {kind for folder in folders for kind in export.op_names(folder)}
    words = [tmp_path / "answers.npz", "|".join(files), "|".join(operations), *folders]
    subprocess.run([sys.executable, "-c", CLIENT, *map(str, words)], check=True, cwd=tmp_path)
    with np.load(tmp_path / "answers.npz") as given:
        answers = dict(given)
    assert set(answers["registered"]) == operations  # nothing but stock TensorFlow
    for number, model in enumerate(models):
        answer = {name.split("/")[1]: value for name, value in answers.items() if name.startswith(f"{number}/")}
        assert all(value.dtype == np.float32 for value in answer.values())
        for i, one in enumerate(model.detect(files, batch_size=2)):
            count = int(answer["num_detections"][i])
            assert count == len(one) > 0
            np.testing.assert_allclose(answer["detection_scores"][i, :count], one.scores, atol=1e-4)
            assert answer["detection_masks"][i, :count].shape == (count, 28, 28)
            assert ("detection_keypoints" in answer) == (one.keypoints is not None) == (number == 1)
            if one.keypoints is not None:
                scale = np.array(one.size[::-1], np.float32)
                points = answer["detection_keypoints"][i, :count]
                np.testing.assert_allclose(points[..., ::-1] * scale, one.keypoints[..., :2], atol=0.5)


def test_answers_have_the_object_detection_apis_form(answers):
    assert {name: value.shape for name, value in answers.items()} == {
        "num_detections": (2,),
        "detection_boxes": (2, 10, 4),
        "detection_classes": (2, 10),
        "detection_scores": (2, 10),
        "detection_masks": (2, 10, 28, 28),
        "detection_keypoints": (2, 10, 3, 2),
        "detection_keypoint_scores": (2, 10, 3),
    }
    assert (answers["detection_boxes"] >= 0).all() and (answers["detection_boxes"] <= 1).all()


@pytest.mark.parametrize("signature", ["serving_default", "serving_tensor"])
def test_all_answers_are_float32(exported, answers, signature):
    from tensorflow.core.protobuf import saved_model_pb2

    (graph,) = saved_model_pb2.SavedModel.FromString((exported / "saved_model.pb").read_bytes()).meta_graphs
    outputs = graph.signature_def[signature].outputs
    assert {name: tf.as_dtype(one.dtype) for name, one in outputs.items()} == dict.fromkeys(answers, tf.float32)


def test_photos_of_any_size_give_the_models_detections(found, answers):
    for i, one in enumerate(found):
        count = int(answers["num_detections"][i])
        assert count == len(one) > 0
        height, width = one.size
        boxes = answers["detection_boxes"][i, :count][:, [1, 0, 3, 2]] * [width, height, width, height]
        np.testing.assert_allclose(boxes, one.boxes, atol=0.01)
        np.testing.assert_allclose(answers["detection_scores"][i, :count], one.scores, atol=1e-4)
        np.testing.assert_array_equal(answers["detection_classes"][i, :count], one.class_ids + 1)
        assert 0 < answers["detection_masks"][i, :count].min() < answers["detection_masks"][i].max() < 1


def test_tensor_signature_gives_the_models_detections(server, model, files):
    image = np.asarray(Image.open(files[1]))
    images = [image, image[:, ::-1]]
    answers = predict(server, "serving_tensor", images)
    for i, one in enumerate(model.detect(images, batch_size=2)):
        assert int(answers["num_detections"][i]) == len(one)
        np.testing.assert_allclose(answers["detection_scores"][i, : len(one)], one.scores, atol=1e-4)


@pytest.fixture(scope="module")
def corner(tmp_path_factory):
    """The folder of a stand-in's SavedModel, and what TensorFlow loads from it."""
    folder = tmp_path_factory.mktemp("corner") / "1"
    export_saved_model(Corner(), folder, serving_name="shapes")
    return folder, tf.saved_model.load(str(folder))


def test_fewer_detections_are_padded_and_boxes_are_fractions(corner):
    answer = corner[1].signatures["serving_tensor"](
        image=np.array([[[[200]]], [[[10]]]], np.uint8) * np.ones((2, 40, 90, 3), np.uint8)
    )
    assert answer["num_detections"].numpy().tolist() == [1, 0]
    assert answer["detection_classes"].numpy().tolist() == [[3, 0, 0, 0], [0, 0, 0, 0]]
    assert answer["detection_boxes"].numpy()[:, 0].tolist() == [[0, 0, 0.5, 0.5], [0, 0, 0, 0]]
    assert "detection_masks" not in answer


def test_grey_and_transparent_files(corner):
    image = Image.new("RGB", (50, 30), (200, 200, 200))
    kinds = (("L", "JPEG"), ("L", "PNG"), ("RGBA", "PNG"), ("P", "PNG"))
    given = [file_of(image.convert(mode), kind) for mode, kind in kinds]
    answer = corner[1].signatures["serving_default"](image_bytes=tf.constant(given))
    assert answer["num_detections"].numpy().tolist() == [1, 1, 1, 1]


def test_foreign_operations_are_an_error_and_leave_nothing_behind(tmp_path, monkeypatch):
    foreign = ["EagerPyFunc", "MrcnnKeras>RoiAlign", "PyFunc", "PyFuncStateless"]
    monkeypatch.setattr(export, "op_names", lambda path: ["MatMul", *foreign])
    with pytest.raises(RuntimeError, match=f"needs {', '.join(foreign)}, which"):
        export_saved_model(Corner(), tmp_path / "1")
    assert not list(tmp_path.iterdir())


def test_a_function_of_this_process_is_not_exported(tmp_path, monkeypatch):
    def call(self, inputs, training):
        light = tf.reshape(tf.numpy_function(lambda images: images.max() > 100, [inputs["images"]], tf.bool), [1, 1])
        return {"boxes": tf.zeros((1, 1, 4)), "scores": tf.zeros((1, 1)), "class_ids": tf.where(light, [[0]], [[-1]])}

    monkeypatch.setattr(Corner, "__call__", call)
    with pytest.raises(RuntimeError, match="PyFunc"):
        export_saved_model(Corner(), tmp_path / "1")


def test_operations_are_those_of_stock_tensorflow(exported):
    """That they are all known where the package is absent, the slow test above asks TensorFlow itself."""
    kinds = set(export.op_names(exported))
    assert {"DecodePng", "CropAndResize", "Conv2D"} <= kinds
    assert not any(">" in kind or "PyFunc" in kind for kind in kinds)


@pytest.mark.slow
def test_saved_model_cli_runs_it(corner, tmp_path):
    program = shutil.which("saved_model_cli", path=str(pathlib.Path(sys.executable).parent))
    if program is None:
        pytest.skip("TensorFlow's saved_model_cli is not beside this Python")
    given = [file_of(Image.new("RGB", size, (grey,) * 3), "PNG") for size, grey in (((50, 30), 200), ((40, 90), 10))]
    np.save(tmp_path / "files.npy", np.array(given))
    words = ["--dir", corner[0], "--tag_set", "serve", "--signature_def", "serving_default"]
    words += ["--inputs", f"image_bytes={tmp_path / 'files.npy'}"]
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([program, "run", *words, "--outdir", tmp_path / "out"], check=True, cwd=tmp_path, env=alone)
    answer = {path.stem: np.load(path) for path in (tmp_path / "out").iterdir()}
    assert answer["num_detections"].tolist() == [1, 0] and answer["detection_classes"][0].tolist() == [3, 0, 0, 0]
    assert answer["detection_boxes"][0, 0].tolist() == [0, 0, 0.5, 0.5]


@pytest.fixture(scope="module")
def renewed(corner, tmp_path_factory):
    """The folder of an export that replaced an older one, for photos of 5000 pixels at most."""
    folder = tmp_path_factory.mktemp("renewed") / "1"
    shutil.copytree(corner[0], folder)
    (folder / "assets.extra" / "model.json").write_text("of the older export")
    export_saved_model(Corner(), folder, max_pixels=5000)
    return folder


def test_an_older_export_is_replaced_and_other_folders_are_not(renewed, tmp_path):
    assert [p.name for p in renewed.parent.iterdir()] == ["1"]
    assert model_info.from_json((renewed / "assets.extra" / "model.json").read_text())
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="no SavedModel"):
        export_saved_model(Corner(), tmp_path)
    assert (tmp_path / "a.jpg").exists()


@pytest.mark.slow
def test_torchvisions_resize_and_keypoints_are_served_too(tmp_path):
    fields = {**C4, **KEYPOINTS, "mask_head": "none"}
    model = MaskRCNN(TINY.replace(resize="torchvision", keypoint_score="logit", rpn_post_nms_topk_test=10, **fields))
    export_saved_model(model, tmp_path / "1", warm_up=False)
    image = np.asarray(photo(123, 77, 3))
    answer = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_tensor"](image=image[None])
    (found,) = model.detect(image)
    count = int(answer["num_detections"][0])
    assert count == len(found) > 0 and "detection_masks" not in answer
    points = answer["detection_keypoints"][0, :count].numpy()[..., ::-1] * [77, 123]
    np.testing.assert_allclose(points, found.keypoints[..., :2], atol=0.02)
    np.testing.assert_allclose(answer["detection_keypoint_scores"][0, :count], found.keypoints[..., 2], atol=1e-3)


def test_a_photo_is_served_upright(corner):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = file_of(Image.new("RGB", (50, 30), (200, 200, 200)), "JPEG", exif=exif)
    answer = corner[1].signatures["serving_default"](image_bytes=tf.constant([file]))
    assert answer["num_detections"][0] == 1
    assert answer["detection_boxes"][0, 0].numpy().tolist() == [0, 0, 0.5, 0.5]


def test_what_travels_with_the_graph(corner):
    folder, served = corner
    config, masks = model_info.from_json((folder / "assets.extra" / "model.json").read_text())
    assert config == Corner.config.replace(class_names=Corner.config.names) and masks == "probabilities"
    told = served.signatures["model_info"](keys=tf.constant(["model_info", "anything"]))["values"].numpy()
    assert model_info.from_json(told[0].decode()) == (config, masks) and told[1] == b""
    requests = warm_up_requests(folder)
    assert {(one.model_spec.name, one.model_spec.signature_name) for one in requests} == {("shapes", "serving_default")}
    for one in requests:
        answer = served.signatures["serving_default"](image_bytes=tf.make_ndarray(one.inputs["image_bytes"]))
        assert answer["num_detections"].shape == (1,)


def warm_up_requests(folder):
    """What TensorFlow Serving asks a model before it says that it is ready."""
    predict = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    records = tf.data.TFRecordDataset(str(folder / "assets.extra" / "tf_serving_warmup_requests")).as_numpy_iterator()
    return [predict.PredictionLog.FromString(record).predict_log.request for record in records]


def sizes_of_warm_up(folder):
    """Of the photos with which a model is warmed up, each of which it must answer.

    TensorFlow Serving does not load a model that refuses one of them.
    """
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    for request in warm_up_requests(folder):
        (photo,) = tf.make_ndarray(request.inputs["image_bytes"])
        assert signature(image_bytes=tf.constant([photo]))["num_detections"].shape == (1,)
        yield Image.open(io.BytesIO(photo)).size


def test_a_model_takes_the_photos_that_it_is_warmed_up_with(renewed):
    assert list(sizes_of_warm_up(renewed)) == [(81, 61), (61, 81)]


@pytest.mark.slow
def test_a_model_for_one_pixel_takes_the_photos_that_it_is_warmed_up_with(tmp_path):
    export_saved_model(Corner(), tmp_path / "1", max_pixels=1)
    assert list(sizes_of_warm_up(tmp_path / "1")) == [(1, 1)] * 2


# Runs a signature that XLA compiles, which keeps memory of the process for ever, for two batches of images.
COMPILED = """
import sys
import numpy as np, tensorflow as tf
signature = tf.saved_model.load(sys.argv[1]).signatures["serving_tensor"]
with np.load(sys.argv[2]) as batches:
    answers = {name: signature(image=images) for name, images in batches.items()}
np.savez(sys.argv[3], **{f"{name}/{key}": one for name, answer in answers.items() for key, one in answer.items()})
"""


@pytest.mark.slow
def test_a_fixed_size_compiled_by_xla_gives_the_models_detections(tmp_path):
    model = MaskRCNN(TINY.replace(**C4))
    image, wide = np.asarray(photo(150, 90, 2)), np.asarray(photo(90, 300, 2))
    (expected,) = model.detect(image)
    export_saved_model(model, tmp_path / "1", input_size=(160, 96), jit_compile=True, warm_up=False)
    np.savez(tmp_path / "images.npz", two=np.stack([image, image[:, ::-1]]), wide=wide[None])
    words = [tmp_path / "1", tmp_path / "images.npz", tmp_path / "answers.npz"]
    subprocess.run([sys.executable, "-c", COMPILED, *map(str, words)], check=True)
    with np.load(tmp_path / "answers.npz") as answers:
        assert int(answers["two/num_detections"][0]) == len(expected) > 0
        np.testing.assert_allclose(answers["two/detection_scores"][0, : len(expected)], expected.scores, atol=1e-4)
        assert answers["wide/num_detections"][0] > 0  # made to fit


@pytest.mark.slow
def test_half_precision_is_near(tmp_path):
    model = MaskRCNN(TINY.replace(**C4, mask_head="none"))
    export_saved_model(model, tmp_path / "1", precision="bfloat16", warm_up=False)
    image = np.asarray(photo(120, 170, 0))
    answer = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_tensor"](image=image[None])
    (expected,) = model.detect(image)
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
