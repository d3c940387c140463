"""What TensorFlow makes of the detection graph: nothing passes over feature maps but convolutions and sums."""

import collections

import numpy as np
import pytest
from tensorflow.python.eager import context

from mrcnn_keras import MaskRCNN

from ..tiny import tiny_config

SIDE = 64
CONFIG = tiny_config(
    stem_channels=16,
    res2_channels=32,
    width_per_group=16,
    fpn_channels=16,
    box_head_dim=32,
    mask_head_dim=16,
    image_min_side=SIDE,
    image_max_side=SIDE,
    freeze_at=2,
    score_threshold=0.05,
)


@pytest.fixture(scope="module")
def nodes():
    """The nodes of the detection graph as it runs, by name."""
    model = MaskRCNN(CONFIG)
    context.context().enable_run_metadata()
    try:
        model.detect(np.full((SIDE, SIDE, 3), 90, np.uint8))
        graphs = [one.post_optimization_graph for one in context.context().export_run_metadata().function_graphs]
    finally:
        context.context().disable_run_metadata()
    largest = max(graphs, key=lambda graph: len(graph.node))
    return {node.name: node for node in largest.node}


def inputs_of(node, nodes):
    """Types of the operations that a node takes its values from."""
    names = [name.partition(":")[0] for name in node.input if not name.startswith("^")]
    return [nodes[name].op for name in names if name in nodes]


def is_convolution(op):
    return "Conv2D" in op or "Conv3x3" in op


def test_every_bias_and_relu_is_inside_its_convolution(nodes):
    ops = collections.Counter(node.op for node in nodes.values())
    assert ops["BiasAdd"] == 0
    bare = [op for op in ops if is_convolution(op) and "Fused" not in op and "Conv3x3" not in op]
    assert bare == []
    relus = [node for node in nodes.values() if node.op == "Relu"]
    assert not [node.name for node in relus if any(is_convolution(op) for op in inputs_of(node, nodes))]
    sums = [node for node in relus if node.name.split("/")[-2].startswith("res")]
    assert len(sums) <= sum(CONFIG.backbone_blocks)  # those behind the shortcuts


def test_no_norm_is_left(nodes):
    assert not [node.name for node in nodes.values() if "BatchNorm" in node.op]
    scaled = [node for node in nodes.values() if node.op in ("Mul", "AddV2") and "/backbone" in node.name]
    maps = [node for node in scaled if any(is_convolution(op) for op in inputs_of(node, nodes))]
    assert len(maps) <= sum(CONFIG.backbone_blocks)  # the sums with the shortcuts


def test_no_copies_between_layouts_or_types(nodes):
    for node in nodes.values():
        if node.op in ("Cast", "Transpose"):
            assert not any(is_convolution(op) for op in inputs_of(node, nodes)), node.name


def test_3x3_convolutions_are_the_compiled_operation(nodes):
    from mrcnn_keras.ops import status

    if status().implementation != "compiled":
        pytest.skip("the operations are not compiled")
    found = sum(node.op == "MrcnnKeras>Conv3x3" for node in nodes.values())
    # res2, the blocks' 3x3 convolutions without a stride; four of the pyramid; the RPN's on five levels; the mask head
    assert found == 1 + 4 + 5 + 4
