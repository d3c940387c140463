"""TensorFlow Serving's gRPC interface, by the package tensorflow-serving-api."""

import importlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mrcnn_keras.serving.errors import Absent, Refused, ServerError, ServerTimeoutError, Unreached


class GrpcTransport:
    """Requests over one channel.

    Args:
        address: "host:8500".
        model: name of the served model.
        version: which one; None: the newest.
        connect_timeout: seconds to wait for a connection.
        timeout: seconds to wait for an answer.

    Raises:
        ImportError: the package tensorflow-serving-api is not installed.
    """

    def __init__(self, address: str, model: str, version: int | None, connect_timeout: float, timeout: float):
        grpc, service, models, status = (_import(name) for name in _NEEDED)
        self._grpc = grpc
        self._channel = grpc.insecure_channel(address, options=_options(connect_timeout))
        self._predict = service.PredictionServiceStub(self._channel).Predict
        self._status = models.ModelServiceStub(self._channel).GetModelStatus
        self._states = status.ModelVersionStatus.State
        self._address, self._model, self._version, self._timeout = address, model, version, timeout

    def predict(self, signature: str, inputs: Mapping[str, Sequence[bytes]]) -> dict[str, np.ndarray]:
        """Run one of the model's signatures.

        Args:
            signature: its name.
            inputs: name of a string tensor -> its N values.

        Returns:
            Name of a tensor -> its values, strings as bytes.

        Raises:
            Unreached, Refused, Absent, ServerError: see there.
        """
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest(model_spec=self._spec(signature_name=signature))
        for name, values in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(list(values), dtype=tf.string))
        answer = self._ask(self._predict, request)
        return {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}

    def state(self, timeout: float = math.inf) -> str:
        """State of the model's newest version (or the one asked for), such as "AVAILABLE" or "LOADING".

        Args:
            timeout: seconds to wait, where the transport's are not less; above 0.

        Raises:
            Unreached, Refused, Absent, ServerError: see there.
        """
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest(model_spec=self._spec())
        versions = self._ask(self._status, request, timeout).model_version_status
        states = [self._states.Name(one.state) for one in versions]
        return "AVAILABLE" if "AVAILABLE" in states else next(iter(states), "UNKNOWN")

    def close(self) -> None:
        """Close the channel; there are no requests after that."""
        self._channel.close()

    def _spec(self, **fields: Any):
        from tensorflow_serving.apis import model_pb2

        spec = model_pb2.ModelSpec(name=self._model, **fields)
        if self._version is not None:
            spec.version.value = self._version
        return spec

    def _ask(self, method: Any, request: Any, timeout: float = math.inf) -> Any:
        timeout = min(timeout, self._timeout)
        try:
            return method(request, timeout=timeout)
        except self._grpc.RpcError as error:
            raise self._failure(error.code(), error.details() or "", timeout) from error

    def _failure(self, code: Any, details: str, timeout: float) -> Exception:
        codes = self._grpc.StatusCode
        told = f"{details} ({code.name})"
        if code == codes.DEADLINE_EXCEEDED:
            return ServerTimeoutError(f"{self._address} gave no answer within {timeout:.3g} s")
        if code == codes.UNAVAILABLE:
            return Unreached(told)
        if code == codes.NOT_FOUND:
            return Absent(told)
        if code in (codes.INVALID_ARGUMENT, codes.FAILED_PRECONDITION, codes.OUT_OF_RANGE):
            return Refused(told)
        return ServerError(f"the server at {self._address} failed: {told}")


_APIS = "tensorflow_serving.apis"
_NEEDED = (
    "grpc", f"{_APIS}.prediction_service_pb2_grpc", f"{_APIS}.model_service_pb2_grpc", f"{_APIS}.get_model_status_pb2"
)  # fmt: skip


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        remedy = 'pip install "mrcnn-keras[serving]", or use REST: http://host:8501'
        raise ImportError(f"gRPC needs the package tensorflow-serving-api: {remedy} ({error})") from error


def _options(connect_timeout: float) -> list[tuple[str, int]]:
    return [
        ("grpc.max_send_message_length", -1),  # 4 MiB otherwise, and photos and masks are larger
        ("grpc.max_receive_message_length", -1),
        # The first is also how long gRPC waits for a connection; the others let it find a restarted server soon.
        ("grpc.min_reconnect_backoff_ms", max(1, round(1000 * connect_timeout))),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]
