"""A model of a few lines for the command: what it finds follows from the pixels, so that tests can tell images apart.

As a program it is `mrcnn-keras` with that model: `python stub_model.py detect ...`. It kills itself after so many calls
of the model (STUB_KILL_AFTER), or halfway through writing so many lines of the journal (STUB_TEAR_AFTER).
"""

import os
import signal
import sys

import numpy as np

from mrcnn_keras.config import MaskRCNNConfig
from mrcnn_keras.data import read_image
from mrcnn_keras.inference import Detections

CONFIG = MaskRCNNConfig(num_classes=2, class_names=("dark", "bright"))


class StubModel:
    """Finds in every image one rectangle, whose place, class and score follow from the pixels."""

    config = CONFIG

    def __init__(self):
        self.calls = []

    def detect(self, images, batch_size=1, masks=None, **options):
        self.calls.append(len(images))
        self.options = options
        return [self._one(read_image(image)) for image in images]

    def _one(self, pixels):
        height, width = pixels.shape[:2]
        mean = float(pixels.mean()) / 255
        masks = np.zeros((1, height, width), bool)
        masks[0, : height // 2, : max(1, int(width * mean))] = True
        found = Detections(
            [[0, 0, max(1, int(width * mean)), height // 2]],
            [0.5 + mean / 2],
            [int(mean > 0.5)],
            CONFIG.names,
            masks=masks,
            size=(height, width),
        )
        return Detections(
            found.boxes, found.scores, found.class_ids, CONFIG.names, rles=found.to_rles(), size=found.size
        )


def _killed():
    os.kill(os.getpid(), signal.SIGKILL)


def _deadly(model):
    from mrcnn_keras.commands.detection.journal import Journal

    calls, lines = os.environ.get("STUB_KILL_AFTER"), os.environ.get("STUB_TEAR_AFTER")
    detect, add = model.detect, Journal.add

    def detect_or_die(*args, **kwargs):
        if calls is not None and len(model.calls) == int(calls):
            _killed()
        return detect(*args, **kwargs)

    added = []

    def add_or_die(self, line):
        added.append(line)
        if lines is not None and len(added) > int(lines):
            with open(self.path, "ab") as file:
                file.write(b'{"images": [{"name": "')
            _killed()
        add(self, line)

    model.detect, Journal.add = detect_or_die, add_or_die
    return model


if __name__ == "__main__":
    from mrcnn_keras import cli
    from mrcnn_keras.commands import detect

    stub = _deadly(StubModel())
    detect.load_model = lambda *args: stub
    sys.exit(cli.main(sys.argv[1:]))
