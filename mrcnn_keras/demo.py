"""`mrcnn-keras demo`: train a small Mask R-CNN on drawn shapes, measure it, show what it finds, and export it.

Everything happens on this machine and from random weights; nothing is downloaded.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from mrcnn_keras.commands import options
from mrcnn_keras.commands.quiet import import_tensorflow

HELP = "train, evaluate, draw and export on drawn shapes, in minutes"

PRESET = "mask_rcnn_narrow_fpn"
STEPS = 800
EPOCHS = 8  # how often the losses are shown in a log
TRAIN_IMAGES, TRAIN_SEED = 20_000, 1
TEST_IMAGES, TEST_SEED = 100, 2
SETTINGS: dict[str, Any] = {
    "image_min_side": 128,
    "image_max_side": 128,
    "anchor_sizes": (16, 32, 64, 128, 256),
    "roi_canonical_size": 112.0,
    # Few, so that there are hard ones among the RoIs: with 300 the same training ends 10 AP lower.
    "rpn_post_nms_topk_train": 32,
    "rpn_post_nms_topk_test": 50,
    "batch_size": 8,
    "warmup_steps": 100,
    "gradient_clip_norm": 5.0,
}
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 0.01  # of AdamW, which learns faster than SGD from random weights
GALLERY = 12  # images in detections.png
COMPARED = 8  # images on which the SavedModel is held against the model
SHOWN_SCORE = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("demo"), metavar="DIR", help="results (demo)")
    parser.add_argument("--steps", type=options.positive, default=STEPS, metavar="N", help=f"training steps ({STEPS})")
    options.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Run the demo; 1 if the exported model does not find the same."""
    from mrcnn_keras.data import ShapesDataset

    started = time.monotonic()
    train_set, test_set = ShapesDataset(TRAIN_IMAGES, TRAIN_SEED), ShapesDataset(TEST_IMAGES, TEST_SEED)
    model = train(train_set, args.steps, {**SETTINGS, **options.settings(args)})
    args.out.mkdir(parents=True, exist_ok=True)
    model.save(args.out / "model.keras")
    evaluate(model, test_set, args.out)
    print(f"wrote {draw(model, test_set, args.out / 'detections.png')}")
    same = export_and_compare(model, test_set, args.out)
    print(f"done in {(time.monotonic() - started) / 60:.1f} minutes\n")
    programs = {"command": _beside_python("mrcnn-keras"), "python": _beside_python("python")}
    print(_NEXT.format(out=args.out, exported=(args.out / "exported").resolve(), **programs))
    return 0 if same else 1


def train(dataset: Any, steps: int, settings: dict[str, Any]) -> Any:
    """A model trained from random weights for so many steps.

    Args:
        dataset: `mrcnn_keras.data.Dataset`.
        steps: 1 or more.
        settings: config fields beside the preset's.
    """
    from mrcnn_keras.commands.models import new_config
    from mrcnn_keras.commands.records import verbosity

    config = new_config(PRESET, settings, dataset)
    import_tensorflow()
    from mrcnn_keras.model import MaskRCNN

    model = MaskRCNN(config)
    epochs = next(count for count in range(min(EPOCHS, steps), 0, -1) if steps % count == 0)
    print(f"training {model.count_params():,} weights for {steps} steps of {config.batch_size} drawn images")
    model.compile(make_optimizer(config, steps))
    model.fit(dataset, epochs=epochs, steps_per_epoch=steps // epochs, verbose=verbosity())
    return model


def make_optimizer(config: Any, steps: int) -> Any:
    """AdamW whose rate rises linearly and falls along a cosine, for a run of so many steps.

    Args:
        config: `MaskRCNNConfig`: its warm-up and clipping are used.
        steps: 1 or more.
    """
    import keras

    warmup = max(1, min(config.warmup_steps, steps // 10))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.01 * LEARNING_RATE, max(1, steps - warmup), warmup_target=LEARNING_RATE, warmup_steps=warmup
    )
    clip = config.gradient_clip_norm or None
    return keras.optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY, global_clipnorm=clip)


def evaluate(model: Any, dataset: Any, out: pathlib.Path) -> dict[str, dict[str, float]]:
    """COCO's metrics on a dataset, printed as a table and written to `out/metrics.json`."""
    from mrcnn_keras.evaluation import evaluate_coco, format_table

    metrics = evaluate_coco(model, dataset, batch_size=4, verbose=sys.stdout.isatty())
    shown = {kind: {name: values[name] for name in ("AP", "AP50", "AP75")} for kind, values in metrics.items()}
    format_table(shown, title=f"{len(dataset)} unseen images")
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    return metrics


def draw(model: Any, dataset: Any, path: pathlib.Path) -> pathlib.Path:
    """A gallery of the detections on the first images of a dataset."""
    from mrcnn_keras.visualize import draw_grid

    images = [dataset.load_image(i) for i in range(min(GALLERY, len(dataset)))]
    found = model.detect(images, batch_size=4)
    return draw_grid(images, found, path, score_threshold=SHOWN_SCORE)


def export_and_compare(model: Any, dataset: Any, out: pathlib.Path) -> bool:
    """Export a SavedModel to `out/exported/1`, run it in a process without this package, compare the detections."""
    from PIL import Image

    exported = out / "exported" / "1"
    model.export(exported)
    print(f"wrote {exported}, a SavedModel for TensorFlow Serving")
    images = [dataset.load_image(i) for i in range(min(COMPARED, len(dataset)))]
    with tempfile.TemporaryDirectory() as folder:
        answers = pathlib.Path(folder, "answers.npz")
        paths = [pathlib.Path(folder, f"{i}.png") for i in range(len(images))]
        for image, path in zip(images, paths, strict=True):
            Image.fromarray(image).save(path)
        command = [sys.executable, "-c", _CLIENT, str(exported), str(answers), *map(str, paths)]
        child = subprocess.run(command, capture_output=True, text=True)
        if child.returncode:
            print(f"the exported model failed where mrcnn_keras is absent:\n{child.stderr}", file=sys.stderr)
            return False
        with np.load(answers) as served:
            return compare(model.detect(images), dict(served), images)


# Runs in a process of its own, in which the package cannot be imported.
_CLIENT = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "mrcnn_keras":
            raise ImportError("mrcnn_keras is blocked in this process")

sys.meta_path.insert(0, Block())
try:
    import mrcnn_keras
    sys.exit("mrcnn_keras could be imported")
except ImportError:
    pass
import numpy as np
import tensorflow as tf
exported, answers, *paths = sys.argv[1:]
serve = tf.saved_model.load(exported).signatures["serving_default"]
images = tf.constant([tf.io.read_file(path).numpy() for path in paths])
np.savez(answers, **{name: value.numpy() for name, value in serve(image_bytes=images).items()})
"""


def compare(found: list, served: dict[str, np.ndarray], images: list[np.ndarray]) -> bool:
    """Print how far apart the detections of `model.detect` and of the SavedModel are; False if they differ.

    Args:
        found: `Detections` of each image, with masks.
        served: the arrays that the signature returns.
        images: RGB uint8 arrays.

    Returns:
        Whether every image has the same number of detections, and each the same class, a score within 0.001, a box
        within 0.1 pixels, and a mask that overlaps with IoU 0.98 or more.
    """
    from mrcnn_keras.inference import paste_masks

    scores, corners, overlaps, count = [0.0], [0.0], [1.0], 0
    for i, (one, image) in enumerate(zip(found, images, strict=True)):
        number = int(served["num_detections"][i])
        classes = served["detection_classes"][i][:number].astype(int) - 1
        if len(one) != number or (one.class_ids != classes).any():
            print(f"image {i}: the model finds {one!r}, the SavedModel {number} of classes {classes.tolist()}")
            return False
        height, width = image.shape[:2]
        boxes = served["detection_boxes"][i][:number][:, [1, 0, 3, 2]] * [width, height, width, height]
        masks = paste_masks(served["detection_masks"][i][:number], boxes, (height, width))
        scores += np.abs(one.scores - served["detection_scores"][i][:number]).tolist()
        corners += np.abs(one.boxes - boxes).ravel().tolist()
        either = (one.masks | masks).sum(axis=(1, 2))
        overlaps += ((one.masks & masks).sum(axis=(1, 2)) / np.maximum(either, 1))[either > 0].tolist()
        count += number
    same = max(scores) <= 1e-3 and max(corners) <= 0.1 and min(overlaps) >= 0.98
    print(
        f"loaded in a process that cannot import mrcnn_keras: {'the same' if same else 'OTHER'} {count} detections on "
        f"{len(images)} images (scores within {max(scores):.1g}, boxes within {max(corners):.1g} pixels, masks overlap "
        f"by {min(overlaps):.3f} or more)"
    )
    return same


_NEXT = """What to try next:
  see the detections            {out}/detections.png
  detect in pictures of yours   {command} detect PICTURE... --model {out}/model.keras --out found
  train on photos               {python} samples/pennfudan.py train --help
  train on your own COCO file   {command} train --help
  serve the exported model      tensorflow_model_server --model_base_path="{exported}" --rest_api_port=8501
  look at this installation     {command} doctor"""


def _beside_python(name: str) -> str:
    """How to call a program of this environment from here: by its name alone where the shell would find it."""
    program = pathlib.Path(sys.executable).with_name(name)
    if shutil.which(name) and pathlib.Path(shutil.which(name)).resolve() == program.resolve():
        return name
    return os.path.relpath(program) if program.is_relative_to(pathlib.Path.cwd()) else str(program)
