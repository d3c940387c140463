"""Masks as large as the image, in the graph, against those of `detect`."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mrcnn_keras.inference.paste import paste_masks
from mrcnn_keras.serving import full_masks
from mrcnn_keras.serving.full_masks import Found, bitmaps, files

SIZES = np.array([(60, 90), (7, 200)], np.int32)
PLACES, OBJECTS = 22, (20, 13)


@pytest.fixture(scope="module")
def found():
    """Objects in two images, whose boxes lie over the borders, and one without area."""
    rng = np.random.default_rng(0)
    limits = np.tile(SIZES[:, None].astype(np.float32), 2)  # height, width, height, width
    corners = rng.uniform(-0.2, 1.1, (2, PLACES, 2, 2)) * SIZES[:, None, None]
    boxes = np.clip(np.sort(corners, axis=2).reshape(2, PLACES, 4), 0, limits).astype(np.float32)
    boxes[:, 0] = np.concatenate([np.zeros((2, 2)), SIZES], axis=1)
    boxes[:, 1] = (2.1, 3.2, 5.0, 3.2)
    probs = rng.uniform(0, 1, (2, PLACES, 14, 14)).astype(np.float32)
    return Found(*map(tf.constant, (probs, boxes, np.arange(PLACES) < np.array(OBJECTS)[:, None], SIZES)))


def expected_of(found, rule):
    """Of each image, by the code that `detect` uses."""
    for probs, boxes, size, count in zip(found.probs.numpy(), found.boxes.numpy(), SIZES, OBJECTS):
        yield paste_masks(probs[:count], boxes[:count][:, [1, 0, 3, 2]], tuple(size), 0.5, rule)


@pytest.mark.parametrize("rule", ["exact", "padded"])
def test_they_are_those_of_detect(found, rule):
    unpacked, packed = (tf.function(make, autograph=False)(found, 0.5, rule).numpy() for make in (bitmaps, files))
    assert unpacked.shape == (2, PLACES, 60, 200) and unpacked.dtype == np.uint8
    for expected, image, pngs, count, (height, width) in zip(
        expected_of(found, rule), unpacked, packed, OBJECTS, SIZES
    ):
        assert expected.any() and (image[:count, :height, :width] != expected).sum() <= 2  # at the threshold, rounding
        assert not image[count:].any() and not image[:, height:].any() and not image[:, :, width:].any()
        read = np.stack([np.asarray(Image.open(io.BytesIO(one))) for one in pngs[:count]])
        np.testing.assert_array_equal(read, image[:count, :height, :width] * 255)
        assert (pngs[count:] == b"").all()


def test_no_masks_of_no_objects(found):
    none = Found(found.probs, found.boxes, tf.zeros_like(found.there), found.sizes)
    assert (files(none, 0.5, "exact").numpy() == b"").all()
    assert bitmaps(none, 0.5, "exact").shape == (2, PLACES, 60, 200)


def test_bitmaps_that_are_too_many_are_refused(found, monkeypatch):
    monkeypatch.setattr(full_masks, "_MOST_BYTES", 2 * PLACES * 60 * 200)
    make = tf.function(lambda sizes: bitmaps(Found(found.probs, found.boxes, found.there, sizes), 0.5, "exact"),
                       input_signature=[tf.TensorSpec([2, 2], tf.int32)], autograph=False)  # fmt: skip
    assert make(SIZES).shape == (2, PLACES, 60, 200)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[2 22 61 200\].*528000 bytes; send.*PNG files"):
        make(SIZES + [[1, 0], [0, 0]])


def test_one_mask_is_unpacked_at_a_time(found):
    graph = tf.function(files, autograph=False).get_concrete_function(found, 0.5, "exact").graph.as_graph_def()
    functions = {one.signature.name: one.node_def for one in graph.library.function}

    def inside(node):
        """The kinds of operations that a node runs."""
        for attribute in node.attr.values():
            for inner in functions.get(attribute.func.name, ()):
                yield inner.op
                yield from inside(inner)

    (loop,) = (node for node in graph.node if "While" in node.op)
    assert {"MatMul", "EncodePng"} <= set(inside(loop)) and loop.attr["parallel_iterations"].i == 1
    assert "MatMul" not in {node.op for node in graph.node}
