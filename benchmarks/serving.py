"""What serving a model costs: the served network beside `detect`'s, the start, and the answer to a photo.

python benchmarks/serving.py [--preset mask_rcnn_resnet50_fpn] [--size 800 1333] [--threads 2] [--rounds 7]

Random weights, one photo of noise, threshold 0 so that all detections are made. The first contestant is the network of
`detect` on a photo that is resized already; the served signature decodes a JPEG and resizes it in the graph. The
contestants take turns; medians. The kinds of operations in the export are printed.
The start is measured in processes of their own: TensorFlow's import, loading, and the first answer after loading, with
and without the warm-up requests replayed as TensorFlow Serving does before it says that it is ready.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image

_START = """
import pathlib, sys, time
start = time.perf_counter()
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[4]))
imported = time.perf_counter()
signature = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
loaded = time.perf_counter()
photo = tf.constant([pathlib.Path(sys.argv[2]).read_bytes()])
if sys.argv[3] == "warm":
    from tensorflow_serving.apis import prediction_log_pb2
    for record in tf.data.TFRecordDataset(sys.argv[1] + "/assets.extra/tf_serving_warmup_requests"):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        signature(image_bytes=tf.make_ndarray(request.inputs["image_bytes"]))
ready = time.perf_counter()
signature(image_bytes=photo)
answered = time.perf_counter()
print(imported - start, loaded - imported, ready - loaded, answered - ready)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="mask_rcnn_resnet50_fpn")
    parser.add_argument("--size", type=int, nargs=2, default=(800, 1333), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        photo = np.random.default_rng(0).integers(0, 255, (*args.size, 3), np.uint8)
        Image.fromarray(photo).save(folder / "photo.jpg", quality=95)
        compare(args, folder, photo)
        for kind in ("cold", "warm"):
            words = [str(folder / "1"), str(folder / "photo.jpg"), kind, str(args.threads)]
            done = subprocess.run([sys.executable, "-c", _START, *words], capture_output=True, text=True, check=True)
            imported, loaded, warmed, answered = (float(word) for word in done.stdout.split())
            print(f"{kind} start: import {imported:.1f} s, load {loaded:.1f} s, warm-up {warmed:.1f} s, "
                  f"first answer after that {answered:.2f} s")  # fmt: skip


def compare(args: argparse.Namespace, folder: pathlib.Path, photo: np.ndarray) -> None:
    """Medians of the served model and of `detect`."""
    import tensorflow as tf
    from mask_overhead import tame

    from mrcnn_keras import MaskRCNN
    from mrcnn_keras.inference import prepare_images
    from mrcnn_keras.presets import preset_config
    from mrcnn_keras.serving.export import op_names

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    model = MaskRCNN(preset_config(args.preset, score_threshold=0.0))
    tame(model)
    start = time.perf_counter()
    model.export(folder / "1")
    size = sum(file.stat().st_size for file in (folder / "1").rglob("*") if file.is_file())
    print(f"export: {time.perf_counter() - start:.1f} s, {size / 2**20:.0f} MiB")
    kinds = sorted(set(op_names(folder / "1")))
    print(f"{len(kinds)} kinds of operations: {' '.join(kinds)}")
    signatures = tf.saved_model.load(str(folder / "1")).signatures
    encoded = tf.constant([(folder / "photo.jpg").read_bytes()])
    model.detect(photo, masks=None)  # makes the function that is timed below
    c = model.config
    prepared, _ = prepare_images([photo], c.image_min_side, c.image_max_side, c.size_divisor, c.resize)
    contestants = {
        "the network of detect": lambda: model._detect_function([(prepared["images"], prepared["image_sizes"])]),
        "detect, no masks pasted": lambda: model.detect(photo, masks=None),
        "detect": lambda: model.detect(photo),
        "served, of a file": lambda: signatures["serving_default"](image_bytes=encoded),
        "served, of pixels": lambda: signatures["serving_tensor"](image=tf.constant(photo[None])),
    }
    times = {name: [] for name in contestants}
    for run in contestants.values():
        run()
    for _ in range(args.rounds):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    base = statistics.median(times["the network of detect"])
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:24} {median:6.2f} s, {median / base:.2f} of the first")


if __name__ == "__main__":
    main()
