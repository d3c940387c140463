"""Learn the keypoints of a few photos by heart: if that works, data, losses, decoding and evaluation fit together.

python samples/overfit_keypoints.py --images train2017 --annotations person_keypoints_train2017.json --out runs/overfit

Trains a narrow network from random weights, without mirroring or scale jitter, on the photos in which keypoints are
marked, and evaluates on the same photos, then on all of the file. Meant for a hundred photos or fewer.
"""

import argparse
import pathlib
import sys

import _common

from mrcnn_keras import demo
from mrcnn_keras.commands import options

PRESET = "keypoint_rcnn_narrow_fpn"
STEPS, STEPS_PER_EPOCH = 1600, 200
SETTINGS = {
    "image_min_side": 320,
    "image_max_side": 448,
    "flip": False,
    "batch_size": 4,
    "keypoint_head_dim": 128,
    "roi_positive_fraction": 0.5,
    "warmup_steps": 100,
    "gradient_clip_norm": 5.0,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=options.folder, required=True, metavar="DIR", help="folder of the photos")
    parser.add_argument("--annotations", type=options.file, required=True, metavar="FILE",
                        help="their person keypoints in COCO's format")  # fmt: skip
    parser.add_argument("--steps", type=options.positive, default=STEPS, metavar="N", help=f"training steps ({STEPS})")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/overfit_keypoints"), metavar="DIR",
                        help="folder for the model and a picture (runs/overfit_keypoints)")  # fmt: skip
    options.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Train, evaluate on the same photos and on all, draw some of them."""
    from mrcnn_keras.commands.models import new_config
    from mrcnn_keras.data import CocoDataset

    every = CocoDataset(args.images, args.annotations, classes=["person"])
    photos = every.with_keypoints()
    config = new_config(PRESET, {**SETTINGS, **options.settings(args)}, photos)
    _common.import_tensorflow()
    from mrcnn_keras import MaskRCNN
    from mrcnn_keras.evaluation import evaluate_coco, format_table

    model = MaskRCNN(config)
    model.compile(demo.make_optimizer(config, args.steps))
    epochs = max(1, args.steps // STEPS_PER_EPOCH)
    model.fit(photos, epochs=epochs, steps_per_epoch=args.steps // epochs, verbose=2)
    args.out.mkdir(parents=True, exist_ok=True)
    model.save(args.out / "model.keras")
    for dataset, title in (photos, f"the {len(photos)} training photos"), (every, f"all {len(every)} photos"):
        format_table(evaluate_coco(model, dataset, verbose=sys.stdout.isatty()), title=title)
    print(f"wrote {demo.draw(model, photos, args.out / 'detections.png')}")
    return 0


def main(argv=None) -> int:
    return _common.main_of_one(__doc__, add_arguments, run, argv)


if __name__ == "__main__":
    sys.exit(main())
