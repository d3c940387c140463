"""Cityscapes: train as in the paper's appendix A, evaluate, detect, and write results for the evaluation server.

The folder holds leftImg8bit/ and gtFine/ as the archives of https://www.cityscapes-dataset.com unpack. In turn:

python samples/cityscapes.py train    --dataset cityscapes --weights imagenet --out runs/cityscapes
python samples/cityscapes.py evaluate --dataset cityscapes --model runs/cityscapes/best.keras
python samples/cityscapes.py detect   PHOTO... --model runs/cityscapes/best.keras --out found
python samples/cityscapes.py submit   --dataset cityscapes --model runs/cityscapes/best.keras --out results

--weights coco --schedule cityscapes_from_coco starts from a model trained on COCO. The same train command with --resume
goes on where it was stopped or killed. All GPUs take part, one image on each. The average precision needs
cityscapesscripts: pip install cityscapesscripts.
"""

import argparse
import sys
from typing import Any

from _benchmark import Benchmark, verbose

from mrcnn_keras.commands import options


class Cityscapes(Benchmark):
    """Cityscapes' eight classes with instances."""

    name = "cityscapes"
    preset = "mask_rcnn_resnet50_fpn"
    schedule = "cityscapes"
    files = "folder with leftImg8bit and gtFine"
    splits = "train", "val", "test"

    def load(self, args: argparse.Namespace, split: str, keypoints: bool = False) -> Any:
        from mrcnn_keras.data import CityscapesDataset

        if keypoints:
            raise options.UsageError("--preset: Cityscapes has no keypoints")
        try:
            return CityscapesDataset(args.dataset, split)
        except ValueError as error:
            raise options.UsageError(f"--dataset: {error}") from error

    def evaluation(self, dataset: Any) -> Any:
        from mrcnn_keras.evaluation import CityscapesEvaluation

        return CityscapesEvaluation(dataset, verbose=verbose())

    def evaluate(self, model: Any, dataset: Any, args: argparse.Namespace) -> None:
        from mrcnn_keras.evaluation import evaluate_cityscapes, format_table

        how = {"batch_size": args.batch_size, "detect_options": options.detect_options(args)}
        metrics = evaluate_cityscapes(model, dataset, verbose=verbose(), **how)
        averages = {name: metrics[name] for name in ("AP", "AP50")}
        format_table({"all": averages, **metrics["classes"]}, title=f"{args.model} on {len(dataset)} images")

    def submit(self, model: Any, dataset: Any, args: argparse.Namespace) -> None:
        from mrcnn_keras.evaluation import write_cityscapes_results

        how = {"batch_size": args.batch_size, "detect_options": options.detect_options(args)}
        write_cityscapes_results(model, dataset, args.out, verbose=verbose(), **how)
        print(f"wrote {args.out}")


def main(argv=None) -> int:
    return Cityscapes().main(__doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
