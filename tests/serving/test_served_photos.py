"""Real photos served where this package is absent, against `detect`."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras.model import MaskRCNN

BATCH = 4
PHOTOS = 20

# Runs where the package cannot be imported, as in TF Serving: one answer a batch, of files named in a list.
CLIENT = """
import json, sys
sys.modules["mrcnn_keras"] = None
import numpy as np, tensorflow as tf
signature = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
answers = {}
for number, batch in enumerate(json.load(open(sys.argv[2]))):
    given = signature(image_bytes=tf.constant([open(name, "rb").read() for name in batch]))
    answers.update({f"{number}/{key}": value.numpy() for key, value in given.items()})
np.savez(sys.argv[3], **answers)
"""


def as_sent(photo, number):
    """The photo as it is, as a PNG file, or lying on its side with a tag that says so."""
    kind = number % 3
    if kind == 0:
        return photo.read_bytes(), ".jpg"
    buffer = io.BytesIO()
    with Image.open(photo) as image:
        if kind == 1:
            image.save(buffer, "PNG")
            return buffer.getvalue(), ".png"
        exif = Image.Exif()
        exif[0x0112] = (3, 6, 8)[number % 9 // 3]
        image.convert("RGB").save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue(), ".jpg"


@pytest.fixture(scope="module")
def photos(shared_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    files = []
    for number, photo in enumerate(sorted((shared_dir / "data" / "coco_tiny" / "val2017").glob("*.jpg"))[:PHOTOS]):
        content, ending = as_sent(photo, number)
        files.append(folder / f"{number}{ending}")
        files[-1].write_bytes(content)
    assert len(files) == PHOTOS
    return files


def answers_of(model, batches, folder):
    import json

    model.export(folder / "1", warm_up=False)
    (folder / "batches.json").write_text(json.dumps([[str(file) for file in batch] for batch in batches]))
    words = [sys.executable, "-c", CLIENT, folder / "1", folder / "batches.json", folder / "answers.npz"]
    subprocess.run([str(word) for word in words], check=True, cwd=folder)
    with np.load(folder / "answers.npz") as answers:
        return dict(answers)


def agreement(found, answer, row):
    """Detections of `detect`, and how many of them the server has with IoU >= 0.99 and a score within 1e-3."""
    count = int(answer["num_detections"][row])
    height, width = found.size
    boxes = answer["detection_boxes"][row, :count][:, [1, 0, 3, 2]] * [width, height, width, height]
    scores, classes = answer["detection_scores"][row, :count], answer["detection_classes"][row, :count] - 1
    low = np.maximum(found.boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(found.boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    area = np.prod(found.boxes[:, 2:] - found.boxes[:, :2], 1)[:, None] + np.prod(boxes[:, 2:] - boxes[:, :2], 1)
    same = shared / (area - shared) >= 0.99
    same &= np.abs(found.scores[:, None] - scores) <= 1e-3
    same &= found.class_ids[:, None] == classes
    return len(found), count, int(same.any(1).sum())


@pytest.mark.shared
@pytest.mark.slow
def test_photos_are_answered_as_the_model_answers(shared_dir, photos, tmp_path):
    sides = {"image_min_side": 320, "image_max_side": 533}
    model = MaskRCNN.from_pretrained(
        shared_dir / "parity" / "tv_mask_r50_fpn" / "weights.pth", **sides, score_threshold=0.2
    )
    alone = PHOTOS // 2
    batches = [[file] for file in photos[:alone]] + [photos[i : i + BATCH] for i in range(alone, PHOTOS, BATCH)]
    answers = answers_of(model, batches, tmp_path)
    total = served = agreeing = 0
    for number, batch in enumerate(batches):
        answer = {key.split("/")[1]: value for key, value in answers.items() if key.startswith(f"{number}/")}
        for row, found in enumerate(model.detect(batch, batch_size=BATCH, masks=None)):
            counts = agreement(found, answer, row)
            total, served, agreeing = total + counts[0], served + counts[1], agreeing + counts[2]
    assert total > 2 * PHOTOS and agreeing >= 0.99 * max(total, served)
