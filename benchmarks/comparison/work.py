"""The work that every contestant does: the same photo, objects, boxes and masks. NumPy only.

Random weights would leave work undone. So every contestant halves the factors of its norms, or the sums would grow from
block to block and scores become 0. With random weights most proposals are anchors of the finest level; training's are
four times as large as the paper's, as large as the objects, and a RoI counts as positive from a low IoU on, so that a
step has as many positives as it may have.
"""

import numpy as np

PHOTO = (800, 1333)
PADDED = (800, 1344)
CLASSES = 80
PROPOSALS = 1000
DETECTIONS = 100

IMAGES = 2
OBJECTS = 10
ROIS = 512
POSITIVE_FRACTION = 0.25
POSITIVES = IMAGES * int(ROIS * POSITIVE_FRACTION)
POSITIVE_IOU = 0.1
TRAINING_ANCHORS = (128, 256, 512, 1024, 2048)
PRE_NMS = {"train": 2000, "test": 1000}
LEARNING_RATE = 1e-4
MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4

CHANNELS = 256
STRIDE = 4
POOLED = (7, 14)
SAMPLINGS = {2: "2x2 samples", 0: "adaptive"}
MASK_SIDE = 28

EXPECTED = {
    "inference": {"proposals": PROPOSALS, "detections": DETECTIONS, "masks": DETECTIONS},
    "training": {"RoIs": IMAGES * ROIS, "positives": POSITIVES},
}


def photo() -> np.ndarray:
    """One RGB photo of noise, (800, 1333, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (*PHOTO, 3), np.uint8)


def objects() -> tuple[np.ndarray, np.ndarray]:
    """Boxes (2, 10, 4) float32 xyxy inside the photos, and class ids (2, 10) int32, of the training step."""
    rng = np.random.default_rng(1)
    side = np.exp(rng.uniform(np.log(100), np.log(250), (IMAGES, OBJECTS, 2)))
    corner = rng.uniform(0, 1, (IMAGES, OBJECTS, 2)) * (np.array(PHOTO[::-1]) - side)
    boxes = np.concatenate([corner, corner + side], axis=2).astype(np.float32)
    return boxes, rng.integers(0, CLASSES, (IMAGES, OBJECTS), np.int32)


def full_masks(boxes: np.ndarray) -> np.ndarray:
    """The boxes (N, 4) filled, (N, 800, 1333) bool."""
    y, x = np.ogrid[: PHOTO[0], : PHOTO[1]]
    left, top, right, bottom = (boxes[:, i, None, None] for i in range(4))
    return (x >= left) & (x < right) & (y >= top) & (y < bottom)


def make_boxes(count: int, seed: int = 0, image: tuple[int, int] = PADDED) -> np.ndarray:
    """Boxes (count, 4) inside the image: sides around 16 to 512 pixels, as many small as large on a log scale."""
    rng = np.random.default_rng(seed)
    side = np.exp(rng.uniform(np.log(16), np.log(512), (count, 1)))
    size = np.minimum(side * np.exp(rng.normal(0, 0.3, (count, 2))), (image[1] - 2, image[0] - 2))
    corner = 1 + rng.uniform(0, 1, (count, 2)) * ((image[1] - 2, image[0] - 2) - size)
    return np.concatenate([corner, corner + size], axis=1).astype(np.float32)


def feature_map() -> np.ndarray:
    """One map (1, 200, 336, 256) float32."""
    shape = (1, PADDED[0] // STRIDE, PADDED[1] // STRIDE, CHANNELS)
    return np.random.default_rng(2).standard_normal(shape, np.float32)


def upstream(size: int) -> np.ndarray:
    """Gradient of the pooled values, (1000, size, size, 256) float32."""
    return np.random.default_rng(3).standard_normal((PROPOSALS, size, size, CHANNELS), np.float32)


def align_case(size: int, sampling: int, direction: str) -> str:
    """Name of a case of RoIAlign; `direction` is "forward" or "backward"."""
    return f"{size}x{size}, {SAMPLINGS[sampling]}, {direction}"


def mask_probs() -> np.ndarray:
    """Masks (100, 28, 28) float32 in 0..1."""
    return np.random.default_rng(4).random((DETECTIONS, MASK_SIDE, MASK_SIDE), np.float32)


def paste_boxes() -> np.ndarray:
    """Boxes (100, 4) of the masks, in the photo."""
    return make_boxes(DETECTIONS, 5, PHOTO)
