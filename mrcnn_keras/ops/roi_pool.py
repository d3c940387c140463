"""What RoIAlign is compared with (Mask R-CNN, table 2c): RoIPool and RoIWarp, which both quantise the box."""

from collections.abc import Sequence

import tensorflow as tf

from mrcnn_keras.ops._call import call
from mrcnn_keras.ops._spec import make_spec


def multilevel_roi_pool(
    feature_maps: Sequence,
    boxes,
    image_index,
    level,
    *,
    scales: Sequence[float],
    output_size: int | tuple[int, int] = 7,
    implementation: str = "auto",
) -> tf.Tensor:
    """Largest cell in each bin of a box that is rounded to whole cells, "RoIPool" (Fast R-CNN, section 2.1).

    Numbers are Caffe's and torchvision's: the box runs from cell round(x1 * scale) to cell round(x2 * scale), both of
    them within it, halves rounded away from 0, and is at least one cell; a bin takes every cell that it touches, so
    that neighbouring bins may share cells. A bin without a cell on the map is 0. Gradients flow to the cells that were
    largest, the first of equals, and not to the boxes. Both implementations give the same values and gradients.

    Args:
        feature_maps: the pyramid, N >= 1 maps (B, Hl, Wl, C) of one float32, bfloat16 or float16 dtype.
        boxes: (R, 4) float32, xyxy in image pixels, finite; R may be 0.
        image_index: (R,) int32 in [0, B), the image each box lies in.
        level: (R,) int32 in [0, N), the map each box is pooled from.
        scales: N floats > 0, cells of each map per image pixel (1 / stride).
        output_size: bins on a side, or (rows, columns), each >= 1.
        implementation: as in `multilevel_roi_align`.

    Returns: (R, rows, columns, C) in the dtype of the maps.

    Raises:
        ValueError, tf.errors.InvalidArgumentError: as `multilevel_roi_align`.
    """
    spec = make_spec("pool", scales, output_size)
    return call(feature_maps, boxes, image_index, level, spec, implementation)


def multilevel_roi_warp(
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
    """Bilinear samples of a box that is rounded to whole cells, "RoIWarp" (Dai et al., CVPR 2016).

    As section 3 of Mask R-CNN describes it: the box is quantised as by `multilevel_roi_pool`, then sampled as by
    `multilevel_roi_align`, from coordinate round(x1 * scale) on, over as many cells as RoIPool gives it. Gradients flow
    to the maps and not to the boxes. Both implementations give the same values and gradients.

    Args:
        feature_maps: the pyramid, N >= 1 maps (B, Hl, Wl, C) of one float32, bfloat16 or float16 dtype.
        boxes: (R, 4) float32, xyxy in image pixels, finite; R may be 0.
        image_index: (R,) int32 in [0, B), the image each box lies in.
        level: (R,) int32 in [0, N), the map each box is pooled from.
        scales: N floats > 0, cells of each map per image pixel (1 / stride).
        output_size: bins on a side, or (rows, columns), each >= 1.
        sampling_ratio: samples on a side of each bin, 0 to 1024; 0 takes ceil(cells of the box / bins).
        aligned: whether coordinates are moved by half a cell so that cell centres are at +0.5.
        reduce: "average" of the samples, or their "max".
        implementation: as in `multilevel_roi_align`.

    Returns: (R, rows, columns, C) in the dtype of the maps.

    Raises:
        ValueError, tf.errors.InvalidArgumentError: as `multilevel_roi_align`.
    """
    spec = make_spec("warp", scales, output_size, sampling_ratio, aligned, reduce)
    return call(feature_maps, boxes, image_index, level, spec, implementation)
