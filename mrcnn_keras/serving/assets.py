"""What travels with a served model beside its graph."""

import io
import math
import pathlib
from typing import Any

from mrcnn_keras.serving import model_info

FOLDER = "assets.extra"  # TensorFlow Serving looks there for warm-up requests, and takes along what else is in it
_WARMUP = "tf_serving_warmup_requests"
# Photos to warm up with: one of each orientation, so that memory of both sizes is allocated.
_PHOTOS = ((480, 640), (640, 480))


def write_assets(
    folder: pathlib.Path, config: Any, masks: str, model_name: str, warm_up: bool, max_pixels: int
) -> None:
    """Write `assets.extra` into a SavedModel.

    Args:
        folder: of the SavedModel.
        config: `MaskRCNNConfig`.
        masks: what `detection_masks` is.
        model_name: by which TensorFlow Serving knows the model.
        warm_up: whether it shall answer some photos before it says that it is ready.
        max_pixels: these photos have no more of them, for a model that refuses one of them does not load.
    """
    (folder / FOLDER).mkdir(exist_ok=True)
    (folder / FOLDER / "model.json").write_text(model_info.to_json(config, masks) + "\n")
    if warm_up:
        _write_warm_up(folder / FOLDER / _WARMUP, model_name, max_pixels)


def _write_warm_up(path: pathlib.Path, model_name: str, max_pixels: int) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as records:
        for size in _PHOTOS:
            records.write(_prediction_log(model_name, _photo(*_fitted(*size, max_pixels))))


def _fitted(height: int, width: int, max_pixels: int) -> tuple[int, int]:
    scale = min(1.0, math.sqrt(max_pixels / (height * width)))
    return max(1, int(scale * height)), max(1, int(scale * width))


def _photo(height: int, width: int) -> bytes:
    """A JPEG with some structure, for which a network finds proposals."""
    import numpy as np
    from PIL import Image

    coarse = np.random.default_rng(0).integers(0, 256, (-(-height // 40), -(-width // 40), 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((width, height)).save(file, "JPEG")
    return file.getvalue()


def _prediction_log(model_name: str, photo: bytes) -> bytes:
    """A `tensorflow.serving.PredictionLog` of one request, which needs no package but TensorFlow to be written."""
    import tensorflow as tf

    spec = _field(1, model_name.encode()) + _field(3, b"serving_default")
    tensor = tf.make_tensor_proto([photo]).SerializeToString()
    inputs = _field(1, b"image_bytes") + _field(2, tensor)
    request = _field(1, spec) + _field(2, inputs)
    return _field(6, _field(1, request))


def _field(number: int, value: bytes) -> bytes:
    """A field of bytes in the wire format of protocol buffers."""
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
