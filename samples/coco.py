"""COCO 2017: train by the paper's schedules, evaluate, detect, and write results for the evaluation server.

The folder holds train2017/, val2017/ and annotations/ as the archives of https://cocodataset.org unpack. In turn:

python samples/coco.py train    --dataset coco --weights imagenet --schedule 1x --out runs/coco
python samples/coco.py evaluate --dataset coco --model runs/coco/best.keras
python samples/coco.py detect   PHOTO... --model runs/coco/best.keras --out found
python samples/coco.py submit   --dataset coco --model runs/coco/best.keras --out results

The same train command with --resume goes on where it was stopped or killed. All GPUs of the machine take part, two
images on each; --replicas 8 trains on eight CPUs where there are none, and evaluates or detects for submit on so many
devices. On several machines start train on each with --workers host1:12345 host2:12345, or let TF_CONFIG or Slurm name
them.
"""

import argparse
import sys
from typing import Any

from _benchmark import Benchmark, verbose

from mrcnn_keras.commands import options


class Coco(Benchmark):
    """COCO's instances, or its persons with keypoints where the preset has keypoints."""

    name = "coco"
    preset = "mask_rcnn_resnet50_fpn"
    schedule = "1x"
    files = "folder with train2017, val2017 and annotations"
    splits = "train2017", "val2017", "test-dev2017"

    def load(self, args: argparse.Namespace, split: str, keypoints: bool = False) -> Any:
        from mrcnn_keras.data import CocoDataset

        kinds = ["person_keypoints" if keypoints else "instances", "image_info"]
        files = [args.dataset / "annotations" / f"{kind}_{split}.json" for kind in kinds]
        found = next((file for file in files if file.is_file()), None)
        if found is None:
            raise options.UsageError(f"--dataset: there is no {files[0]}")
        # The images of test-dev are some of those of test.
        folder = args.dataset / split.replace("test-dev", "test")
        if not folder.is_dir():
            raise options.UsageError(f"--dataset: there is no folder {folder}")
        # Without annotations there is no file of persons alone.
        classes = ["person"] if keypoints and found == files[1] else None
        return CocoDataset(folder, found, classes=classes)

    def evaluate(self, model: Any, dataset: Any, args: argparse.Namespace) -> None:
        from mrcnn_keras.evaluation import evaluate_coco, format_table

        how = {"batch_size": args.batch_size, "detect_options": options.detect_options(args)}
        metrics = evaluate_coco(model, dataset, verbose=verbose(), **how)
        format_table(metrics, title=f"{args.model} on {len(dataset)} images")

    def submit(self, model: Any, dataset: Any, args: argparse.Namespace) -> None:
        from mrcnn_keras.evaluation import write_coco_results

        how = {"batch_size": args.batch_size, "detect_options": options.detect_options(args)}
        for path in write_coco_results(model, dataset, args.out, verbose=verbose(), **how):
            print(f"wrote {path}")


def main(argv=None) -> int:
    return Coco().main(__doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
