"""Data distillation (appendix B): labels for photos that have none, from a model's own detections."""

from mrcnn_keras.distillation.distill import DistilledLabels, distill
from mrcnn_keras.distillation.thresholds import ObjectCounts, choose_thresholds, count_objects

__all__ = ["DistilledLabels", "ObjectCounts", "choose_thresholds", "count_objects", "distill"]
