"""A tiny served model, which the tests of the client and of the test server share."""

import importlib.util
import io
import shutil

import pytest

from mrcnn_keras.serving import export_saved_model

from .running import Running
from .tiny import TINY, photo

HAS_GRPC = importlib.util.find_spec("tensorflow_serving") is not None
CONFIG = TINY.replace(
    class_names=("cat", "dog", "owl"),
    num_keypoints=3,
    keypoint_head_dim=8,
    keypoint_head_convs=1,
    keypoint_names=("nose", "left_ear", "right_ear"),
    keypoint_skeleton=((0, 1), (0, 2)),
)


@pytest.fixture(scope="session")
def model():
    """With masks and keypoints."""
    from mrcnn_keras.model import MaskRCNN

    return MaskRCNN(CONFIG)


@pytest.fixture(scope="session")
def server(model, tmp_path_factory):
    """It serves `model` as version 2; there is an older version, too."""
    base = tmp_path_factory.mktemp("exported")
    export_saved_model(model, base / "2")
    shutil.copytree(base / "2", base / "1")
    (base / "1" / "saved_model.pb").write_bytes(b"an older version, which nobody loads")
    write_warmup(base / "2" / "assets.extra")
    running = Running(base, grpc=HAS_GRPC)
    yield running
    running.kill()


def write_warmup(folder):
    """Two requests, in the file that TensorFlow Serving looks for."""
    if not HAS_GRPC:
        return
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "mask_rcnn"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([file_of(photo(40, 50, 0), "JPEG")]))
    log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
    folder.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / "tf_serving_warmup_requests")) as writer:
        for _ in range(2):
            writer.write(log.SerializeToString())


def file_of(image, form, **options):
    """The bytes of a PIL image's file."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()
