"""A SavedModel that is loaded, warmed up and run as TensorFlow Serving does."""

import pathlib
import threading

import numpy as np
import tensorflow as tf

WARMUP = pathlib.Path("assets.extra") / "tf_serving_warmup_requests"


class RequestError(Exception):
    """A request that cannot be answered.

    Args:
        code: name of a canonical status code, such as "INVALID_ARGUMENT".
        message: for the client.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


class ServedModel:
    """The highest version below a folder.

    Args:
        base: folder of folders named by numbers.
        name: what clients call the model.
        concurrency: requests that are computed at a time; others wait.
    """

    def __init__(self, base: str, name: str, concurrency: int):
        versions = [path for path in pathlib.Path(base).iterdir() if path.name.isdecimal()]
        if not versions:
            raise ValueError(f"no version, a folder named by a number, in {base}")
        path = max(versions, key=lambda version: int(version.name))
        self.name, self.version = name, int(path.name)
        self._loaded = tf.saved_model.load(str(path))
        self.signatures = dict(self._loaded.signatures)
        self._turn = threading.Semaphore(concurrency)
        self.warmed_up = self._warm_up(path / WARMUP)

    def check(self, name: str, version: int | None) -> None:
        """RequestError unless this is the model of that name and version (None: any)."""
        if name != self.name:
            raise RequestError("NOT_FOUND", f"Servable not found for request: Latest({name})")
        if version not in (None, self.version):
            raise RequestError("NOT_FOUND", f"Servable not found for request: Specific({name}, {version})")

    def inputs_of(self, signature: str) -> dict[str, tf.TensorSpec]:
        """Name -> what it takes."""
        if signature not in self.signatures:
            raise RequestError("FAILED_PRECONDITION", f'Serving signature key "{signature}" not found.')
        return self.signatures[signature].structured_input_signature[1]

    def run(self, signature: str, inputs: dict[str, np.ndarray], wanted=()) -> dict[str, np.ndarray]:
        """Run a signature; `wanted` are names of outputs, all of them when empty."""
        expected = self.inputs_of(signature)
        if set(inputs) != set(expected):
            lacking, extra = ",".join(set(expected) - set(inputs)), ",".join(set(inputs) - set(expected))
            message = f"input size does not match signature. Sent extra: {{{extra}}}. Missing: {{{lacking}}}."
            raise RequestError("INVALID_ARGUMENT", message)
        try:
            tensors = {name: tf.constant(value, expected[name].dtype) for name, value in inputs.items()}
            with self._turn:
                outputs = self.signatures[signature](**tensors)
        except tf.errors.OpError as error:
            raise RequestError(_CODES[error.error_code], error.message) from error
        except (TypeError, ValueError) as error:
            raise RequestError("INVALID_ARGUMENT", str(error)) from error
        unknown = set(wanted) - set(outputs)
        if unknown:
            raise RequestError("INVALID_ARGUMENT", f"output tensor alias not found in signature: {unknown.pop()}")
        return {name: outputs[name].numpy() for name in wanted or outputs}

    def _warm_up(self, path: pathlib.Path) -> int:
        """Replay the requests that lie beside the model; how many there were."""
        if not path.exists():
            return 0
        from tensorflow_serving.apis import prediction_log_pb2

        count = 0
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
            self.run(request.model_spec.signature_name or "serving_default", inputs, list(request.output_filter))
            count += 1
        return count


_CODES = {
    value: name
    for name, value in vars(tf.errors).items()
    if name.isupper() and isinstance(value, int)
}  # fmt: skip
