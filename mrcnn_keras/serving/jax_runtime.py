"""A network that `export_stablehlo` wrote, in JAX; TensorFlow is not needed."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from mrcnn_keras.serving.folders import MARKERS


def load_stablehlo(path: str | os.PathLike) -> Callable[[Any, Any], dict[str, Any]]:
    """The exported network as a function of JAX arrays, on JAX's default device.

        network = load_stablehlo("model.stablehlo")
        outputs = network(images, image_sizes)

    It is compiled by its first call.

    Args:
        path: the folder that `export_stablehlo` wrote.

    Returns:
        A function of `images` and `image_sizes`, of the shapes that `model.json` gives, which returns the network's
        outputs by name, see `export_stablehlo`.

    Raises:
        ImportError: JAX is not installed.
        ValueError: the folder is no such export.
    """
    path = pathlib.Path(path)
    try:
        import jax
    except ImportError as error:
        raise ImportError("load_stablehlo runs the network in JAX: pip install jax") from error
    if not (path / MARKERS["StableHLO export"]).is_file():
        raise ValueError(f"{path} is no StableHLO export: there is no {MARKERS['StableHLO export']} in it")
    description = json.loads((path / "model.json").read_text())
    program = jax.jit(_program(description, (path / MARKERS["StableHLO export"]).read_bytes()).call)
    with np.load(path / "weights.npz") as file:
        weights = [jax.device_put(file[argument["name"]]) for argument in description["arguments"][2:]]
    names = [result["name"] for result in description["results"]]

    def network(images: Any, image_sizes: Any) -> dict[str, Any]:
        return dict(zip(names, program(images, image_sizes, *weights), strict=True))

    return network


def _program(description: dict[str, Any], module: bytes) -> Any:
    """What JAX makes of its own functions when it exports them, with another module inside."""
    import jax
    import jax.export
    import jax.numpy as jnp

    arguments, results = (
        [jax.ShapeDtypeStruct(value["shape"], value["dtype"]) for value in description[key]]
        for key in ("arguments", "results")
    )

    def same_types(*_: Any) -> list:
        return [jnp.zeros(result.shape, result.dtype) for result in results]

    exported = jax.export.export(jax.jit(same_types, keep_unused=True))(*arguments)
    return dataclasses.replace(exported, mlir_module_serialized=module)
