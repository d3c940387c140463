"""How far this package is from the reference systems on the cases that these computed.

python tests/parity/compare.py [FOLDER]    prints the table of benchmarks/RESULTS.md; FOLDER holds one folder a case.
"""

import json
import os
import pathlib
import sys

import numpy as np

EVERY_ANCHOR = 100_000


class Case:
    """A folder with the reference system's checkpoint, settings and results."""

    def __init__(self, folder: pathlib.Path):
        self.folder = pathlib.Path(folder)
        self.settings = json.loads((self.folder / "case.json").read_text())
        self.expected = np.load(self.folder / "expected.npz")
        self.weights = next(p for p in sorted(self.folder.glob("weights.*")))

    @property
    def is_training(self) -> bool:
        """Whether the case is about losses."""
        return "loss_cls" in self.expected

    def unread(self) -> dict:
        """What a user has to say beside the file: the image's sides and how many proposals."""
        s = self.settings
        if s["source"] == "matterport":
            sides, before, after = (s["side"], s["side"]), s["pre_nms"], s["post_nms"]
        else:
            sides = s["short_side"], s["long_side"]
            before, after = (
                s.get("rpn", {}).get(f"{when}_nms_topk_test") or s.get(f"rpn_{when}_nms_topk_test", 1000)
                for when in ("pre", "post")
            )
        return {
            "image_min_side": sides[0],
            "image_max_side": sides[1],
            "rpn_pre_nms_topk_test": before,
            "rpn_post_nms_topk_test": after,
        }

    def model(self, **fields):
        """The checkpoint as a model of this package."""
        from mrcnn_keras import MaskRCNN

        return MaskRCNN.from_pretrained(self.weights, **self.unread(), **fields)


def iou_matrix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, M) overlap of boxes."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(-1)
    areas = [(x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b)]
    return both / np.maximum(areas[0][:, None] + areas[1][None] - both, 1e-9)


def inference_deviations(case: Case) -> dict[str, float]:
    """The worst of each kind, by name: see `LIMITS`."""
    import keras

    from mrcnn_keras.inference.preprocess import prepare_images

    model = case.model()
    c = model.config
    image = case.expected["image_rgb"]
    batch, _ = prepare_images([image], c.image_min_side, c.image_max_side, c.size_divisor, c.resize, c.square_padding)
    names = ("normalize", "fpn" if c.features == "fpn" else "backbone", "proposals_test")
    pixels, features, proposals = keras.Model(model.input, [model.get_layer(name).output for name in names])(batch)
    (found,) = model.detect(image)
    return {
        **_input(case, pixels[0].numpy(), batch["images"][0]),
        **_features(case, [feature[0].numpy() for feature in features]),
        **_proposals(case, proposals[0][0].numpy()),
        **_detections(case, found),
    }


def _input(case: Case, normalised: np.ndarray, image: np.ndarray) -> dict[str, float]:
    expected = case.expected
    if "resized_bgr" in expected:
        height, width = expected["resized_bgr"].shape[:2]
        theirs = expected["resized_bgr"][..., ::-1].astype(np.float32)
        return {"input": float(np.abs(image[:height, :width] - theirs).max() / 255)}
    key = "network_input_stride3" if "network_input_stride3" in expected else "molded_stride3"
    theirs = expected[key]
    return {"input": float(np.abs(normalised[::3, ::3] - theirs).max() / np.ptp(theirs))}


def _features(case: Case, features: list[np.ndarray]) -> dict[str, float]:
    worst = {}
    for key in case.expected:
        if key.startswith("feature_"):
            name, step = key.removeprefix("feature_").rsplit("_stride", 1)
            ours = features[_LEVELS.get(name, -1)][:: int(step), :: int(step)]
            theirs = case.expected[key]
            worst[key] = float(np.abs(ours - theirs).max() / theirs.std())
    return {"features": max(worst.values())} if worst else {}


_LEVELS = {"0": 0, "1": 1, "2": 2, "3": 3, "pool": 4, "p2": 0, "p3": 1, "p4": 2, "p5": 3, "p6": 4}


def _proposals(case: Case, ours: np.ndarray) -> dict[str, float]:
    if "proposal_boxes" in case.expected:
        theirs = case.expected["proposal_boxes"]
    else:
        theirs = case.expected["proposals_normalized_yxyx"][:, [1, 0, 3, 2]] * (case.settings["side"] - 1)
    ours = ours[ours[:, 2] > ours[:, 0]]
    return {"proposals missed": float((iou_matrix(theirs, ours).max(axis=1) < 0.99).mean())}


def _detections(case: Case, found) -> dict[str, float]:
    expected = case.expected
    if "rois_yxyx" in expected:
        boxes, classes = expected["rois_yxyx"][:, [1, 0, 3, 2]].astype(np.float32), expected["class_ids"] - 1
        same_box = np.abs(boxes[:, None] - found.boxes[None]).max(axis=-1) <= 1
    else:
        boxes = expected["boxes"]
        classes = expected["classes"] if "classes" in expected else expected["labels"] - 1
        same_box = iou_matrix(boxes, found.boxes) >= 0.99
    difference = np.abs(expected["scores"][:, None] - found.scores[None])
    match = same_box & (classes[:, None] == found.class_ids[None]) & (difference < 1e-3)
    rows = np.flatnonzero(match.any(axis=1))
    ours = np.where(match, difference, 2).argmin(axis=1)[rows]
    worst = {"detections missed": float(1 - len(rows) / max(len(boxes), 1)), "score": 0.0}
    if len(rows):
        worst["score"] = float(difference[rows, ours].max())
    return worst | _masks(expected, rows, found, ours) | _keypoints(expected, rows, found, ours)


def _masks(expected, rows, found, ours) -> dict[str, float]:
    if "masks_packed" not in expected:
        return {}
    theirs = np.unpackbits(expected["masks_packed"], axis=-1, count=found.size[1]).astype(bool)[rows]
    both = (theirs & found.masks[ours]).sum((1, 2))
    either = (theirs | found.masks[ours]).sum((1, 2))
    return {"1 - mask IoU": float(1 - np.where(either > 0, both / np.maximum(either, 1), 1.0).mean())}


def _keypoints(expected, rows, found, ours) -> dict[str, float]:
    if "keypoints" not in expected:
        return {}
    theirs, mine = expected["keypoints"][rows], found.keypoints[ours]
    scores = expected["keypoint_scores"][rows] if "keypoint_scores" in expected else theirs[..., 2]
    apart = np.abs(theirs[..., :2] - mine[..., :2]).max(axis=-1)
    return {"keypoints px": float(np.median(apart)), "keypoint score": float(np.abs(scores - mine[..., 2]).max())}


def training_deviations(case: Case) -> dict[str, float]:
    """Relative differences of the losses, and of the gradients in norm."""
    import tensorflow as tf

    s = case.settings
    model = case.model(
        freeze_at=s["freeze_at"],
        rpn_batch_size=EVERY_ANCHOR,
        rpn_pre_nms_topk_train=s["rpn_pre_nms_topk_train"],
        rpn_post_nms_topk_train=s["rpn_post_nms_topk_train"],
        roi_batch_size=s["rpn_post_nms_topk_train"] + _most_objects(case),
        roi_positive_fraction=1.0,
    )
    batch = training_batch(case, model.config)
    with tf.GradientTape() as tape:
        losses = model.training_graph(batch, training=True)
        # Where the reference had more than rpn_batch_size anchors an image, it drew as many; on average that is every
        # anchor, scaled.
        drawn = s["rpn_batch_size"]
        losses["rpn_class_loss"] *= 2 * EVERY_ANCHOR / max(_count_labelled(model, batch), 2 * drawn)
        losses["rpn_box_loss"] *= EVERY_ANCHOR / drawn
        total = tf.add_n(list(losses.values()))
    worst = {}
    for ours, theirs in LOSSES.items():
        if theirs in case.expected:
            worst[ours] = float(abs(float(losses[ours]) / float(case.expected[theirs]) - 1))
    return worst | _gradients(case, model, tape, total)


LOSSES = {
    "rpn_class_loss": "loss_rpn_cls",
    "rpn_box_loss": "loss_rpn_loc",
    "class_loss": "loss_cls",
    "box_loss": "loss_box_reg",
    "mask_loss": "loss_mask",
    "keypoint_loss": "loss_keypoint",
}


def _gradients(case: Case, model, tape, total) -> dict[str, float]:
    from mrcnn_keras.weights.systems import detectron2

    names = detectron2.name_map("backbone.bottom_up.")
    keys = [key for key in case.expected if key.startswith("grad_")]
    paths = [names.ours(key.removeprefix("grad_")) for key in keys]
    variables = {v.path: v for v in model.trainable_variables}
    gradients = tape.gradient(total, [variables[path].value for path in paths])
    worst = {}
    for key, path, gradient in zip(keys, paths, gradients, strict=True):
        theirs = detectron2.layout(path, model.config.box_pool_size).to_ours(case.expected[key])
        worst[f"gradient {path}"] = float(np.linalg.norm(gradient.numpy() - theirs) / np.linalg.norm(theirs))
    return worst


def training_batch(case: Case, config) -> dict[str, np.ndarray]:
    """The two images of a loss case with their objects."""
    from mrcnn_keras.data import make_annotations
    from mrcnn_keras.data.rle import coverage

    expected = case.expected
    images = [expected[f"image{i}_resized_bgr"][..., ::-1] for i in (0, 1)]
    height, width = (-(-max(side) // 32) * 32 for side in zip(*(image.shape[:2] for image in images)))
    most = _most_objects(case)
    side = config.gt_mask_size
    batch = {
        "images": np.zeros((2, height, width, 3), np.float32),
        "image_sizes": np.array([image.shape[:2] for image in images], np.float32),
        "gt_boxes": np.zeros((2, most, 4), np.float32),
        "gt_class_ids": np.full((2, most), -1, np.int32),
    }
    if config.mask_head != "none":
        batch["gt_masks"] = np.zeros((2, most, side, side), np.uint8)
    if config.num_keypoints:
        batch["gt_keypoints"] = np.zeros((2, most, config.num_keypoints, 3), np.float32)
    for i, image in enumerate(images):
        h, w = image.shape[:2]
        batch["images"][i, :h, :w] = image
        boxes = expected[f"image{i}_gt_boxes"]
        count = len(boxes)
        batch["gt_boxes"][i, :count] = boxes
        batch["gt_class_ids"][i, :count] = expected[f"image{i}_gt_classes"]
        if "gt_keypoints" in batch:
            batch["gt_keypoints"][i, :count] = expected[f"image{i}_gt_keypoints"]
        if "gt_masks" in batch:
            masks = np.unpackbits(expected[f"image{i}_gt_masks_packed"], axis=-1, count=w).astype(bool)
            rles = make_annotations((h, w), batch["gt_class_ids"][i, :count], masks=masks).masks
            for j in range(count):
                batch["gt_masks"][i, j] = coverage(rles[j], boxes[j], side)
    return batch


def _most_objects(case: Case) -> int:
    return max(len(case.expected[f"image{i}_gt_boxes"]) for i in (0, 1))


def _count_labelled(model, batch) -> int:
    """Anchors of the batch that are objects or background."""
    import keras
    import tensorflow as tf

    from mrcnn_keras.layers import matching

    probe = keras.Model(model.input, model.get_layer("anchors").output)
    anchors = tf.concat(probe({name: batch[name] for name in ("images", "image_sizes")}), axis=0)
    _, label = matching.match(anchors, batch["gt_boxes"], batch["gt_class_ids"] >= 0, (0.3, 0.7), True)
    return np.count_nonzero(label.numpy() != matching.IGNORED)


# The tolerances of the cases' README; the class loss of the RPN is a sample there (its standard deviation is 0.06 %).
LIMITS = {
    "input": 1e-4,
    "features": 1e-3,
    "proposals missed": 0.02,
    "detections missed": 0.02,
    "score": 1e-3,
    "1 - mask IoU": 0.01,
    "keypoints px": 0.1,
    "keypoint score": 1e-3,
    "mask_loss": 0.02,
    "loss": 0.001,
    "gradient": 0.005,
    "gradient mask_head": 0.02,
}


def limit_of(name: str) -> float:
    """The tolerance for one of the deviations."""
    if name in LIMITS:
        return LIMITS[name]
    if name.startswith("gradient"):
        return LIMITS["gradient mask_head" if "mask_head" in name else "gradient"]
    return LIMITS["loss"]


def main(folder: str) -> None:
    """Print the table."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    print("| case | worst deviations (tolerance) |\n|---|---|")
    for path in sorted(pathlib.Path(folder).iterdir()):
        if path.is_dir():
            case = Case(path)
            worst = training_deviations(case) if case.is_training else inference_deviations(case)
            listed = ", ".join(f"{name} {value:.1e} ({limit_of(name):g})" for name, value in worst.items())
            print(f"| {path.name} | {listed} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:] or [os.path.join(os.environ.get("MRCNN_TEST_DATA", "../shared"), "parity")])
