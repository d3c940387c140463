"""The served signature's arrays -> `Detections`."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mrcnn_keras.config import MaskRCNNConfig
from mrcnn_keras.inference import Detections, to_detections

PROBABILITIES = "probabilities"  # what the masks of an export are, in the words of `model_info`
_REQUIRED = ("num_detections", "detection_boxes", "detection_classes", "detection_scores")


def read_answer(
    answer: Mapping[str, np.ndarray],
    sizes: Sequence[tuple[int, int]],
    config: MaskRCNNConfig,
    mask_values: str = PROBABILITIES,
    masks: str | None = "bitmap",
    score_threshold: float | None = None,
    images: Sequence[Any] | None = None,
) -> list[Detections]:
    """What `MaskRCNN.detect` gives for the same images.

    Args:
        answer: arrays of a batch, as `export_saved_model` describes them.
        sizes: (height, width) of each image in pixels, upright.
        config: the served model's.
        mask_values: what its masks are, of `model_info.from_json`.
        masks, score_threshold: as for `MaskRCNN.detect`.
        images: the images, to be kept for plotting.

    Raises:
        ValueError: the answer is not of that form, its masks are of an unknown kind, or `masks` is none of the three.
    """
    _check(answer, len(sizes))
    values, bitmaps = _in_network_form(answer), None
    if masks is not None and mask_values == PROBABILITIES and "detection_masks" in answer:
        values["mask_probs"] = np.asarray(answer["detection_masks"], np.float32)
    elif masks is not None and mask_values != PROBABILITIES:
        bitmaps = _bitmaps_of(mask_values, answer)
    found = []
    for i, size in enumerate(sizes):
        count = int(answer["num_detections"][i])
        rows = {name: value[i : i + 1, :count] for name, value in values.items()}
        if bitmaps is not None:
            rows["bitmaps"] = bitmaps(i, count, size)[None]
        found += to_detections(
            rows,
            np.ones((1, 2), np.float32),  # boxes and points are fractions of an image of size 1 x 1
            np.asarray([size]),
            config.names,
            masks=masks,
            score_threshold=score_threshold,
            images=images and images[i : i + 1],
            mask_paste=config.mask_paste,
            keypoint_names=config.keypoint_names,
            keypoint_skeleton=config.keypoint_skeleton,
        )
    return found


def _check(answer: Mapping[str, np.ndarray], count: int) -> None:
    absent = [name for name in _REQUIRED if name not in answer]
    if absent:
        raise ValueError(f"the server's answer lacks {', '.join(absent)}; it was no model that this package exported")
    lengths = {name: len(answer[name]) for name in _REQUIRED if len(answer[name]) != count}
    if lengths:
        raise ValueError(f"{count} images were sent, but the server's answer is of another length: {lengths}")


def _in_network_form(answer: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays that `to_detections` takes, but for the masks, in a frame of size 1 x 1."""
    outputs = {
        "boxes": np.asarray(answer["detection_boxes"], np.float32)[..., [1, 0, 3, 2]],
        "scores": np.asarray(answer["detection_scores"], np.float32),
        "class_ids": np.asarray(answer["detection_classes"]).astype(np.int32) - 1,
    }
    if "detection_keypoints" in answer:
        points, scores = answer["detection_keypoints"], np.asarray(answer["detection_keypoint_scores"])
        outputs["keypoints"] = np.concatenate([points[..., ::-1], scores[..., None]], axis=-1).astype(np.float32)
    return outputs


def _bitmaps_of(mask_values: str, answer: Mapping[str, np.ndarray]) -> Callable[[int, int, tuple[int, int]], Any]:
    """A function from an image's number, how many detections it has and its size to their masks (N, H, W) bool."""
    if mask_values == "full" and "detection_masks" in answer:
        masks = np.asarray(answer["detection_masks"])
        return lambda i, count, size: masks[i, :count, : size[0], : size[1]] != 0
    if mask_values == "png" and "detection_masks_bytes" in answer:
        files = answer["detection_masks_bytes"]
        return lambda i, count, size: _decoded(files[i][:count], size)
    raise ValueError(
        f"the served model says that its masks are {mask_values!r}, and its answer holds {', '.join(sorted(answer))}; "
        "use the package's version that exported it, or ask with masks=None"
    )


def _decoded(files: Sequence[bytes], size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    masks = np.zeros((len(files), *size), bool)
    for mask, content in zip(masks, files):
        with Image.open(io.BytesIO(content)) as image:
            mask[:] = np.asarray(image) != 0
    return masks
