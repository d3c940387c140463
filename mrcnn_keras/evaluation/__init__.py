"""How good a model is: average precision by COCO's or Cityscapes' program; COCO's also during training."""

from mrcnn_keras.evaluation.cityscapes import evaluate_cityscapes
from mrcnn_keras.evaluation.cityscapes_results import write_cityscapes_results
from mrcnn_keras.evaluation.coco import evaluate_coco, evaluate_results
from mrcnn_keras.evaluation.coco_results import write_coco_results
from mrcnn_keras.evaluation.ground_truth import coco_ground_truth
from mrcnn_keras.evaluation.table import format_class_table, format_table

__all__ = [
    "CityscapesEvaluation",
    "CocoEvaluation",
    "coco_ground_truth",
    "evaluate_cityscapes",
    "evaluate_coco",
    "evaluate_results",
    "format_class_table",
    "format_table",
    "write_cityscapes_results",
    "write_coco_results",
]


def __getattr__(name: str):
    if name in ("CityscapesEvaluation", "CocoEvaluation"):  # Keras takes seconds to import
        from mrcnn_keras.evaluation import callback

        return getattr(callback, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
