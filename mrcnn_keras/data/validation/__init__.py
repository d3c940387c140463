"""Checks of a COCO dataset before training, and what is in it."""

from mrcnn_keras.data.validation.findings import KINDS, Finding
from mrcnn_keras.data.validation.report import ValidationReport
from mrcnn_keras.data.validation.validate import validate_coco

__all__ = ["KINDS", "Finding", "ValidationReport", "validate_coco"]
