"""A small COCO dataset without a fault, written for a test: every kind of segmentation, image file and category."""

import json

import numpy as np
from PIL import Image

from mrcnn_keras.data import rle

COUNT = 24
PERSON, TREE, CAT, CROWD = 1, 2, 3, 4  # the last digit of an annotation's id, and for all but crowds its category
TURNED = 20  # the photo with an EXIF turn


def write_dataset(folder):
    """Images `00.jpg`, `01.png`, ... in `folder / "images"`; returns what the annotation file is to hold.

    Image ids are 100 + number, annotation ids ten times that and one of PERSON, TREE, CAT, CROWD.
    """
    (folder / "images").mkdir()
    images, annotations = [], []
    for number in range(COUNT):
        height, width = 61 + 2 * number, 85 + 3 * number
        name = f"{number:02}.{'png' if number % 2 else 'jpg'}"
        write_image(folder / "images" / name, (height, width), turn=6 if number == TURNED else 1)
        images.append({"id": 100 + number, "file_name": name, "height": height, "width": width})
        annotations += _annotations(100 + number, height, width)
    categories = [
        {
            "id": PERSON,
            "name": "person",
            "keypoints": ["head", "left_hand", "right_hand"],
            "skeleton": [[1, 2], [1, 3]],
        },
        {"id": TREE, "name": "tree"},
        {"id": CAT, "name": "cat [wild]"},
    ]
    return {"info": {"year": 2024}, "images": images, "annotations": annotations, "categories": categories}


def write_image(path, size, turn=1):
    """A noisy photo that viewers show at `size`, stored as EXIF orientation `turn`, 1, 3 or 6, asks for."""
    pixels = np.random.default_rng(sum(size)).integers(0, 255, (*size, 3), np.uint8)
    image = Image.fromarray(np.rot90(pixels).copy() if turn == 6 else pixels)
    exif = Image.Exif()
    exif[0x0112] = turn
    image.save(path, exif=exif)


def write_annotations(folder, content):
    """Paths of the images and of the annotation file, which is written."""
    path = folder / "annotations.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return folder / "images", path


def _annotations(image_id, height, width):
    # The person's hand crosses the line of its arm, as annotators' lines do.
    body = [8, 6, 22, 6, 24.5, 40.25, 15, 41, 14.6, 40.9, 14.9, 41.3, 6, 40]
    person = _annotation(image_id, PERSON, [body], [6, 6, 18.5, 35.3], 578.0)
    person |= {"keypoints": [15, 8, 2, 8, 30, 1, 0, 0, 0], "num_keypoints": 2}
    crown, trunk = [30, 5, 50, 5, 50, 20, 40, 12, 30, 20], [38.5, 22, 42.5, 22, 42.5, 50, 38.5, 50]
    tree = _annotation(image_id, TREE, [crown, trunk], [30, 5, 20, 45], 332.0)
    mask = np.zeros((height, width), bool)
    mask[10:31, 58:77] = np.hypot(*np.mgrid[-1:1:21j, -1:1:19j]) <= 1
    cat = _annotation(image_id, CAT, _rle(mask, image_id % 2), [58, 10, 19, 21], int(mask.sum()))
    if image_id % 6:
        return [person, tree, cat]
    mask = np.zeros((height, width), bool)
    mask[52:60, 3:70:2] = True
    crowd = _annotation(image_id, CROWD, _rle(mask, 0), [3, 52, 67, 8], 500)
    return [person, tree, cat, crowd | {"category_id": PERSON, "iscrowd": 1, "keypoints": [0] * 9}]


def _annotation(image_id, slot, segmentation, bbox, area):
    fields = {"id": 10 * image_id + slot, "image_id": image_id, "category_id": slot, "iscrowd": 0}
    return fields | {"segmentation": segmentation, "bbox": bbox, "area": area}


def _rle(mask, compressed):
    encoded = rle.encode(mask)
    counts = encoded["counts"].decode() if compressed else rle.run_lengths(encoded).tolist()
    return {"size": list(mask.shape), "counts": counts}
