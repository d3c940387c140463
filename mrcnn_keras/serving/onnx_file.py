"""A model as one ONNX file, for ONNX Runtime and whatever else reads the format."""

import contextlib
import importlib.util
import logging
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from mrcnn_keras.serving import model_info
from mrcnn_keras.serving.network_function import image_dtype_for, network_function
from mrcnn_keras.utils.keras_policy import keras_dtype_policy

OPSETS = range(16, 19)  # RoiAlign aligns from 16 on; tf2onnx goes up to 18
_PACKAGES = ("onnx", "tf2onnx")
_INPUT_SIDES = {"images": ("batch", "height", "width"), "image_sizes": ("batch",)}


def export_onnx(
    model: Any, path: str | os.PathLike, *, opset: int = 17, image_dtype: str | None = None
) -> pathlib.Path:
    """Write the inference graph as an ONNX file, one for all sizes of images and batches.

    Inputs and outputs are the network's: `images` (B, H, W, 3) RGB 0..255, padded at the right and bottom to a multiple
    of `config.size_divisor`, or as `config.square_padding` says; `image_sizes` (B, 2) float32 [height, width] of the
    part that is no padding. `boxes` (B, D, 4) float32 xyxy in input pixels, `scores` (B, D) float32 and `class_ids`
    (B, D) int32, -1 for padding, best first, D = `max_detections`; from a model with masks `mask_probs` (B, D, M, M)
    float32, probabilities over the box; from one with keypoints `keypoints` (B, D, J, 3) float32 x, y in input pixels
    and score. The file's metadata holds `model_info`, the JSON of `serving.model_info`. A model of another precision is
    written in float32.

    Args:
        model: `MaskRCNN`.
        path: the file to write, such as "model.onnx"; one that is there is replaced.
        opset: version of ONNX's operators, 16 to 18.
        image_dtype: of `images`, "uint8" or "float32"; None: what `detect` gives to the network, uint8 but float32 with
            torchvision's resize.

    Returns:
        The path.

    Raises:
        ImportError: onnx or tf2onnx is not installed.
        ValueError: the path is a folder, an argument is out of range, or ONNX has no operator for the way in which the
            model pools RoIs.
        RuntimeError: an operation of the model has no counterpart in ONNX.
    """
    path = pathlib.Path(path)
    require_onnx()
    if path.is_dir():
        raise ValueError(f"{path} is a folder; choose the name of a file, such as {path / 'model.onnx'}")
    if opset not in OPSETS:
        raise ValueError(f"opset={opset!r}: expected {OPSETS.start} to {OPSETS.stop - 1}")
    image_dtype = image_dtype_for(model.config, image_dtype)
    _check_config(model.config)
    proto = convert(*network_function(_in_float32(model), image_dtype), opset)
    _describe(proto, model)
    _check(proto)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(proto.SerializeToString())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _check_config(config: Any) -> None:
    samples = config.roi_op in ("align", "warp")
    if samples and config.roi_reduce == "max" and not config.roi_sampling_ratio:
        raise ValueError(
            "ONNX has no operator for roi_reduce='max' with roi_sampling_ratio=0, samples by the size of the box; "
            "give the config a roi_sampling_ratio of 1 or more"
        )


def require_onnx() -> None:
    """Check that the packages are there.

    Raises:
        ImportError: one is not.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f'the ONNX export needs {" and ".join(missing)}: pip install "mrcnn-keras[onnx]"')


def _in_float32(model: Any) -> Any:
    """The model, or its copy that computes in float32: few runtimes have kernels for bfloat16."""
    if model.get_layer("backbone").compute_dtype == "float32":
        return model
    with keras_dtype_policy("float32"):
        copy = type(model)(model.config)
    copy.set_weights(model.get_weights())
    return copy


def convert(function: Any, specs: list, opset: int = 17) -> Any:
    """A TensorFlow function that calls `mrcnn_keras.ops` as an ONNX model.

    Args:
        function: `tf.function` of tensors, which returns a dictionary of them.
        specs: `tf.TensorSpec` of each argument, with its name.
        opset: version of ONNX's operators.

    Returns:
        `onnx.ModelProto`; what tf2onnx cannot convert is left in it as it was.
    """
    import tf2onnx

    from mrcnn_keras import ops

    handlers = {ops.ONNX_PLACEHOLDER: (_put_operator, []), "SelectV2": (_put_where, [])}
    with ops.tracing_for_onnx(), _silent("tf2onnx"):
        proto, _ = tf2onnx.convert.from_function(function, specs, opset=opset, custom_op_handlers=handlers)
    return proto


def _put_operator(context: Any, node: Any, name: str, _: Any) -> None:
    """Replace a placeholder in tf2onnx's graph by the operator it stands for."""
    from mrcnn_keras import ops

    _replace(context, node, *ops.onnx_operator(node.get_attr_str("token")))


def _put_where(context: Any, node: Any, name: str, _: Any) -> None:
    """`tf.where`: tf2onnx would multiply by 0 what is not chosen, and make NaN of an infinite score."""
    _replace(context, node, "Where", {})


def _replace(context: Any, node: Any, operator: str, attributes: dict) -> None:
    results = {"outputs": node.output, "shapes": node.output_shapes, "dtypes": node.output_dtypes}
    context.remove_node(node.name)
    context.make_node(operator, node.input, attr=attributes, name=node.name, **results)


@contextlib.contextmanager
def _silent(logger: str) -> Iterator[None]:
    # It warns of shapes that it cannot infer; what it cannot convert is found in its result.
    log = logging.getLogger(logger)
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def _describe(proto: Any, model: Any) -> None:
    """Order of the outputs, names of the sides that vary, and what a client has to know."""
    from onnx import helper

    found = {output.name: output for output in proto.graph.output}
    outputs = [found[name] for name in model.output]
    del proto.graph.output[:]
    proto.graph.output.extend(outputs)
    for value in (*proto.graph.input, *proto.graph.output):
        for side, name in zip(value.type.tensor_type.shape.dim, _INPUT_SIDES.get(value.name, ("batch",))):
            side.dim_param = name
    proto.producer_name = "mrcnn_keras"
    helper.set_model_props(proto, {model_info.KEY: model_info.to_json(model.config)})


def _check(proto: Any) -> None:
    """tf2onnx leaves in place what it cannot convert."""
    import onnx

    foreign = sorted({node.op_type for node in _nodes(proto.graph) if not onnx.defs.has(node.op_type, node.domain)})
    if foreign:
        raise RuntimeError(f"ONNX has no operators for {', '.join(foreign)}, which the model needs")
    onnx.checker.check_model(proto)


def _nodes(graph: Any) -> Iterator[Any]:
    """Every node, those of loops' bodies included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)
