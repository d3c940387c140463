"""A model as a SavedModel for TensorFlow Serving, of stock TensorFlow operations only."""

import os
import pathlib
import shutil
from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from mrcnn_keras import ops
from mrcnn_keras.serving import model_info
from mrcnn_keras.serving.resize import resize_like


def export_saved_model(model: Any, path: str | os.PathLike) -> pathlib.Path:
    """Write a SavedModel that loads where this package and its compiled op are absent.

    Signatures: `serving_default` takes `image_bytes`, (B,) JPEG or PNG files of any sizes; `serving_tensor` takes
    `image`, (B, H, W, 3) uint8 RGB. Both return, as the TF Object Detection API does, with D = `max_detections`:
    `num_detections` (B,); `detection_boxes` (B, D, 4) [ymin, xmin, ymax, xmax] as fractions of the image;
    `detection_classes` (B, D), 1-based; `detection_scores` (B, D); from a model with masks `detection_masks`
    (B, D, M, M), probabilities over the box; from one with keypoints `detection_keypoints` (B, D, J, 2) [y, x] as
    fractions of the image, and `detection_keypoint_scores` (B, D, J). All are float32, best first, padded with zeros.
    EXIF orientation is not applied.

    Args:
        model: `MaskRCNN`.
        path: the folder to write, such as "exported/1"; TF Serving expects a number as its name. A SavedModel that is
            there already is replaced, and not before the new one is complete.

    Returns:
        The path.

    Raises:
        ValueError: the path is a file, or a folder that holds something else than a SavedModel; or the model resizes
            and pads images as matterport does, which the served graph cannot.
        RuntimeError: the graph contains an operation that stock TensorFlow does not have.
    """
    path = pathlib.Path(path)
    if model.config.square_padding or model.config.resize == "matterport":
        raise ValueError("a model with matterport's resize or square_padding cannot be exported")
    if path.exists() and not (path.is_dir() and (not any(path.iterdir()) or (path / "saved_model.pb").exists())):
        raise ValueError(f"{path} exists and is no SavedModel; choose a new folder")
    partial = path.with_name(f".{path.name}.partial")  # no number, so that TF Serving does not load it half-written
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _save(model, partial)
        _check_stock_ops(partial)
        if path.exists():
            shutil.rmtree(path)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return path


def _signatures(model: Any) -> dict[str, Any]:
    """The two traced functions."""
    config = model.config
    image_specs = [tf.TensorSpec([None, None, None, 3], tf.float32), tf.TensorSpec([None, 2], tf.float32)]

    @tf.function(input_signature=image_specs, autograph=False)  # traced once for both signatures
    def network(images: tf.Tensor, sizes: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model({"images": images, "image_sizes": sizes}, training=False)
        return _in_api_form(outputs, sizes, config.max_detections)

    def detect(count: tf.Tensor, load: Callable[[tf.Tensor], tf.Tensor]) -> dict[str, tf.Tensor]:
        images, sizes = _load_all(count, load, config)
        return network(tf.cast(images, tf.float32), tf.cast(sizes, tf.float32))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")], autograph=False)
    def from_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return detect(tf.shape(image_bytes)[0], lambda i: _decode(image_bytes[i]))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "image")], autograph=False)
    def from_tensor(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return detect(tf.shape(image)[0], lambda i: image[i])

    return {
        "serving_default": from_bytes.get_concrete_function(),
        "serving_tensor": from_tensor.get_concrete_function(),
        "model_info": model_info.lookup(model_info.to_json(config)),
    }


def _load_all(count: tf.Tensor, load: Callable[[tf.Tensor], tf.Tensor], config: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Resize each image by itself and pad all to one size: (B, H, W, 3) and their sizes (B, 2) int32."""
    pixels = tf.float32 if config.resize == "torchvision" else tf.uint8

    def load_one(i, images, sizes):
        image = resize_like(config.resize, load(i), config.image_min_side, config.image_max_side)
        return i + 1, images.write(i, image), sizes.write(i, tf.shape(image)[:2])

    with tf.device("CPU"):
        images = tf.TensorArray(pixels, count, infer_shape=False, element_shape=[None, None, 3])
        sizes = tf.TensorArray(tf.int32, count, element_shape=[2])
        _, images, sizes = tf.while_loop(lambda i, *_: i < count, load_one, (0, images, sizes))
        sizes = sizes.stack()
        canvas = -(-tf.reduce_max(sizes, axis=0) // config.size_divisor) * config.size_divisor

        def pad(i):
            after = canvas - sizes[i]
            return tf.pad(tf.ensure_shape(images.read(i), [None, None, 3]), [[0, after[0]], [0, after[1]], [0, 0]])

        return tf.map_fn(pad, tf.range(count), fn_output_signature=tf.TensorSpec([None, None, 3], pixels)), sizes


def _decode(encoded: tf.Tensor) -> tf.Tensor:
    """A JPEG or PNG file as RGB uint8 (H, W, 3), decoded as Pillow does it."""

    def jpeg() -> tf.Tensor:
        return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")

    image = tf.cond(tf.io.is_jpeg(encoded), jpeg, lambda: tf.io.decode_png(encoded, channels=3))
    return tf.ensure_shape(image, [None, None, 3])


def _in_api_form(outputs: dict[str, tf.Tensor], sizes: tf.Tensor, length: int) -> dict[str, tf.Tensor]:
    """The network's output in the words of the TF Object Detection API."""
    found = outputs["class_ids"] >= 0
    # [ymin, xmin, ymax, xmax] over [height, width, height, width].
    boxes = tf.gather(tf.cast(outputs["boxes"], tf.float32), [1, 0, 3, 2], axis=-1) / tf.tile(sizes, [1, 2])[:, None]
    answer = {
        "detection_boxes": tf.clip_by_value(boxes, 0.0, 1.0),
        "detection_classes": outputs["class_ids"] + 1,
        "detection_scores": outputs["scores"],
    }
    if "mask_probs" in outputs:
        answer["detection_masks"] = outputs["mask_probs"]
    if "keypoints" in outputs:
        points = outputs["keypoints"]
        answer["detection_keypoints"] = tf.reverse(points[..., :2], axis=[-1]) / sizes[:, None, None, :]
        answer["detection_keypoint_scores"] = points[..., 2]
    answer = {name: _padded(value, found, length) for name, value in answer.items()}
    return {"num_detections": tf.reduce_sum(tf.cast(found, tf.float32), axis=1), **answer}


def _padded(value: tf.Tensor, found: tf.Tensor, length: int) -> tf.Tensor:
    """(B, D, ...) -> (B, length, ...) float32, zero where nothing was found."""
    inner = [1] * (value.shape.rank - 2)
    mask = tf.reshape(tf.cast(found, tf.float32), tf.concat([tf.shape(found), inner], 0))
    value = tf.cast(value, tf.float32) * mask
    value = tf.pad(value, [[0, 0], [0, length - tf.shape(value)[1]], *[[0, 0] for _ in inner]])
    return tf.ensure_shape(value, [None, length, *value.shape[2:]])


def _save(model: Any, path: pathlib.Path) -> None:
    server = tf.Module()  # tracks the variables only: a whole Keras model would add thousands of functions
    server.weights = [variable.value for variable in model.variables]
    with ops.use_implementation("tensorflow"):
        signatures = _signatures(model)
    tf.saved_model.save(server, str(path), signatures=signatures)


def _check_stock_ops(path: pathlib.Path) -> None:
    foreign = sorted({name for name in _op_names(path) if ">" in name})
    if foreign:
        raise RuntimeError(
            f"the exported graph needs {', '.join(foreign)}, which stock TensorFlow does not have; "
            "layers must call mrcnn_keras.ops with the implementation that use_implementation sets"
        )


def _op_names(path: pathlib.Path) -> Iterable[str]:
    """Every operation in a SavedModel, its functions included."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((path / "saved_model.pb").read_bytes())
    for meta in saved.meta_graphs:
        yield from (node.op for node in meta.graph_def.node)
        for function in meta.graph_def.library.function:
            yield from (node.op for node in function.node_def)
