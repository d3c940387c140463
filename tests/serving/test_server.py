"""The test server answers as TensorFlow Serving's documentation of its REST and gRPC interfaces says."""

import base64
import functools
import json

import numpy as np
import pytest

from . import conftest
from .conftest import HAS_GRPC, file_of
from .tiny import photo

MODEL = "/v1/models/mask_rcnn"


@pytest.fixture
def ask(server):
    """A function that sends a request and returns the status and the JSON of the answer."""
    return functools.partial(conftest.ask, server)


@pytest.fixture(scope="module")
def files():
    data = (file_of(photo(60, 80, 0), "JPEG"), file_of(photo(90, 50, 1), "PNG"))
    return [{"b64": base64.b64encode(one).decode()} for one in data]


def test_rows_and_columns_hold_the_same(ask, files):
    status, columns = ask("POST", f"{MODEL}:predict", {"inputs": {"image_bytes": files}})
    assert status == 200
    for rows in (files, [{"image_bytes": one} for one in files]):
        status, answer = ask("POST", f"{MODEL}/versions/2:predict", {"instances": rows})
        assert status == 200 and len(answer["predictions"]) == 2
        for i, row in enumerate(answer["predictions"]):
            assert set(row) == set(columns["outputs"])
            for name, value in row.items():
                np.testing.assert_allclose(value, columns["outputs"][name][i], atol=1e-5)


def test_a_single_output_has_no_name(ask):
    body = {"signature_name": "model_info", "inputs": {"keys": ["model_info", "other"]}}
    status, answer = ask("POST", f"{MODEL}:predict", body)
    assert status == 200 and json.loads(answer["outputs"][0])["class_names"] == ["cat", "dog", "owl"]
    assert answer["outputs"][1] == ""


def test_an_array_can_be_sent_as_numbers(ask):
    image = np.asarray(photo(40, 50, 2)).tolist()
    status, answer = ask("POST", f"{MODEL}:predict", {"signature_name": "serving_tensor", "inputs": [image]})
    assert status == 200 and answer["outputs"]["num_detections"][0] > 0


def test_status_and_metadata(ask):
    for path in (MODEL, f"{MODEL}/versions/2"):
        status, answer = ask("GET", path)
        (version,) = answer["model_version_status"]
        assert status == 200 and (version["version"], version["state"]) == ("2", "AVAILABLE")
    status, answer = ask("GET", f"{MODEL}/metadata")
    assert status == 200 and answer["model_spec"]["version"] == "2"
    assert "serving_default" in answer["metadata"]["signature_def"]["signature_def"]


@pytest.mark.parametrize(
    "path, body, status, told",
    [
        (f"{MODEL}:predict", b"{", 400, "JSON"),
        (f"{MODEL}:predict", {}, 400, "instances"),
        (f"{MODEL}:predict", {"inputs": {"image": ["x"]}}, 400, "Missing: {image_bytes}"),
        (f"{MODEL}:predict", {"inputs": {"image_bytes": [{"b64": "?"}]}}, 400, "input"),
        (f"{MODEL}:predict", {"inputs": {"image_bytes": [[1], [2, 3]]}}, 400, ""),
        (f"{MODEL}:predict", {"inputs": {"image_bytes": ["no photo"]}}, 400, ""),
        (f"{MODEL}:predict", {"instances": []}, 400, "instances"),
        (f"{MODEL}:predict", {"signature_name": "other", "inputs": []}, 400, "other"),
        (f"{MODEL}:explain", {}, 400, "Malformed"),
        ("/v1/models/other:predict", {"instances": [1]}, 404, "other"),
        (f"{MODEL}/versions/9:predict", {"instances": [1]}, 404, "9"),
    ],
)
def test_bad_requests_are_told_and_survived(ask, path, body, status, told):
    answered, answer = ask("POST", path, body)
    assert answered == status and told in answer["error"]
    assert ask("GET", MODEL)[0] == 200


@pytest.mark.skipif(not HAS_GRPC, reason="tensorflow-serving-api is not installed")
def test_grpc_metadata_and_output_filter(server):
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

    with grpc.insecure_channel(server.addresses["grpc"]) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = "mask_rcnn"
        signatures = get_model_metadata_pb2.SignatureDefMap()
        assert stub.GetModelMetadata(request).metadata["signature_def"].Unpack(signatures)
        assert signatures.signature_def["serving_default"].inputs["image_bytes"].dtype == tf.string.as_datatype_enum
        request = predict_pb2.PredictRequest(output_filter=["num_detections"])
        request.model_spec.name = "mask_rcnn"
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([file_of(photo(60, 80, 0), "PNG")]))
        assert list(stub.Predict(request).outputs) == ["num_detections"]
        request.output_filter[:] = ["boxes"]
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(request)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
