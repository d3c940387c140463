"""From images to the network's input, and from its output to `Detections`."""

from mrcnn_keras.inference.augmentation import TestTimeAugmentation
from mrcnn_keras.inference.detections import Detections
from mrcnn_keras.inference.paste import paste_mask_rles, paste_masks
from mrcnn_keras.inference.postprocess import to_detections
from mrcnn_keras.inference.preprocess import prepare_images
from mrcnn_keras.inference.tiling import Tiles

__all__ = [
    "Detections",
    "TestTimeAugmentation",
    "Tiles",
    "paste_mask_rles",
    "paste_masks",
    "prepare_images",
    "to_detections",
]
