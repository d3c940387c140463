"""A model as StableHLO, for XLA's runtimes: JAX, PJRT plugins, compilers that read StableHLO."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mrcnn_keras import ops
from mrcnn_keras.serving import model_info, stablehlo_text
from mrcnn_keras.serving.export import PRECISIONS
from mrcnn_keras.serving.folders import check_folder, replacing
from mrcnn_keras.serving.folding import fold_norms
from mrcnn_keras.serving.network_function import fixed_input_size, image_dtype_for, network_function
from mrcnn_keras.utils.keras_policy import keras_dtype_policy
from mrcnn_keras.utils.processes import map_in_processes

# Everything since reads it. MLIR's text, and its bytecode as such, change from one version of MLIR to the next.
STABLEHLO_VERSION = "1.0.0"
MODULE, WEIGHTS, DESCRIPTION = "model.stablehlo", "weights.npz", "model.json"


def export_stablehlo(
    model: Any,
    path: str | os.PathLike,
    *,
    input_size: Sequence[int] | None = None,
    batch_size: int = 1,
    image_dtype: str | None = None,
    precision: str = "float32",
) -> pathlib.Path:
    """Write the inference graph as StableHLO, for one size of images and batches.

    The folder holds `model.stablehlo`, the module as a portable artifact of StableHLO, with a function `main`;
    `weights.npz`, its weights by name, float32, norms folded into the convolutions; and `model.json`:
    `arguments` and `results` of `main` in order, each with `name`, `shape` and `dtype`; `operations`, how many the
    module has of each kind; `stablehlo_version`; and `model_info`, see `serving.model_info`.

    The first arguments are `images` (B, H, W, 3) RGB 0..255, padded at the right and bottom, and `image_sizes` (B, 2)
    float32 [height, width] of the part that is no padding; after them come the weights. The results are the network's
    outputs by the order of their names: `boxes` (B, D, 4) float32 xyxy in input pixels; `class_ids` (B, D) int32, -1
    for padding, best first, D = `max_detections`; from a model with keypoints `keypoints` (B, D, J, 3) float32 x, y in
    input pixels and score; from one with masks `mask_probs` (B, D, M, M) float32, probabilities over the box; `scores`
    (B, D) float32.

    Args:
        model: `MaskRCNN`.
        path: the folder to write. An older export is replaced, and not before the new one is complete.
        input_size: (height, width), multiples of `size_divisor`; None: a square of `image_max_side`.
        batch_size: B, 1 or more.
        image_dtype: of `images`, "uint8" or "float32"; None: what `detect` gives to the network, uint8 but float32 with
            torchvision's resize.
        precision: "float32", or "bfloat16" for the convolutions; boxes and scores stay float32.

    Returns:
        The path.

    Raises:
        ValueError: the path is a file, or a folder that holds something else; an argument out of its range; or
            `roi_op="crop_and_resize"`, which XLA does not have.
        RuntimeError: the module needs a function outside of StableHLO, or a size depends on values.
    """
    path = pathlib.Path(path)
    check_folder(path, "StableHLO export")
    _check(model.config, batch_size, precision)
    shape = (batch_size, *fixed_input_size(model.config, input_size))
    image_dtype = image_dtype_for(model.config, image_dtype)
    network = fold_norms(model, PRECISIONS[precision])
    lowered = _lower_elsewhere(_Network(type(network), network.config, PRECISIONS[precision], image_dtype, shape))
    values = {variable.path: variable for variable in network.variables}
    weights = {name: np.asarray(values[name]) for name in lowered.weights}
    names = [*lowered.inputs, *weights]
    description = _describe(lowered.module, names, sorted(network.output)) | {
        "model_info": json.loads(model_info.to_json(model.config))
    }
    with replacing(path) as partial:
        partial.mkdir()
        (partial / MODULE).write_bytes(lowered.artifact)
        np.savez(partial / WEIGHTS, **weights)
        (partial / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n")
    return path


def _check(config: Any, batch_size: int, precision: str) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: expected a whole number from 1 up")
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r}: expected one of {', '.join(PRECISIONS)}")
    if config.roi_op == "crop_and_resize":
        raise ValueError("XLA has no roi_op='crop_and_resize'; give the config 'align'")


@dataclasses.dataclass(frozen=True)
class _Network:
    """What another process needs to trace a network; the weights are arguments of the module, so they are not in it."""

    model_class: type
    config: Any
    dtype_policy: str
    image_dtype: str
    shape: tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class _Lowered:
    """A network as StableHLO: the module's text and file, and the names of its arguments in order."""

    module: str
    artifact: bytes
    inputs: list[str]
    weights: list[str]


def _lower_elsewhere(network: _Network) -> _Lowered:
    """Lower a network in another process, as TensorFlow keeps some 40 MB for ever of each one that it lowers."""
    if network.model_class.__module__ == "__main__":  # a script's or notebook's own class, unknown to other processes
        return _lower_network(network)
    (lowered,) = map_in_processes(_lower_network, [network], jobs=1)
    return lowered


def _lower_network(network: _Network) -> _Lowered:
    with keras_dtype_policy(network.dtype_policy):
        model = network.model_class.blank(network.config)
    function, specs = network_function(model, network.image_dtype, network.shape, jit_compile=True)
    module = lower(function, specs)
    paths = {id(variable.value.handle): variable.path for variable in model.variables}
    taken = [paths[id(handle)] for handle in function.get_concrete_function(*specs).captured_inputs]
    return _Lowered(module, _portable(module), [spec.name for spec in specs], taken)


def lower(function: Any, specs: list) -> str:
    """A function that XLA compiles as StableHLO's text, without what has no effect.

    Args:
        function: `tf.function` with `jit_compile`.
        specs: `tf.TensorSpec` of each argument, of fixed shapes.

    Raises:
        RuntimeError: the module needs a function outside of StableHLO, or a size depends on values.
    """
    with ops.use_implementation("tensorflow"):
        text = function.experimental_get_compiler_ir(*specs)(stage="stablehlo", platform_name="CPU")
    for passes in ("inline,canonicalize,cse,symbol-dce", "canonicalize,cse"):
        text = tf.mlir.experimental.run_pass_pipeline(text, passes, show_debug_info=False)
        text = stablehlo_text.fixed_sizes(text)
    if targets := stablehlo_text.call_targets(text):
        raise RuntimeError(f"the model needs {', '.join(targets)}, which StableHLO does not have")
    return text


def _describe(module: str, argument_names: list[str], result_names: list[str]) -> dict[str, Any]:
    arguments, results = (
        [{"name": name, "shape": shape, "dtype": dtype} for name, (shape, dtype) in zip(names, values, strict=True)]
        for names, values in zip((argument_names, result_names), stablehlo_text.signature(module))
    )
    return {
        "format": 1,
        "stablehlo_version": STABLEHLO_VERSION,
        "arguments": arguments,
        "results": results,
        "operations": stablehlo_text.count_operations(module),
    }


def _portable(module: str) -> bytes:
    """The module in the form that later versions of StableHLO read."""
    from tensorflow.compiler.mlir.stablehlo import stablehlo

    return stablehlo.serialize_portable_artifact_str(module, STABLEHLO_VERSION)
