"""What keypoint similarity needs: which keypoint is which, and how far off each may be."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from mrcnn_keras.data.keypoints import COCO_PERSON, KeypointSet


def oks_sigmas(candidates: Sequence[Sequence[float] | None], count: int) -> np.ndarray:
    """The tolerance of each keypoint: the first candidate that is given, else COCO's for its 17.

    Args:
        candidates: sequences of `count` numbers, the most important first; None or empty: not given.
        count: keypoints of an object.

    Returns:
        float64 (J,).

    Raises:
        ValueError: there is none, or it has another length.
    """
    given = next((one for one in candidates if one is not None and len(one)), None)
    if given is None and count == len(COCO_PERSON):
        given = COCO_PERSON.sigmas
    if given is None:
        raise ValueError(
            f"the average precision of {count} keypoints needs a sigma for each, how far apart people place it "
            "relative to the object's size (COCO's are 0.025 for eyes to 0.107 for hips): pass keypoint_sigmas, set "
            "them in the model's config, or give them to the dataset's KeypointSet"
        )
    sigmas = np.asarray(given, float)
    if sigmas.shape != (count,) or not (sigmas > 0).all():
        raise ValueError(f"keypoint_sigmas must be {count} numbers above 0, one for each keypoint, got {list(given)}")
    return sigmas


def sigmas_for(wanted: KeypointSet, model: Any, given: Sequence[float] | None = None) -> np.ndarray:
    """The tolerance of each wanted keypoint: those given, else of the model's config, of the dataset, or COCO's.

    Raises:
        ValueError: see `oks_sigmas`.
    """
    config = getattr(model, "config", None)
    sigmas, names = (getattr(config, f"keypoint_{field}", ()) for field in ("sigmas", "names"))
    if len(sigmas) >= len(wanted):
        sigmas = [sigmas[k] for k in in_order_of(wanted, names)]
    return oks_sigmas([given, sigmas, wanted.sigmas], len(wanted))


def in_order_of(wanted: KeypointSet, own: Sequence[str]) -> list[int]:
    """For each wanted keypoint its place among names of one's own, or the same place where not all are there."""
    own = list(own)
    if set(wanted.names) <= set(own):
        return [own.index(name) for name in wanted.names]
    return list(range(len(wanted)))


def with_keypoints_of(wanted: KeypointSet, found: Any) -> Any:
    """Detections with the wanted keypoints, found by name or, where the names differ, by number.

    Raises:
        ValueError: neither the names nor the numbers fit.
    """
    by_name = set(wanted.names) <= set(found.keypoint_names)
    if len(found) and not by_name and found.keypoints.shape[1] != len(wanted):
        raise ValueError(f"the model has {found.keypoints.shape[1]} keypoints, but the dataset {len(wanted)}")
    if not len(found) or found.keypoint_names == wanted.names:
        return found
    points = found.keypoints[:, in_order_of(wanted, found.keypoint_names)]
    changes = {"keypoint_names": wanted.names, "keypoint_skeleton": wanted.skeleton}
    return dataclasses.replace(found, keypoints=points, **changes)
