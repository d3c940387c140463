"""COCO's evaluation program: pycocotools, or faster-coco-eval, which computes the same in C++."""

import contextlib
import importlib.util
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mrcnn_keras.evaluation.ground_truth import make_coco

BACKENDS = ("auto", "pycocotools", "faster_coco_eval")
_AT_HALF, _AT_THREE_QUARTERS = 0, 5  # among COCO's ten overlaps


def check_backend(backend: str) -> str:
    """The program to use: "pycocotools" or "faster_coco_eval".

    Raises:
        ValueError: there is no such program, or it is not installed.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend!r}: expected one of {', '.join(BACKENDS)}")
    installed = importlib.util.find_spec("faster_coco_eval") is not None
    if backend == "faster_coco_eval" and not installed:
        raise ValueError("backend='faster_coco_eval' is not installed: pip install faster-coco-eval")
    return ("faster_coco_eval" if installed else "pycocotools") if backend == "auto" else backend


def run_program(
    backend: str,
    frame: Sequence[list[dict]],
    truth: list[dict],
    found: list[dict],
    kind: str,
    sigmas: np.ndarray | None,
) -> Any:
    """Evaluate detections; prints nothing.

    Args:
        backend: of `BACKENDS`.
        frame: "images" and "categories" of the annotation file.
        truth, found: its annotations, and the detections in the same form with "score".
        kind: "bbox", "segm" or "keypoints".
        sigmas: of the keypoints.

    Returns: the COCOeval object with its `stats`; None where there are no images.
    """
    program = check_backend(backend)
    if program == "faster_coco_eval" and not all(isinstance(image["id"], int) for image in frame[0]):
        if backend == program:
            raise ValueError("backend='faster_coco_eval' takes whole numbers only as image ids; use 'pycocotools'")
        program = "pycocotools"
    if program == "faster_coco_eval":
        from faster_coco_eval import COCO
        from faster_coco_eval import COCOeval_faster as COCOeval
    else:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    with contextlib.redirect_stdout(io.StringIO()):
        program = COCOeval(make_coco(*frame, truth, COCO), make_coco(*frame, found, COCO), kind)
        if not program.params.imgIds:
            return None
        if kind == "keypoints":
            program.params.kpt_oks_sigmas = sigmas
        program.evaluate()
        program.accumulate()
        program.summarize()
    return program


def class_precisions(program: Any, names: Mapping[int, str]) -> dict[str, dict[str, float]]:
    """AP, AP50 and AP75 of each class, in 0..1 or nan.

    Args:
        program: of `run_program`.
        names: category id -> class.
    """
    # Overlaps x recalls x classes, over objects of all sizes and the most detections.
    precision = np.asarray(program.eval["precision"])[:, :, :, 0, -1]
    found = {}
    for number, category in enumerate(program.params.catIds):
        parts = {"AP": precision[:, :, number], "AP50": precision[[_AT_HALF], :, number]}
        parts["AP75"] = precision[[_AT_THREE_QUARTERS], :, number]
        found[names[category]] = {name: _mean(part) for name, part in parts.items()}
    return found


def _mean(values: np.ndarray) -> float:
    values = values[values > -1]
    return float(values.mean()) if values.size else float("nan")
