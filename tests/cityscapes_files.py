"""A little Cityscapes in the folders and formats of the official archives, written for a test."""

import json

import numpy as np
from PIL import Image

SIZE = (97, 161)
LABEL_IDS = {"road": 7, "person": 24, "rider": 25, "car": 26, "truck": 27, "bus": 28, "caravan": 29, "train": 31,
             "motorcycle": 32, "bicycle": 33, "ego vehicle": 1, "sky": 23}  # fmt: skip
WITH_INSTANCES = ("person", "rider", "car", "truck", "bus", "caravan", "train", "motorcycle", "bicycle")

# (label, x1, y1, x2, y2) of each object, drawn in this order, the later over the earlier. The background is void.
VAL = {
    "frankfurt_000000_000294": [
        ("road", 0, 50, 161, 97),
        ("car", 5, 40, 45, 80),
        ("car", 30, 30, 70, 70),  # hides part of the first
        ("person", 100, 10, 130, 90),
        ("person", 150, 20, 156, 30),  # 60 pixels: too small to count
        ("bicycle", 80, 60, 99, 90),
    ],
    "frankfurt_000001_002512": [
        ("cargroup", 0, 0, 60, 40),
        ("car", 70, 10, 110, 50),
        ("caravan", 115, 10, 155, 50),
        ("rider", 10, 50, 40, 90),
        ("motorcycle", 45, 55, 90, 95),
        ("ego vehicle", 0, 92, 161, 97),
    ],
    "lindau_000003_000019": [("road", 0, 40, 161, 97), ("sky", 0, 0, 161, 20)],
    "munster_000173_000019": [
        ("truck", 0, 0, 70, 60),
        ("bus", 80, 0, 160, 60),
        ("person", 20, 65, 45, 96),
        ("persongroup", 60, 65, 120, 95),
    ],
}
TRAIN = {"aachen_000000_000019": VAL["frankfurt_000000_000294"], "bochum_000000_000313": []}
TEST = {"berlin_000000_000019": []}


def write_cityscapes(root):
    """The splits train, val and test under `root`; a photo's pixels all have its number within the split as value."""
    for split, photos in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        for number, (name, objects) in enumerate(photos.items()):
            write_photo(root, split, name, objects, number)
    return root


def write_photo(root, split, name, objects, number):
    """A photo with its instance ids and polygons; only the photo in the split "test"."""
    image, instance_ids, polygons = paths(root, split, name)
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*SIZE, 3), number, np.uint8)).save(image)
    if split == "test":
        return
    instance_ids.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(instance_image(objects).astype(np.uint16)).save(instance_ids)
    shapes = [{"label": label, "polygon": corners(*box)} for label, *box in objects]
    polygons.write_text(json.dumps({"imgHeight": SIZE[0], "imgWidth": SIZE[1], "objects": shapes}))


def paths(root, split, name):
    """Photo, instance ids and polygons of an image."""
    city = name.split("_")[0]
    truth = root / "gtFine" / split / city
    image = root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png"
    return image, truth / f"{name}_gtFine_instanceIds.png", truth / f"{name}_gtFine_polygons.json"


def instance_image(objects):
    """int32 (H, W) with label id * 1000 + number within the label, or the label id of groups and stuff."""
    labels, seen = np.zeros(SIZE, np.int32), dict.fromkeys(WITH_INSTANCES, 0)
    for label, x1, y1, x2, y2 in objects:
        value = LABEL_IDS[label.removesuffix("group")]
        if label in seen:
            value = 1000 * value + seen[label]
            seen[label] += 1
        labels[y1:y2, x1:x2] = value
    return labels


def corners(x1, y1, x2, y2):
    """The polygon that Pillow fills as pixels x1..x2 - 1, y1..y2 - 1: it draws the outline too."""
    return [[x1, y1], [x2 - 1, y1], [x2 - 1, y2 - 1], [x1, y2 - 1]]
