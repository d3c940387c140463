"""Datasets and the training pipeline."""

from mrcnn_keras.data.annotations import Annotations, make_annotations
from mrcnn_keras.data.cityscapes import CityscapesDataset
from mrcnn_keras.data.coco import CocoDataset
from mrcnn_keras.data.dataset import Dataset
from mrcnn_keras.data.images import image_file_size, read_image, resize_image, resized_size
from mrcnn_keras.data.keypoints import COCO_PERSON, KeypointSet
from mrcnn_keras.data.labelme import LabelMeDataset
from mrcnn_keras.data.mask_folder import MaskFolderDataset
from mrcnn_keras.data.matterport import from_matterport
from mrcnn_keras.data.mixed import MixedDataset
from mrcnn_keras.data.photos import PhotosDataset
from mrcnn_keras.data.pipeline import training_batches, validation_batches
from mrcnn_keras.data.proposals import ProposalFile, Proposals, ProposalWriter
from mrcnn_keras.data.report import DatasetReport
from mrcnn_keras.data.shapes import ShapesDataset
from mrcnn_keras.data.stick_figures import StickFiguresDataset
from mrcnn_keras.data.validation import Finding, ValidationReport, validate_coco
from mrcnn_keras.data.via import ViaDataset

__all__ = [
    "Annotations",
    "COCO_PERSON",
    "CityscapesDataset",
    "CocoDataset",
    "Dataset",
    "DatasetReport",
    "Finding",
    "KeypointSet",
    "LabelMeDataset",
    "MaskFolderDataset",
    "MixedDataset",
    "PhotosDataset",
    "ProposalFile",
    "ProposalWriter",
    "Proposals",
    "ShapesDataset",
    "StickFiguresDataset",
    "ValidationReport",
    "ViaDataset",
    "from_matterport",
    "image_file_size",
    "make_annotations",
    "read_image",
    "resize_image",
    "resized_size",
    "training_batches",
    "validate_coco",
    "validation_batches",
]
