"""The served signature's arrays -> `Detections`."""

from collections.abc import Mapping, Sequence
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
        ValueError: the answer is not of that form, its masks cannot be pasted, or `masks` is none of the three.
    """
    _check(answer, len(sizes))
    if masks is not None and "detection_masks" in answer and mask_values != PROBABILITIES:
        remedy = f"export it with masks as {PROBABILITIES!r}, or ask with masks=None"
        raise ValueError(f"the served model gives masks as {mask_values!r}, which cannot be pasted; {remedy}")
    whole = np.ones((len(sizes), 2), np.float32)  # boxes and points are fractions of an image of size 1 x 1
    return to_detections(
        _in_network_form(answer, masks is not None),
        whole,
        np.asarray(sizes),
        config.names,
        masks=masks,
        score_threshold=score_threshold,
        images=images,
        mask_paste=config.mask_paste,
        keypoint_names=config.keypoint_names,
        keypoint_skeleton=config.keypoint_skeleton,
    )


def _check(answer: Mapping[str, np.ndarray], count: int) -> None:
    absent = [name for name in _REQUIRED if name not in answer]
    if absent:
        raise ValueError(f"the server's answer lacks {', '.join(absent)}; it was no model that this package exported")
    lengths = {name: len(answer[name]) for name in _REQUIRED if len(answer[name]) != count}
    if lengths:
        raise ValueError(f"{count} images were sent, but the server's answer is of another length: {lengths}")


def _in_network_form(answer: Mapping[str, np.ndarray], with_masks: bool) -> dict[str, np.ndarray]:
    """The arrays that `to_detections` takes, in a frame of size 1 x 1."""
    values = {name: np.asarray(value, np.float32) for name, value in answer.items()}
    classes = values["detection_classes"].astype(np.int32)
    found = np.arange(classes.shape[1]) < values["num_detections"][:, None]
    outputs = {
        "boxes": values["detection_boxes"][..., [1, 0, 3, 2]],
        "scores": values["detection_scores"],
        "class_ids": np.where(found, classes - 1, -1),
    }
    if with_masks and "detection_masks" in values:
        outputs["mask_probs"] = values["detection_masks"]
    if "detection_keypoints" in values:
        points, scores = values["detection_keypoints"], values["detection_keypoint_scores"]
        outputs["keypoints"] = np.concatenate([points[..., ::-1], scores[..., None]], axis=-1)
    return outputs
