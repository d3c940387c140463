"""Parameters and multiply-adds of the presets: the numbers that `mrcnn-keras presets` prints.

python benchmarks/presets.py [NAME ...]

Multiply-adds are those of convolutions and matrix products for one image of 800 x 1333 pixels, padded as the network
pads it, with the proposals that the preset keeps at test time and 100 detections, one multiplication and addition
counted as one (as fvcore and torchvision count them). They are counted in the traced graph of each part of the network;
what the parts are given is as large as in a detection.
"""

import argparse
import math

import keras
import numpy as np
import tensorflow as tf

from mrcnn_keras import MaskRCNN
from mrcnn_keras.presets import PRESETS, preset_config

HEIGHT, WIDTH, DETECTIONS = 800, 1333, 100
CONVOLUTIONS = ("Conv2D", "MrcnnKeras>Conv3x3")


def parameters(model) -> int:
    """Numbers in the weights outside norms."""
    weights = [v for v in model.weights if "/norm/" not in v.path and v.dtype != "int64" and "draws" not in v.path]
    return sum(int(np.prod(v.shape)) for v in weights)


def multiply_adds(model) -> int:
    """Of one image; see the file's docstring."""
    c = model.config
    divisor = max(c.size_divisor, 1)
    sides = [math.ceil(side / divisor) * divisor for side in (HEIGHT, WIDTH)]
    total, features = _count(model.get_layer("backbone"), (1, *sides, 3))
    if c.features == "fpn":
        count, features = _count(model.get_layer("fpn"), *features)
        total += count
    else:
        features = features[-1:]
    total += _count(model.get_layer("rpn_head"), *features)[0]
    channels = features[0][3]
    for name, size, rows in (
        ("box_head", c.box_pool_size, c.rpn_post_nms_topk_test),
        ("mask_head", c.mask_pool_size, DETECTIONS),
        ("keypoint_head", c.keypoint_pool_size, DETECTIONS),
    ):
        total += _head(model, name, size, rows, channels)
    return total


def _head(model, name, size, rows, channels):
    names = [layer.name for layer in model.layers]
    if name not in names:
        return 0
    total, shape = 0, (rows, size, size, channels)
    if "res5_head" in names:
        total, (shape,) = _count(model.get_layer("res5_head"), (rows, *[model.config.box_pool_size] * 2, channels))
    classes = [tf.TensorSpec([rows], tf.int32)] if name == "mask_head" else []
    return total + _count(model.get_layer(name), shape, others=classes)[0]


def _count(layer, *shapes, others=()):
    """Multiply-adds of a layer on inputs of these shapes, and the shapes of its outputs."""
    specs = [tf.TensorSpec(shape) for shape in shapes]
    as_list = layer.name in ("fpn", "rpn_head")
    run = tf.function(lambda first, *rest: layer(first, *rest), autograph=False)
    concrete = run.get_concrete_function(*([specs] if as_list else specs), *others)
    outputs = [tuple(output.shape) for output in tf.nest.flatten(concrete.structured_outputs)]
    return sum(_multiply_adds_of(op) for op in concrete.graph.get_operations()), outputs


def _multiply_adds_of(op):
    if op.type not in (*CONVOLUTIONS, "MatMul", "BatchMatMulV2", "Conv2DBackpropInput"):
        return 0
    outputs = np.prod(op.outputs[0].shape)
    if op.type in CONVOLUTIONS:
        return int(outputs * np.prod(op.inputs[1].shape[:3]))
    if op.type == "Conv2DBackpropInput":  # every input meets the whole kernel
        return int(np.prod(op.inputs[2].shape) * np.prod(op.inputs[1].shape[:3]))
    transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
    return int(outputs * op.inputs[0].shape[-2 if transposed else -1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(PRESETS), metavar="NAME")
    print(f"{'preset':38}{'parameters':>14}{'GFLOPs':>10}")
    for name in parser.parse_args().names:
        keras.backend.clear_session()
        model = MaskRCNN(preset_config(name))
        print(f"{name:38}{parameters(model):14,}{multiply_adds(model) / 1e9:10.1f}", flush=True)


if __name__ == "__main__":
    main()
