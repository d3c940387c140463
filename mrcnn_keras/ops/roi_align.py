"""RoIAlign over a feature pyramid: one call for all RoIs of a batch on all levels."""

from collections.abc import Sequence

import tensorflow as tf

from mrcnn_keras.ops import _choice, _library
from mrcnn_keras.ops._fallback import roi_align_tensorflow
from mrcnn_keras.ops._rois import Spec

_DTYPES = (tf.float32, tf.bfloat16, tf.float16)


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
    into it. Gradients flow to the maps and not to the boxes. Both implementations give the same values and gradients.

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
        implementation: "compiled" (the C++ operation), "tensorflow" (stock operations), or "auto": the compiled one
            where it is built and can run; see `use_implementation` and `status`.

    Returns: (R, rows, columns, C) in the dtype of the maps.

    Raises:
        ValueError: an argument or static shape does not fit; the message names it.
        tf.errors.InvalidArgumentError: at run time, a box is not finite or an index is out of range; the message names
            the row and the value (not under XLA or on a GPU, which cannot raise).
    """
    maps = [tf.convert_to_tensor(m) for m in feature_maps]
    boxes = tf.convert_to_tensor(boxes, tf.float32)
    image_index, level = (tf.cast(tf.convert_to_tensor(t), tf.int32) for t in (image_index, level))
    spec = _make_spec(scales, output_size, sampling_ratio, aligned, reduce)
    _check_maps(maps, spec)
    _check_rois(boxes, image_index, level)
    boxes = tf.ensure_shape(boxes, (None, 4))
    image_index, level = (tf.ensure_shape(t, boxes.shape[:1]) for t in (image_index, level))
    if _choice.resolve(implementation) == "tensorflow":
        return roi_align_tensorflow(maps, boxes, image_index, level, spec)
    return _library.roi_align_compiled(maps, boxes, image_index, level, spec)


def _make_spec(scales, output_size, sampling_ratio, aligned, reduce):
    size = (output_size, output_size) if isinstance(output_size, int) else tuple(int(s) for s in output_size)
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"output_size must be an integer >= 1 or a pair of them, got {output_size!r}")
    if not 0 <= int(sampling_ratio) <= 1024:
        raise ValueError(f"sampling_ratio must be 0 (adaptive) to 1024, got {sampling_ratio!r}")
    if reduce not in ("average", "max"):
        raise ValueError(f'reduce must be "average" or "max", got {reduce!r}')
    scales = tuple(float(s) for s in scales)
    if not all(0 < s < float("inf") for s in scales):
        raise ValueError(f"scales must be positive numbers, got {scales}")
    return Spec(scales, size, int(sampling_ratio), bool(aligned), reduce)


def _check_maps(maps, spec):
    if not maps:
        raise ValueError("feature_maps must hold at least one map, got an empty list")
    if len(spec.scales) != len(maps):
        raise ValueError(f"scales must have one number for each of the {len(maps)} feature maps, got {spec.scales}")
    for i, m in enumerate(maps):
        if m.dtype not in _DTYPES or m.dtype != maps[0].dtype:
            names = [t.dtype.name for t in maps]
            raise ValueError(f"feature maps must share one of the dtypes float32, bfloat16, float16, got {names}")
        if m.shape.rank != 4:
            raise ValueError(f"feature map {i} must be (batch, height, width, channels), got shape {m.shape}")
        if m.shape[-1] is None or m.shape[-1] != maps[0].shape[-1]:
            raise ValueError(f"feature map {i} must have the channels of map 0, got {m.shape} and {maps[0].shape}")
        if not m.shape[:1].is_compatible_with(maps[0].shape[:1]):
            raise ValueError(f"feature map {i} must have the batch size of map 0, got {m.shape} and {maps[0].shape}")
        if 0 in (m.shape[1], m.shape[2]):
            raise ValueError(f"feature map {i} must have cells, got shape {m.shape}")


def _check_rois(boxes, image_index, level):
    if not boxes.shape.is_compatible_with((None, 4)):
        raise ValueError(f"boxes must be (R, 4), got shape {boxes.shape}")
    for name, index in (("image_index", image_index), ("level", level)):
        if not index.shape.is_compatible_with(boxes.shape[:1]):
            raise ValueError(f"{name} must be (R,) with R of the boxes {boxes.shape}, got shape {index.shape}")
