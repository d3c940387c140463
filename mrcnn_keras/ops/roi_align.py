"""RoIAlign over a feature pyramid: one call for all RoIs of a batch on all levels."""

from collections.abc import Sequence

import tensorflow as tf

from mrcnn_keras.ops._call import call
from mrcnn_keras.ops._spec import make_spec


def multilevel_roi_align(
    feature_maps: Sequence,
    boxes,
    image_index,
    level,
    *,
    scales: Sequence[float],
    output_size: int | tuple[int, int] = 7,
    sampling_ratio: int = 0,
    aligned: bool = True,
    reduce: str = "average",
    implementation: str = "auto",
) -> tf.Tensor:
    """Features of fixed size under each box, sampled bilinearly (Mask R-CNN, section 3, "RoIAlign").

    Sample grid and edge rules are Detectron2's: a sample more than one cell outside its map is 0, others are clamped
    into it. Gradients flow to the maps and not to the boxes. The compiled implementation and the one in stock
    operations give the same values and gradients; "cropped" gives values that differ a little, and no gradient.

    Args:
        feature_maps: the pyramid, N >= 1 maps (B, Hl, Wl, C) of one float32, bfloat16 or float16 dtype.
        boxes: (R, 4) float32, xyxy in image pixels, finite; R may be 0.
        image_index: (R,) int32 in [0, B), the image each box lies in.
        level: (R,) int32 in [0, N), the map each box is pooled from.
        scales: N floats > 0, cells of each map per image pixel (1 / stride).
        output_size: bins on a side, or (rows, columns), each >= 1.
        sampling_ratio: samples on a side of each bin, 0 to 1024; 0 takes ceil(box side in cells / bins).
        aligned: whether coordinates are moved by half a cell so that cell centres are at +0.5; without it (Detectron1,
            torchvision's default) they are not, and a box is at least one cell.
        reduce: "average" of the samples, or their "max".
        implementation: "compiled" (the C++ operation), "tensorflow" (stock operations), "cropped" (stock operations for
            inference, quicker; unless they are averages the same as "tensorflow"), or "auto": the compiled one where it
            is built and can run; see `use_implementation` and `status`.

    Returns: (R, rows, columns, C) in the dtype of the maps.

    Raises:
        ValueError: an argument or static shape does not fit; the message names it.
        tf.errors.InvalidArgumentError: at run time, a box is not finite or an index is out of range; the message names
            the row and the value (not under XLA or on a GPU, which cannot raise).
    """
    spec = make_spec("align", scales, output_size, sampling_ratio, aligned, reduce)
    return call(feature_maps, boxes, image_index, level, spec, implementation)
