"""The functions that a served model consists of: from files or pixels to the words of the TF Object Detection API."""

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from mrcnn_keras.serving import api, model_info
from mrcnn_keras.serving.decode import decode_image
from mrcnn_keras.serving.resize import resize_like

MASKS = ("probabilities", "full", "png")


@dataclasses.dataclass(frozen=True)
class Serving:
    """How a model is served; `export_saved_model` explains it.

    Attributes:
        masks: one of `MASKS`.
        max_pixels: height times width of the files that are decoded.
        input_size: (height, width) that all images are padded to, or None.
        jit_compile: whether the network is compiled by XLA.
    """

    masks: str = "probabilities"
    max_pixels: int = 2**26
    input_size: tuple[int, int] | None = None
    jit_compile: bool = False


def make_signatures(model: Any, serving: Serving) -> dict[str, Any]:
    """The traced functions by the names of their signatures; `model` is what `fold_norms` made."""
    config = model.config
    detect = _detector(model, serving)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")], autograph=False)
    def from_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return detect(tf.shape(image_bytes)[0], lambda i: decode_image(image_bytes[i], serving.max_pixels))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "image")], autograph=False)
    def from_tensor(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return detect(tf.shape(image)[0], lambda i: image[i])

    return {
        "serving_default": from_bytes.get_concrete_function(),
        "serving_tensor": from_tensor.get_concrete_function(),
        "model_info": model_info.lookup(model_info.to_json(config, serving.masks)),
    }


def _detector(model: Any, serving: Serving) -> Callable[[tf.Tensor, Callable], dict[str, tf.Tensor]]:
    """From the number of images and a function that loads each to the answer."""
    config, network = model.config, _network(model, serving)

    def detect(count: tf.Tensor, load: Callable[[tf.Tensor], tf.Tensor]) -> dict[str, tf.Tensor]:
        images, sizes, originals = _load_all(count, load, config, serving.input_size)
        sizes = tf.cast(sizes, tf.float32)
        outputs = network(images, sizes)
        return api.answer(outputs, sizes, originals, config, serving.masks)

    return detect


def _network(model: Any, serving: Serving) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    def run(images: tf.Tensor, sizes: tf.Tensor) -> dict[str, tf.Tensor]:
        return model({"images": tf.cast(images, tf.float32), "image_sizes": sizes}, training=False)

    pixels = tf.float32 if model.config.resize == "torchvision" else tf.uint8
    if not serving.jit_compile:  # a function of its own is traced once for all signatures
        shapes = [tf.TensorSpec([None, None, None, 3], pixels), tf.TensorSpec([None, 2], tf.float32)]
        return tf.function(run, input_signature=shapes, autograph=False)
    shapes = [tf.TensorSpec([1, *serving.input_size, 3], pixels), tf.TensorSpec([1, 2], tf.float32)]
    compiled = tf.function(run, input_signature=shapes, autograph=False, jit_compile=True)
    outputs = compiled.get_concrete_function().structured_outputs
    results = {name: tf.TensorSpec(one.shape[1:], one.dtype) for name, one in outputs.items()}

    def run_each(images: tf.Tensor, sizes: tf.Tensor) -> dict[str, tf.Tensor]:
        def run_one(pair: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
            return {name: one[0] for name, one in compiled(pair[0][None], pair[1][None]).items()}

        images = tf.ensure_shape(images, [None, *serving.input_size, 3])
        return tf.map_fn(run_one, (images, sizes), fn_output_signature=results, parallel_iterations=1)

    return run_each


def _load_all(
    count: tf.Tensor, load: Callable[[tf.Tensor], tf.Tensor], config: Any, input_size: tuple[int, int] | None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Resize each image by itself and pad all to one size: (B, H, W, 3), their sizes (B, 2) int32 in there, and as they
    were loaded."""
    pixels = tf.float32 if config.resize == "torchvision" else tf.uint8

    def load_one(i, images, sizes, originals):
        original = load(i)
        image = resize_like(config.resize, original, config.image_min_side, config.image_max_side, input_size)
        sizes = sizes.write(i, tf.shape(image)[:2])
        return i + 1, images.write(i, image), sizes, originals.write(i, tf.shape(original)[:2])

    with tf.device("CPU"):
        images = tf.TensorArray(pixels, count, infer_shape=False, element_shape=[None, None, 3])
        sizes, originals = (tf.TensorArray(tf.int32, count, element_shape=[2]) for _ in range(2))
        start = (0, images, sizes, originals)
        # One after the other: the memory is that of one image as it was loaded.
        _, images, *sides = tf.while_loop(lambda i, *_: i < count, load_one, start, parallel_iterations=1)
        sizes, originals = (one.stack() for one in sides)
        canvas = input_size or -(-tf.reduce_max(sizes, axis=0) // config.size_divisor) * config.size_divisor

        def pad(i):
            after = canvas - sizes[i]
            return tf.pad(tf.ensure_shape(images.read(i), [None, None, 3]), [[0, after[0]], [0, after[1]], [0, 0]])

        padded = tf.map_fn(pad, tf.range(count), fn_output_signature=tf.TensorSpec([None, None, 3], pixels))
        return padded, sizes, originals
