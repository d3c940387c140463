"""What a client has to know of a served model, and how it learns it."""

import json
from typing import Any

from mrcnn_keras.config import MaskRCNNConfig, make_config

KEY = "model_info"


def to_json(config: MaskRCNNConfig, masks: str = "probabilities") -> str:
    """The facts about an exported model.

    Args:
        config: of the model.
        masks: what `detection_masks` holds, see `export_saved_model`.

    Returns:
        JSON object with `format` (1), `class_names`, `masks` and `config`, every field of it.
    """
    info = {"format": 1, "class_names": list(config.names), "masks": masks, "config": config.to_dict()}
    return json.dumps(info, indent=1)


def from_json(text: str) -> tuple[MaskRCNNConfig, str]:
    """The config, its classes named, and what the masks are, of `to_json`.

    Raises:
        ValueError: the text is something else, or of a later version of this package.
    """
    try:
        info = json.loads(text)
        config, masks = {**info["config"], "class_names": info["class_names"]}, info["masks"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"this is no description of a served model: {text[:80]!r}") from None
    if info["format"] != 1:
        raise ValueError(f"the model was exported by a later version of this package (format {info['format']})")
    return make_config(config), masks


def lookup(text: str) -> Any:
    """A function for a signature: from `keys` (N,) string to `values` (N,) string, the JSON for "model_info" and ""
    for other keys."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "keys")], autograph=False)
    def look_up(keys: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"values": tf.where(keys == KEY, text, "")}

    return look_up.get_concrete_function()
