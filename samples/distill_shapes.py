"""Data distillation (appendix B) on drawn shapes: what a model learns from its own labels of other images.

python samples/distill_shapes.py --seeds 3 --out runs/distill_shapes

A tenth of the images has labels. A narrow network learns from them, labels the other nine tenths with test-time
augmentation, and a new one learns from the union for as many steps; --upper-bound trains a third one, on all the true
labels. An interrupted run goes on where it stopped when it is started again with the same --out.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time
from typing import Any

import _common

from mrcnn_keras import demo
from mrcnn_keras.commands import options
from mrcnn_keras.commands.quiet import import_tensorflow

IMAGES, LABELLED, STEPS = 600, 0.1, 500
TRAIN_SEED, TEST_SEED, TEST_IMAGES = 300, 7, 200
SIDE = 96
# Ratio of labelled and distilled images in a batch.
RATIO = (4, 4)
SETTINGS: dict[str, Any] = {
    **demo.SETTINGS,
    "image_min_side": SIDE,
    "image_max_side": SIDE,
    "anchor_sizes": (12, 24, 48, 96, 192),
    "roi_canonical_size": 84.0,
    "rpn_post_nms_topk_train": 200,
    "roi_batch_size": 32,
    "tta_scales": (0.75, 1.0, 1.25),
}
_COLUMNS = {"box AP": ("bbox", "AP"), "mask AP": ("segm", "AP"), "mask AP50": ("segm", "AP50")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=options.positive, default=3, metavar="N", help="repetitions (3)")
    parser.add_argument("--images", type=options.positive, default=IMAGES, metavar="N",
                        help=f"drawn images to train on ({IMAGES})")  # fmt: skip
    parser.add_argument("--labelled", type=options.fraction, default=LABELLED, metavar="PART",
                        help=f"part of them that has labels ({LABELLED})")  # fmt: skip
    parser.add_argument("--steps", type=options.positive, default=STEPS, metavar="N",
                        help=f"of each training ({STEPS})")  # fmt: skip
    parser.add_argument("--test-images", type=options.positive, default=TEST_IMAGES, metavar="N",
                        help=f"other images to evaluate on ({TEST_IMAGES})")  # fmt: skip
    parser.add_argument("--upper-bound", action="store_true", help="train with all labels, too")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/distill_shapes"), metavar="DIR",
                        help="results (runs/distill_shapes)")  # fmt: skip
    options.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Do what is not done yet, then print the table."""
    rows = ["labelled", "distilled", *(["all labels"] if args.upper_bound else [])]
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "results.json"
    found = json.loads(path.read_text()) if path.exists() else []
    for seed in range(args.seeds):
        for row in rows:
            job = _job(args, seed, row)
            if _find(found, job) is None:
                started = time.monotonic()
                metrics = _measure(args, seed, row)
                found.append({"job": job, "metrics": metrics, "seconds": round(time.monotonic() - started, 1)})
                path.write_text(json.dumps(found, indent=1) + "\n")
                print(f"seed {seed}, {row}: {metrics} ({found[-1]['seconds']:.0f} s)", flush=True)
    text = report(rows, [[_find(found, _job(args, seed, row)) for seed in range(args.seeds)] for row in rows])
    (args.out / "report.md").write_text(text)
    print(text)
    return 0


def _job(args: argparse.Namespace, seed: int, row: str) -> dict[str, Any]:
    """All that a measurement depends on, as JSON has it."""
    names = ("images", "labelled", "steps", "test_images")
    job = {"seed": seed, "row": row, "settings": options.settings(args), **{one: getattr(args, one) for one in names}}
    return json.loads(json.dumps(job))


def _find(found: list[dict], job: dict[str, Any]) -> dict[str, float] | None:
    return next((one["metrics"] for one in found if one["job"] == job), None)


def _measure(args: argparse.Namespace, seed: int, row: str) -> dict[str, float]:
    """Train, and evaluate on other images: metrics by column, in percent."""
    from mrcnn_keras.data import ShapesDataset
    from mrcnn_keras.evaluation import evaluate_coco

    images = ShapesDataset(args.images, TRAIN_SEED + seed, size=(SIDE, SIDE))
    labelled = images.subset(range(max(1, round(args.labelled * args.images))))
    folder = args.out / f"seed{seed}"
    if row == "distilled":
        images = _with_distilled(folder, images, labelled)
    model = _train(args, seed, labelled if row == "labelled" else images)
    if row == "labelled":
        folder.mkdir(exist_ok=True)
        model.save(folder / "labelled.keras")
    tests = ShapesDataset(args.test_images, TEST_SEED, size=(SIDE, SIDE))
    metrics = evaluate_coco(model, tests, batch_size=4, verbose=False)
    return {name: round(100 * metrics[kind][key], 2) for name, (kind, key) in _COLUMNS.items()}


def _train(args: argparse.Namespace, seed: int, images: Any) -> Any:
    from mrcnn_keras.commands.models import new_config

    settings = {**SETTINGS, "seed": seed, **options.settings(args)}
    config = new_config(demo.PRESET, settings, images)
    import_tensorflow()
    import keras

    from mrcnn_keras.model import MaskRCNN

    keras.utils.set_random_seed(seed)
    model = MaskRCNN(config)
    model.compile(demo.make_optimizer(config, args.steps))
    model.fit(images, steps_per_epoch=args.steps, verbose=0)
    return model


def _with_distilled(folder: pathlib.Path, images: Any, labelled: Any) -> Any:
    """The labelled images with the others as the model of the row before labels them."""
    from mrcnn_keras.commands.models import load_model
    from mrcnn_keras.data import CocoDataset, MixedDataset
    from mrcnn_keras.distillation import distill

    photos = _draw(folder / "photos", images, range(len(labelled), len(images)))
    done = distill(load_model(folder / "labelled.keras", {}), photos, labelled, folder / "distilled.json",
                   batch_size=8, verbose=sys.stdout.isatty())  # fmt: skip
    print(done, flush=True)
    return MixedDataset([labelled, CocoDataset(photos, done.annotation_file)], RATIO)


def _draw(folder: pathlib.Path, images: Any, indices: range) -> pathlib.Path:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for index in indices:
        path = folder / f"{index:05}.png"
        if not path.exists():
            beside = path.with_suffix(".new")
            Image.fromarray(images.load_image(index)).save(beside, "png")
            beside.replace(path)
    return folder


def report(rows: list[str], measured: list[list[dict[str, float]]]) -> str:
    """A Markdown table.

    Args:
        rows: names; the first is what the others are compared with.
        measured: for each row and seed the metrics by column, in percent.
    """
    seeds = range(len(measured[0]))
    lines = ["| trained on | " + " | ".join(_COLUMNS) + " |", "|---|" + "---|" * len(_COLUMNS)]
    for row, metrics in zip(rows, measured):
        lines.append(_line(row, [[one[name] for one in metrics] for name in _COLUMNS]))
    for row, metrics in zip(rows[1:], measured[1:]):
        gains = [[metrics[seed][name] - measured[0][seed][name] for seed in seeds] for name in _COLUMNS]
        lines.append(_line(f"{row} - {rows[0]}", gains, "+"))
    return "\n".join([f"Mean of {len(seeds)} seeds (seed by seed), percent", "", *lines]) + "\n"


def _line(name: str, columns: list[list[float]], sign: str = "") -> str:
    cells = [f"{statistics.mean(values):{sign}.1f} ({', '.join(f'{one:{sign}.1f}' for one in values)})"
             for values in columns]  # fmt: skip
    return f"| {name} | " + " | ".join(cells) + " |"


def main(argv=None) -> int:
    return _common.main_of_one(__doc__, add_arguments, run, argv)


if __name__ == "__main__":
    sys.exit(main())
