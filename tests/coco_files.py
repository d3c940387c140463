"""Annotation files like COCO's, written for a test."""

import json

from PIL import Image

from mrcnn_keras.data import COCO_PERSON, ShapesDataset


def write_people(folder, annotation_file, count=2):
    """Photos `0.jpg`, `1.jpg`, ... of one square person each, and their person-keypoint annotations.

    Args:
        folder, annotation_file: paths; made with the folders above them.
        count: photos.
    """
    folder.mkdir(parents=True)
    annotation_file.parent.mkdir(parents=True, exist_ok=True)
    skeleton = [[first + 1, second + 1] for first, second in COCO_PERSON.skeleton]
    category = {"id": 1, "name": "person", "keypoints": list(COCO_PERSON.names), "skeleton": skeleton}
    images, annotations = [], []
    for i in range(count):
        photo = Image.new("RGB", (64, 64), (90, 120, 30))
        photo.paste((200, 80, 40 * i), (10, 10, 50, 50))
        photo.save(folder / f"{i}.jpg")
        images.append({"id": i, "file_name": f"{i}.jpg", "height": 64, "width": 64})
        annotation = {"id": i + 1, "image_id": i, "category_id": 1, "bbox": [10, 10, 40, 40], "area": 1600}
        annotation |= {"iscrowd": 0, "segmentation": [[10, 10, 50, 10, 50, 50, 10, 50]]}
        annotation |= {"num_keypoints": 17, "keypoints": [20, 30, 2] * 17}
        annotations.append(annotation)
    found = {"images": images, "annotations": annotations, "categories": [category]}
    annotation_file.write_text(json.dumps(found))


def write_shapes(folder, count=6):
    """Drawn images of 64x64 pixels in `images` with `instances.json`; returns the folder."""
    shapes = ShapesDataset(count, seed=5, size=(64, 64), max_objects=2)
    images, annotations = [], []
    (folder / "images").mkdir()
    for i in range(count):
        Image.fromarray(shapes.load_image(i)).save(folder / "images" / f"{i}.png")
        images.append({"id": i + 1, "file_name": f"{i}.png", "height": 64, "width": 64})
        found = shapes.load_annotations(i)
        for (x1, y1, x2, y2), class_id, rle in zip(found.boxes.tolist(), found.class_ids, found.masks, strict=True):
            annotations.append({
                "id": len(annotations) + 1, "image_id": i + 1, "category_id": int(class_id) + 1, "iscrowd": 0,
                "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1),
                "segmentation": {"size": [64, 64], "counts": rle["counts"].decode()},
            })  # fmt: skip
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(shapes.class_names)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(content))
    return folder
