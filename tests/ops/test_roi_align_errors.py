"""Every mistake a caller can make is an error that names it."""

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras import ops

BOXES = [[0.0, 0.0, 3.0, 3.0], [1.0, 1.0, 5.0, 5.0], [0.0, 2.0, 4.0, 4.0]]


def call(implementation="tensorflow", *, maps=None, boxes=BOXES, image_index=(0, 1, 0), level=(0, 0, 0), **options):
    maps = [tf.zeros((2, 6, 6, 3))] if maps is None else maps
    options = {"scales": [1.0] * len(maps), "output_size": 2} | options
    return ops.multilevel_roi_align(maps, boxes, image_index, level, implementation=implementation, **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"maps": []}, r"at least one map, got an empty list"),
        ({"maps": [tf.zeros((6, 6, 3))]}, r"feature map 0 must be .batch, height, width, channels., got .*\(6, 6, 3\)"),
        ({"maps": [tf.zeros((2, 6, 6, 3)), tf.zeros((2, 3, 3, 4))]}, r"feature map 1 must have the channels of map 0"),
        (
            {"maps": [tf.zeros((2, 6, 6, 3)), tf.zeros((1, 3, 3, 3))]},
            r"feature map 1 must have the batch size of map 0",
        ),
        ({"maps": [tf.zeros((2, 0, 6, 3))]}, r"feature map 0 must have cells, got .*\(2, 0, 6, 3\)"),
        ({"maps": [tf.zeros((2, 6, 6, 3), tf.float64)]}, r"float32, bfloat16, float16, got \['float64'\]"),
        ({"maps": [tf.zeros((2, 6, 6, 3)), tf.zeros((2, 3, 3, 3), tf.float16)]}, r"share one of the dtypes"),
        ({"boxes": np.zeros((3, 5))}, r"boxes must be \(R, 4\), got shape \(3, 5\)"),
        ({"boxes": np.zeros((2, 3, 4))}, r"boxes must be \(R, 4\), got shape \(2, 3, 4\)"),
        ({"image_index": [0, 1]}, r"image_index must be \(R,\) .* got shape \(2,\)"),
        ({"level": [[0], [0], [0]]}, r"level must be \(R,\) .* got shape \(3, 1\)"),
        ({"scales": [1.0, 0.5]}, r"scales must have one number for each of the 1 feature maps, got \(1.0, 0.5\)"),
        ({"scales": [-1.0]}, r"scales must be positive numbers, got \(-1.0,\)"),
        ({"output_size": 0}, r"output_size must be .* got 0"),
        ({"output_size": (2, 3, 4)}, r"output_size must be .* got \(2, 3, 4\)"),
        ({"sampling_ratio": -1}, r"sampling_ratio must be 0 .adaptive. to 1024, got -1"),
        ({"reduce": "sum"}, r"reduce must be \"average\" or \"max\", got 'sum'"),
        ({"implementation": "fast"}, r"implementation must be one of auto, compiled, tensorflow, cropped, got 'fast'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        call(**arguments)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ({"boxes": [BOXES[0], [1, 1, np.nan, 2], BOXES[2]]}, ["boxes must be finite", "RoI row", "1", "nan"]),
        ({"boxes": [*BOXES[:2], [-np.inf, 0, 1, 2]]}, ["boxes must be finite", "RoI row", "2", "-inf"]),
        ({"image_index": [0, 2, 7]}, ["image_index must be >= 0 and below", "2", "RoI row", "1", "has", "2"]),
        ({"image_index": [0, 1, -1]}, ["image_index must be >= 0 and below", "2", "RoI row", "2", "has", "-1"]),
        ({"level": [0, 0, 5]}, ["level must be >= 0 and below", "1", "RoI row", "2", "has", "5"]),
        ({"level": [-3, 0, 0]}, ["level must be >= 0 and below", "1", "RoI row", "0", "has", "-3"]),
    ],
)
def test_wrong_values_name_the_row_and_the_value(implementation, arguments, parts):
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        call(implementation, **arguments)
    rest = error.value.message
    for part in parts:
        assert part in rest, f"{part!r} is not in its place in {error.value.message!r}"
        rest = rest[rest.index(part) + len(part) :]


def test_maps_of_unknown_shape_that_do_not_fit(implementation):
    unknown = tf.TensorSpec((None, None, None, 3))

    @tf.function(input_signature=[unknown, unknown])
    def pooled(first, second):
        return call(implementation, maps=[first, second])

    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)batch size.* of map 0.*(1,3,3,3|has\] \[1\])"):
        pooled(tf.zeros((2, 6, 6, 3)), tf.zeros((1, 3, 3, 3)))


# The operation checks for itself what the Python face checks before it: a graph may be loaded without that.
RAW = {
    "feature_maps": [tf.zeros((2, 6, 6, 3)), tf.zeros((2, 3, 3, 3))],
    "boxes": tf.zeros((3, 4)),
    "image_index": tf.zeros(3, tf.int32),
    "level": tf.zeros(3, tf.int32),
    "scales": [1.0, 0.5],
    "output_height": 2,
    "output_width": 2,
}
RAW_CASES = [
    (
        {"feature_maps": [tf.zeros((6, 3)), tf.zeros((2, 3, 3, 3))]},
        r"feature map 0 must be .batch, .* got shape \[6,3\]",
    ),
    ({"feature_maps": [tf.zeros((2, 6, 6, 3)), tf.zeros((2, 3, 3, 1))]}, r"map 1 must have the channels of map 0"),
    ({"feature_maps": [tf.zeros((2, 6, 6, 3)), tf.zeros((1, 3, 3, 3))]}, r"map 1 must have the batch size of map 0"),
    (
        {"feature_maps": [tf.zeros((2, 6, 6, 3)), tf.zeros((2, 3, 0, 3))]},
        r"map 1 must have cells, got shape \[2,3,0,3\]",
    ),
    ({"boxes": tf.zeros((3, 5))}, r"boxes must be \(R, 4\), got shape \[3,5\]"),
    ({"image_index": tf.zeros(2, tf.int32)}, r"image_index must be \(R,\) with R = 3 boxes, got shape \[2\]"),
    ({"level": tf.zeros((3, 1), tf.int32)}, r"level must be \(R,\) with R = 3 boxes, got shape \[3,1\]"),
    ({"scales": [1.0]}, r"scales must have one number for each of the 2 feature maps, got 1"),
]


@pytest.mark.parametrize(("arguments", "message"), RAW_CASES)
def test_the_operation_itself(compiled_only, arguments, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        compiled_only.mrcnn_keras_roi_align(**(RAW | arguments))


def test_the_gradient_operation_itself(compiled_only):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"gradient must have shape \[3,2,2,3\], got \[3,2,1,3\]"):
        compiled_only.mrcnn_keras_roi_align_grad(gradient=tf.zeros((3, 2, 1, 3)), **RAW)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"boxes": tf.zeros((3, 5))}, "must be 4 but is 5"),
        ({"image_index": tf.zeros(2, tf.int32)}, "must be equal"),
        ({"feature_maps": [tf.zeros((2, 6, 6, 3)), tf.zeros((2, 3, 3, 1))]}, "must be equal"),
        ({"feature_maps": [tf.zeros((6, 3)), tf.zeros((2, 3, 3, 3))]}, "must be rank 4"),
    ],
)
def test_shape_function(compiled_only, arguments, message):
    with tf.Graph().as_default(), pytest.raises(ValueError, match=message):
        constants = tf.nest.map_structure(lambda t: tf.constant(t.numpy()) if tf.is_tensor(t) else t, RAW | arguments)
        compiled_only.mrcnn_keras_roi_align(**constants)
