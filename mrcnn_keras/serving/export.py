"""A model as a SavedModel for TensorFlow Serving, of stock TensorFlow operations only."""

import os
import pathlib
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from mrcnn_keras import ops
from mrcnn_keras.serving.assets import write_assets
from mrcnn_keras.serving.folders import check_folder, replacing
from mrcnn_keras.serving.folding import fold_norms
from mrcnn_keras.serving.network_function import fixed_input_size
from mrcnn_keras.serving.signatures import MASKS, Serving, make_signatures

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
SERVING_NAME = "mask_rcnn"
# Known to TensorFlow, but they call functions of the process that made the graph.
_PYTHON = ("PyFunc", "PyFuncStateless", "EagerPyFunc")


def export_saved_model(
    model: Any,
    path: str | os.PathLike,
    *,
    precision: str = "float32",
    masks: str = "probabilities",
    max_pixels: int = Serving.max_pixels,
    input_size: tuple[int, int] | None = None,
    jit_compile: bool = False,
    warm_up: bool = True,
    serving_name: str = SERVING_NAME,
) -> pathlib.Path:
    """Write a SavedModel that loads where this package and its compiled op are absent.

    Signatures: `serving_default` takes `image_bytes`, (B,) JPEG or PNG files of any sizes; `serving_tensor` takes
    `image`, (B, H, W, 3) uint8 RGB. Both return, as the TF Object Detection API does, with D = `max_detections`:
    `num_detections` (B,); `detection_boxes` (B, D, 4) [ymin, xmin, ymax, xmax] as fractions of the image;
    `detection_classes` (B, D), 1-based; `detection_scores` (B, D); from a model with masks `detection_masks`
    (B, D, M, M), probabilities over the box; from one with keypoints `detection_keypoints` (B, D, J, 2) [y, x] as
    fractions of the image, and `detection_keypoint_scores` (B, D, J). All are float32, best first, padded with zeros.
    The image is the photo as it should be seen: the orientation in the first EXIF segment of a JPEG or the chunk eXIf
    of a PNG is applied. One that only XMP or a text chunk tells is not: `serving.Client` sends such photos upright, and
    other clients must turn them themselves. A file that is damaged or too large fails its request. `model_info`
    answers with the class names and the config, see `serving.model_info`.

    Norms are folded into the convolutions. `assets.extra` holds the class names and the config as `model.json`, and the
    requests with which TensorFlow Serving warms up.

    Args:
        model: `MaskRCNN`.
        path: the folder to write, such as "exported/1"; TF Serving expects a number as its name. A SavedModel that is
            there already is replaced, and not before the new one is complete.
        precision: "float32", or "bfloat16" for the convolutions; boxes and scores stay float32.
        masks: what `detection_masks` is: "probabilities"; "full": (B, D, H, W) uint8 of 0 and 1, as large as the
            largest image of the batch, and a request for which that is more than 2^30 bytes fails; "png": instead of it
            `detection_masks_bytes`, (B, D) string, each mask a grey PNG file of 0 and 255 as large as its image, "" for
            padding; one mask at a time is in memory unpacked.
        max_pixels: files that declare more pixels than this are refused before they are decoded.
        input_size: (height, width), multiples of `size_divisor`: the network's input has this size always, and an image
            that would be larger after resizing is made to fit.
        jit_compile: compile the network with XLA when it is first used; it then works on one image at a time, of
            `input_size`, by default a square of `image_max_side`.
        warm_up: whether requests for warming up are written.
        serving_name: by which TF Serving will know the model; the requests for warming up name it.

    Returns:
        The path.

    Raises:
        ValueError: the path is a file, or a folder that holds something else than a SavedModel; an argument out of its
            range; or the model resizes and pads images as matterport does, which the served graph cannot.
        RuntimeError: the graph contains an operation that stock TensorFlow does not have.
    """
    path = pathlib.Path(path)
    serving = _checked(model.config, precision, masks, max_pixels, input_size, jit_compile)
    check_folder(path, "SavedModel")
    with replacing(path) as partial:
        _save(fold_norms(model, PRECISIONS[precision]), partial, serving)
        _check_stock_ops(partial)
        write_assets(partial, model.config, masks, serving_name, warm_up, max_pixels)
    return path


def _checked(
    config: Any, precision: str, masks: str, max_pixels: int, input_size: tuple[int, int] | None, jit_compile: bool
) -> Serving:
    if config.square_padding or config.resize == "matterport":
        raise ValueError("a model with matterport's resize or square_padding cannot be exported")
    for name, value, choices in (("precision", precision, PRECISIONS), ("masks", masks, MASKS)):
        if value not in choices:
            raise ValueError(f"{name}={value!r}: expected one of {', '.join(choices)}")
    if masks != "probabilities" and config.mask_head == "none":
        raise ValueError(f"masks={masks!r}: the model has none (mask_head='none'); leave masks out")
    if max_pixels < 1:
        raise ValueError(f"max_pixels={max_pixels}: expected 1 or more")
    if jit_compile or input_size is not None:
        input_size = fixed_input_size(config, input_size)
    return Serving(masks, max_pixels, input_size, jit_compile)


def _save(model: Any, path: pathlib.Path, serving: Serving) -> None:
    server = tf.Module()  # tracks the variables only: a whole Keras model would add thousands of functions
    variables = model.variables
    if model.config.training_stages == "alternating":  # of whose first step there is nothing in the graph
        variables = [one for one in variables if not one.path.startswith(("rpn_backbone/", "rpn_fpn/"))]
    server.weights = [variable.value for variable in variables]
    with ops.use_implementation("cropped"):
        signatures = make_signatures(model, serving)
    # A server takes no gradients, and TensorFlow would keep those of every export that a process loads.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(server, str(path), signatures=signatures, options=options)


def _check_stock_ops(path: pathlib.Path) -> None:
    foreign = sorted({name for name in op_names(path) if ">" in name or name in _PYTHON})
    if foreign:
        raise RuntimeError(
            f"the exported graph needs {', '.join(foreign)}, which a server of stock TensorFlow does not have; "
            "layers must call mrcnn_keras.ops with the implementation that use_implementation sets"
        )


def op_names(path: pathlib.Path) -> Iterable[str]:
    """The kind of every operation in a SavedModel, its functions included, as often as it is there."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((path / "saved_model.pb").read_bytes())
    for meta in saved.meta_graphs:
        yield from (node.op for node in meta.graph_def.node)
        for function in meta.graph_def.library.function:
            yield from (node.op for node in function.node_def)
