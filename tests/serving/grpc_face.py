"""TensorFlow Serving's gRPC interface to a `ServedModel`."""

import concurrent.futures
import contextlib

import grpc
import tensorflow as tf
from served_model import RequestError, ServedModel
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)


def make_server(model: ServedModel, port: int, threads: int) -> tuple[grpc.Server, int]:
    """A server on a port of this machine, and that port; 0 chooses one."""
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(threads), options=options)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Prediction(model), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Models(model), server)
    return server, server.add_insecure_port(f"127.0.0.1:{port}")


class _Face:
    def __init__(self, model: ServedModel):
        self.model = model

    def check(self, request, context) -> None:
        """End the call unless it is for this model."""
        spec = request.model_spec
        with _answered(context):
            self.model.check(spec.name, spec.version.value if spec.HasField("version") else None)


@contextlib.contextmanager
def _answered(context):
    """Ends a call with the status that a failure has."""
    try:
        yield
    except RequestError as error:
        context.abort(grpc.StatusCode[error.code], str(error))


class _Prediction(_Face, prediction_service_pb2_grpc.PredictionServiceServicer):
    def Predict(self, request, context):
        self.check(request, context)
        with _answered(context):
            try:
                inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
            except (TypeError, ValueError) as error:
                raise RequestError("INVALID_ARGUMENT", str(error)) from error
            signature = request.model_spec.signature_name or "serving_default"
            outputs = self.model.run(signature, inputs, list(request.output_filter))
        response = predict_pb2.PredictResponse()
        self.name_model(response.model_spec, signature)
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response

    def GetModelMetadata(self, request, context):
        self.check(request, context)
        if list(request.metadata_field) != ["signature_def"]:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Metadata field is not supported")
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name in self.model.signatures:
            definition = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
            for one, spec in self.model.inputs_of(name).items():
                definition.inputs[one].dtype = spec.dtype.as_datatype_enum
                definition.inputs[one].tensor_shape.CopyFrom(spec.shape.as_proto())
            signatures.signature_def[name].CopyFrom(definition)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        self.name_model(response.model_spec, "")
        response.metadata["signature_def"].Pack(signatures)
        return response

    def name_model(self, spec, signature: str) -> None:
        """Fill in which model answers."""
        spec.name, spec.version.value, spec.signature_name = self.model.name, self.model.version, signature


class _Models(_Face, model_service_pb2_grpc.ModelServiceServicer):
    def GetModelStatus(self, request, context):
        self.check(request, context)
        response = get_model_status_pb2.GetModelStatusResponse()
        response.model_version_status.add(
            version=self.model.version, state=get_model_status_pb2.ModelVersionStatus.AVAILABLE
        )
        return response
