"""Datasets and the training pipeline."""

from mrcnn_keras.data.annotations import Annotations, make_annotations
from mrcnn_keras.data.coco import CocoDataset
from mrcnn_keras.data.dataset import Dataset
from mrcnn_keras.data.images import image_file_size, read_image, resize_image, resized_size
from mrcnn_keras.data.mask_folder import MaskFolderDataset
from mrcnn_keras.data.pipeline import training_batches, validation_batches
from mrcnn_keras.data.report import DatasetReport
from mrcnn_keras.data.shapes import ShapesDataset

__all__ = [
    "Annotations",
    "CocoDataset",
    "Dataset",
    "DatasetReport",
    "MaskFolderDataset",
    "ShapesDataset",
    "image_file_size",
    "make_annotations",
    "read_image",
    "resize_image",
    "resized_size",
    "training_batches",
    "validation_batches",
]
