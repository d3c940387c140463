"""Annotation files like COCO's, written for a test."""

import json

from PIL import Image

from mrcnn_keras.data import COCO_PERSON


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
