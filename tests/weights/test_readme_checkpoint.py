"""The README's "Start from a checkpoint", word for word, with a small checkpoint on a server of the test's own."""

import dataclasses
import functools
import http.server
import json
import pathlib
import re
import threading

import numpy as np
import pytest
from PIL import Image

from . import system_layouts as layouts

README = (pathlib.Path(__file__).resolve().parents[2] / "README.md").read_text()
ID = "detectron2/COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x"


@pytest.fixture
def published(tmp_path, monkeypatch):
    """The id's file, but narrow and shallow, at its own path on a loopback server; the requests that came."""
    from mrcnn_keras.weights.zoo import lookup as zoo

    entry = zoo.find(ID)
    path = tmp_path / "site" / entry.url.split("/", 3)[3]
    path.parent.mkdir(parents=True)
    layouts.write(path, layouts.random_tensors(layouts.detectron2(blocks=(1, 1, 1, 1)), 8, 0.02))
    narrow = dataclasses.replace(entry, digest=None, size=None)
    monkeypatch.setattr(zoo, "_MODELS", tuple(narrow if m.id == ID else m for m in zoo.all_models()))
    handler = functools.partial(Handler, directory=str(tmp_path / "site"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Handler.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MRCNN_KERAS_MIRROR", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("MRCNN_KERAS_HOME", str(tmp_path / "cache"))
    yield Handler.asked
    server.shutdown()
    server.server_close()


class Handler(http.server.SimpleHTTPRequestHandler):
    asked: list = []

    def log_message(self, format, *args):
        self.asked.append(args[0])


def photos(folder):
    """Ten COCO-annotated photos with a dog and a ball each."""
    (folder / "photos").mkdir()
    images, annotations = [], []
    for i in range(10):
        pixels = np.random.default_rng(i).integers(0, 255, (60, 80, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"photos/{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "height": 60, "width": 80})
        for category, x in ((1, 5), (2, 45)):
            square = [x, 10, x + 30, 10, x + 30, 50, x, 50]
            annotations.append({"id": len(annotations) + 1, "image_id": i, "category_id": category, "iscrowd": 0,
                                "segmentation": [square], "bbox": [x, 10, 30, 40], "area": 1200})  # fmt: skip
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "ball"}]
    data = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(data))
    Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(folder / "street.jpg")


@pytest.mark.slow
def test_the_readmes_checkpoint_examples_run_as_written(published, tmp_path, monkeypatch, capsys):
    section = README.split("## Start from a checkpoint")[1].split("\n## ")[0]
    use, tune = re.findall(r"^```python\n(.*?)^```", section, flags=re.M | re.S)
    photos(tmp_path)
    monkeypatch.chdir(tmp_path)
    small = "    image_min_side=64,\n    image_max_side=96,\n    rpn_post_nms_topk_train=50,\n    batch_size=2,"
    exec(use, {})
    assert "detection" in capsys.readouterr().out
    names = {}
    exec(tune.replace("    batch_size=2,", small), names)
    report = names["model"].load_report
    assert report.classes == (("dog", "dog"),) and report.fresh_classes == ("ball",) and not report.fresh
    assert (tmp_path / "tuned.keras").is_file()
    assert len([line for line in published if line.startswith("GET")]) == 1  # the second time it was cached
    history = names["model"].history.history["loss"]
    assert np.isfinite(history).all() and len(history) == 2
