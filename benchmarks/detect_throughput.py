"""`detect` on files of many sizes, end to end, against the sum of the network's own times on the same photos.

python benchmarks/detect_throughput.py [--images DIR] [--photos N] [--batch-size N] [--masks bitmap|rle|none]
    [--preset NAME] [--set FIELD=VALUE] [--threads N] [--rounds N] [--in-turn]

Photos of 0.1 to 12 million pixels, upright and across, some of them turned by their EXIF tag, are written as JPEG into
a temporary folder if no folder is given. Random weights, threshold 0. "network" calls the compiled function on batches
that are ready; "in turn" also reads, resizes and pastes, one after the other, as a loop around the network would. The
contestants take turns; medians of wall and processor time. The goal is 1.15 for detect / network, and one trace.
`--preset mask_rcnn_narrow_fpn --set image_min_side=320 --set image_max_side=533` for a quick trial.
"""

import argparse
import pathlib
import statistics
import tempfile
import time

import numpy as np
import tensorflow as tf
from mask_overhead import tame
from PIL import Image

from mrcnn_keras import MaskRCNN
from mrcnn_keras.commands import options
from mrcnn_keras.inference import prepare_images, to_detections

SIZES = [(640, 480), (500, 375), (612, 612), (1280, 720), (1920, 1080), (4000, 3000), (333, 400), (1024, 768)]
ORIENTATIONS = (1, 1, 1, 6, 8)


def write_photos(folder: pathlib.Path, count: int) -> list[pathlib.Path]:
    """Files of smooth noise, which JPEG compresses about as well as photos."""
    rng, paths = np.random.default_rng(0), []
    for number in range(count):
        width, height = SIZES[number % len(SIZES)][:: 1 if number // len(SIZES) % 2 else -1]
        coarse = rng.integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
        photo = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.int16)
        photo = np.clip(photo + rng.integers(-12, 13, photo.shape, np.int16), 0, 255).astype(np.uint8)
        exif = Image.Exif()
        exif[0x0112] = ORIENTATIONS[number % len(ORIENTATIONS)]
        paths.append(folder / f"{number:03}.jpg")
        Image.fromarray(photo).save(paths[-1], quality=90, exif=exif)
    return paths


def timed(run) -> tuple[float, float]:
    """Wall and processor time of a call in s."""
    start = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start[0], time.process_time() - start[1]


class Contest:
    """A model, its photos, and what to do with them."""

    def __init__(self, args: argparse.Namespace, paths: list[pathlib.Path]):
        settings = {"score_threshold": 0.0, **options.settings(args)}
        self.model = MaskRCNN.from_preset(args.preset, **settings)
        tame(self.model)
        self.paths, self.batch_size = paths, args.batch_size
        self.masks = None if args.masks == "none" else args.masks
        self.model.detect(paths[0], masks=self.masks)  # traces and compiles

    @property
    def traces(self) -> int:
        return self.model._detect_function._alone.experimental_get_tracing_count()

    def chunks(self) -> list[list[pathlib.Path]]:
        return [self.paths[i : i + self.batch_size] for i in range(0, len(self.paths), self.batch_size)]

    def prepared(self, chunk: list[pathlib.Path]):
        c = self.model.config
        return prepare_images(chunk, c.image_min_side, c.image_max_side, c.size_divisor, c.resize, c.square_padding)

    def run(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        (output,) = self.model._detect_function([(batch["images"], batch["image_sizes"])])
        return {name: value.numpy() for name, value in output.items()}

    def network(self) -> tuple[float, float]:
        """Times of the network alone, one batch prepared after the other while the clocks stand still."""
        times = []
        for chunk in self.chunks():
            batch, _ = self.prepared(chunk)
            times.append(timed(lambda batch=batch: self.run(batch)))
        return tuple(map(sum, zip(*times)))

    def in_turn(self) -> tuple[float, float]:
        def one(chunk):
            batch, sizes = self.prepared(chunk)
            names = self.model.config.names
            return to_detections(self.run(batch), batch["image_sizes"], sizes, names, masks=self.masks)

        return timed(lambda: [one(chunk) for chunk in self.chunks()])

    def detect(self) -> tuple[float, float]:
        return timed(lambda: self.model.detect(self.paths, batch_size=self.batch_size, masks=self.masks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=options.folder)
    parser.add_argument("--photos", type=options.positive, default=40)
    parser.add_argument("--batch-size", type=options.positive, default=1)
    parser.add_argument("--masks", choices=("bitmap", "rle", "none"), default="rle")
    parser.add_argument("--preset", type=options.preset, default="mask_rcnn_resnet50_fpn")
    parser.add_argument("--threads", type=options.positive, default=2)
    parser.add_argument("--rounds", type=options.positive, default=3)
    parser.add_argument("--in-turn", action="store_true")
    options.add_settings(parser)
    args = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        paths = sorted(args.images.glob("*.jp*g")) if args.images else write_photos(pathlib.Path(folder), args.photos)
        contest = Contest(args, paths[: args.photos])
        warm = contest.traces
        contestants = {"network": contest.network, "detect": contest.detect}
        contestants |= {"in turn": contest.in_turn} if args.in_turn else {}
        times = {name: [] for name in contestants}
        for _ in range(args.rounds):
            for name, run in contestants.items():
                times[name].append(run())
        print(f"traces: {warm} after the first photo, {contest.traces} after all {len(contest.paths)}")
    medians = {name: [statistics.median(part) for part in zip(*rounds)] for name, rounds in times.items()}
    for name, (wall, cpu) in medians.items():
        ratio = statistics.median(one[0] / least[0] for one, least in zip(times[name], times["network"]))
        print(f"{name:8} wall {wall:7.2f} s ({ratio:.3f} of the network's), processor {cpu:7.2f} s")


if __name__ == "__main__":
    main()
