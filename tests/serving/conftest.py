"""A tiny served model, which the tests of the export, of the client and of the test server share."""

import base64
import http.client
import importlib.util
import io
import json
import shutil

import numpy as np
import pytest

from mrcnn_keras.serving import export_saved_model

from .running import Running
from .tiny import KEYPOINTS, TINY, photo

HAS_GRPC = importlib.util.find_spec("tensorflow_serving") is not None
CONFIG = TINY.replace(
    class_names=("cat", "dog", "owl"),
    **KEYPOINTS,
    keypoint_names=("nose", "left_ear", "right_ear"),
    keypoint_skeleton=((0, 1), (0, 2)),
)


@pytest.fixture(scope="session")
def model():
    """With masks and keypoints."""
    from mrcnn_keras.model import MaskRCNN

    return MaskRCNN(CONFIG)


@pytest.fixture(scope="session")
def exported(model, tmp_path_factory):
    """The SavedModel of `model`."""
    path = tmp_path_factory.mktemp("exported") / "2"
    assert export_saved_model(model, path) == path
    return path


@pytest.fixture(scope="session")
def server(exported):
    """It serves `model` as version 2; there is an older version, too."""
    base = exported.parent
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


def ask(server, method, path, body=None):
    """Send a REST request; returns the status, and the JSON of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=60)
    try:
        connection.request(method, path, body if body is None or isinstance(body, bytes) else json.dumps(body))
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def predict(server, signature, values):
    """What a signature of one input answers to the values, without a client of ours; files are bytes."""
    inputs = [{"b64": base64.b64encode(one).decode()} if isinstance(one, bytes) else one.tolist() for one in values]
    body = {"signature_name": signature, "inputs": inputs}
    status, answer = ask(server, "POST", "/v1/models/mask_rcnn:predict", body)
    assert status == 200, answer
    return {name: np.array(_decoded(value)) for name, value in answer["outputs"].items()}


def _decoded(value):
    if isinstance(value, list):
        return [_decoded(one) for one in value]
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value


def file_of(image, form, **options):
    """The bytes of a PIL image's file."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()
