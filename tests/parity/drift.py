"""What bfloat16 changes in the detections of the reference cases.

python tests/parity/drift.py [FOLDER]    prints the table of benchmarks/RESULTS.md; FOLDER holds one folder a case.
"""

import os
import pathlib
import sys

import keras
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from compare import Case, iou_matrix  # noqa: E402


def detections(case: Case, policy: str):
    """What the case's model finds under a dtype policy."""
    keras.config.set_dtype_policy(policy)
    try:
        return case.model().detect(case.expected["image_rgb"])[0]
    finally:
        keras.config.set_dtype_policy("float32")


def drift(case: Case) -> dict[str, float]:
    """Share of float32's detections with a counterpart in bfloat16 (same class, IoU from 0.9), and how far they are."""
    exact, rough = detections(case, "float32"), detections(case, "mixed_bfloat16")
    overlap = iou_matrix(exact.boxes, rough.boxes) * (exact.class_ids[:, None] == rough.class_ids[None])
    rows = np.flatnonzero(overlap.max(axis=1) >= 0.9)
    partners = overlap.argmax(axis=1)[rows]
    found = {
        "found again": len(rows) / len(exact),
        "score": float(np.abs(exact.scores[rows] - rough.scores[partners]).mean()),
        "box px": float(np.abs(exact.boxes[rows] - rough.boxes[partners]).mean()),
    }
    if exact.masks is not None:
        both = (exact.masks[rows] & rough.masks[partners]).sum((1, 2))
        either = (exact.masks[rows] | rough.masks[partners]).sum((1, 2))
        found["mask IoU"] = float((both / np.maximum(either, 1)).mean())
    return found


def main(folder: str) -> None:
    """Print the table."""
    print("| case | found again | mean score difference | mean box difference, px | mean mask IoU |\n|" + 5 * "---|")
    for path in sorted(pathlib.Path(folder).iterdir()):
        if path.is_dir() and not (case := Case(path)).is_training:
            d = drift(case)
            masks = f"{d['mask IoU']:.3f}" if "mask IoU" in d else "-"
            print(
                f"| {path.name} | {d['found again']:.0%} | {d['score']:.4f} | {d['box px']:.2f} | {masks} |", flush=True
            )


if __name__ == "__main__":
    main(*sys.argv[1:] or [os.path.join(os.environ.get("MRCNN_TEST_DATA", "../shared"), "parity")])
