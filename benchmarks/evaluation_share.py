"""COCO evaluation of 500 images' results: the time that is this package's, and the time that is pycocotools' own.

python benchmarks/evaluation_share.py [--images N] [--false N] [--rounds N] [--results]

Drawn ground truth in images of 480 x 640 pixels, 7 objects with masks in each on average, of 80 classes; results are
the objects moved a little and, for each, so many false ones (1), 14 an image. "pycocotools" is the time in COCOeval's
evaluate, accumulate and summarize, and what `loadRes` takes for the same results (this package does without); "ours" is
all else of `evaluate_coco` once the detections are there: results, their areas, ground truth, indices; with `--results`
also the files for COCO's server. "run lengths" is the pasting of the masks, which detection does. Medians of wall time
in s. The goal is that ours is no more than pycocotools'.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
import types

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mrcnn_keras.data import Dataset, make_annotations
from mrcnn_keras.evaluation import coco_ground_truth, evaluate_coco
from mrcnn_keras.inference import Detections, paste_mask_rles

CLASSES = tuple(f"class {number}" for number in range(80))
SIZE = (480, 640)
PIXELS = np.zeros((*SIZE, 3), np.uint8)


class Drawn(Dataset):
    """Images of nothing with smooth blobs for objects."""

    class_names = CLASSES

    def __init__(self, count: int):
        rng = np.random.default_rng(0)
        self.objects = [draw(rng, int(rng.poisson(7))) for _ in range(count)]
        self.annotations = [
            make_annotations(SIZE, classes, boxes=boxes, rles=paste_mask_rles(probs, boxes, SIZE))
            for boxes, classes, probs in self.objects
        ]

    def __len__(self):
        return len(self.objects)

    def load_image(self, index):
        return PIXELS

    def load_annotations(self, index):
        return self.annotations[index]


def draw(rng: np.random.Generator, count: int):
    """Boxes, classes and masks of so many objects, of the sizes that COCO's have."""
    sides = np.exp(rng.uniform(np.log(12), np.log(320), (count, 2)))
    corners = rng.uniform(0, 1, (count, 2)) * (np.array(SIZE[::-1]) - sides)
    boxes = np.concatenate([corners, corners + sides], axis=1).astype(np.float32)
    basis = np.cos(np.outer(np.linspace(0, np.pi, 28), np.arange(4)))
    probs = 1 / (1 + np.exp(-3 * basis @ (rng.normal(size=(count, 4, 4)) + np.eye(4)[0]) @ basis.T))
    return boxes, rng.integers(0, len(CLASSES), count), probs.astype(np.float32)


class Model:
    """Gives the results that there are already."""

    config = types.SimpleNamespace(names=CLASSES)

    def __init__(self, dataset: Drawn, false: int):
        self.pasting, self.next, self.false = 0.0, 0, false
        rng = np.random.default_rng(1)
        self.found = [self._found(rng, *objects) for objects in dataset.objects]

    def _found(self, rng, boxes, classes, probs):
        false = draw(rng, self.false * len(boxes))
        moved = boxes + rng.normal(size=boxes.shape).astype(np.float32) * 0.05 * np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        boxes, classes, probs = (np.concatenate(pair) for pair in zip((moved, classes, probs), false))
        boxes = np.clip(boxes, 0, np.array(SIZE[::-1] * 2, np.float32))
        start = time.perf_counter()
        rles = paste_mask_rles(probs, boxes, SIZE)
        self.pasting += time.perf_counter() - start
        scores = np.sort(rng.uniform(0.05, 1, len(boxes)))[::-1]
        return Detections(boxes, scores, classes, CLASSES, rles=rles, size=SIZE)

    def detect(self, images, batch_size=1, masks="rle"):
        first, self.next = self.next, (self.next + len(images)) % len(self.found)
        return self.found[first : first + len(images)]


@contextlib.contextmanager
def clocked(kind, names, times: list[float]):
    """Adds up the time in some methods of a class."""
    kept = {name: getattr(kind, name) for name in names}

    def timing(method):
        def run(*args, **kwargs):
            start = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                times.append(time.perf_counter() - start)

        return run

    for name, method in kept.items():
        setattr(kind, name, timing(method))
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(kind, name, method)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--false", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", action="store_true")
    args = parser.parse_args()
    dataset = Drawn(args.images)
    model = Model(dataset, args.false)
    truth = coco_ground_truth(dataset)
    results = [
        one for i, found in enumerate(model.found) for one in found.to_coco(dataset.image_id(i), dataset.category_ids)
    ]
    ours, theirs = [], []
    for _ in range(args.rounds):
        total, inside, metrics = evaluated(model, dataset, args.results)
        ours.append(total - inside)
        theirs.append(inside + loading_time(truth, results))
    objects, found = (sum(map(len, each)) for each in (dataset.annotations, model.found))
    accuracy = ", ".join(f"{kind} AP {one['AP']:.3f}" for kind, one in metrics.items())
    print(f"{len(dataset)} images, {objects} objects, {found} detections: {accuracy}")
    print(f"run lengths {model.pasting:.2f} s")
    share = statistics.median(one / other for one, other in zip(ours, theirs))
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    print(f"ours {ours:.2f} s, pycocotools {theirs:.2f} s: ours / theirs {share:.2f}")


def evaluated(model: Model, dataset: Drawn, files: bool):
    """Time of `evaluate_coco`, the part of it inside of COCOeval, and the metrics."""
    inside: list[float] = []
    with tempfile.TemporaryDirectory() as folder, clocked(COCOeval, ("evaluate", "accumulate", "summarize"), inside):
        start = time.perf_counter()
        options = {"backend": "pycocotools", "verbose": False, "results_folder": folder if files else None}
        metrics = evaluate_coco(model, dataset, **options)
        return time.perf_counter() - start, sum(inside), metrics


def loading_time(truth: COCO, results: list[dict]) -> float:
    """What pycocotools takes to load the results of each kind."""
    times: list[float] = []
    with clocked(COCO, ("loadRes",), times), contextlib.redirect_stdout(io.StringIO()):
        for part in ("bbox", "segmentation"):
            truth.loadRes([{key: one[key] for key in ("image_id", "category_id", "score", part)} for one in results])
    return sum(times)


if __name__ == "__main__":
    main()
