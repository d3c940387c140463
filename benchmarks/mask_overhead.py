"""What the mask branch adds to the time of a detection (section 3.1: about 20 % in the paper).

python benchmarks/mask_overhead.py [--backbone resnet101] [--threads N] [--rounds N]

Faster R-CNN and Mask R-CNN with a feature pyramid, 80 classes, random weights, one 800 x 1333 photo, 1000 proposals,
100 detections (threshold 0, so that there are as many): the network alone, then with the masks pasted into the photo.
The contestants take turns; medians.
"""

import argparse
import statistics
import time

import numpy as np
import tensorflow as tf

from mrcnn_keras import MaskRCNN
from mrcnn_keras.presets import preset_config

PHOTO = (800, 1333)


def tame(model) -> None:
    """Keep the activations of random weights from growing from block to block, or no class scores more than 0."""
    for weight in model.weights:
        if weight.path.endswith("/gamma"):
            weight.assign(0.5 * weight)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet101")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    fields = {"backbone": args.backbone, "score_threshold": 0.0}
    boxes, masks = (MaskRCNN(preset_config(f"{kind}_rcnn_resnet50_fpn", **fields)) for kind in ("faster", "mask"))
    for model in (boxes, masks):
        tame(model)
    photo = np.random.default_rng(0).integers(0, 255, (*PHOTO, 3), np.uint8)
    contestants = {
        "boxes": lambda: boxes.detect(photo, masks=None),
        "boxes and masks, network": lambda: masks.detect(photo, masks=None),
        "boxes and masks, pasted": lambda: masks.detect(photo),
    }
    times = {name: [] for name in contestants}
    for name, run in contestants.items():
        print(f"{name}: {len(run()[0])} detections")
    for _ in range(args.rounds):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    least = statistics.median(times["boxes"])
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:26} {median:6.2f} s  {100 * (median / least - 1):+5.1f} %")


if __name__ == "__main__":
    main()
