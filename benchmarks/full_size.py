"""ResNet-50-FPN with 80 classes at 800x1333: parameters, time of a detection, time and peak memory of a training step.

python benchmarks/full_size.py [--threads N]

Each part runs in its own process; the peak is that of the whole process, as the operating system counts it.
"""

import argparse
import resource
import subprocess
import sys
import time

PHOTO = (800, 1333)
OBJECTS = 10


def detection() -> None:
    """Time of the forward pass of one photo, second call."""
    import numpy as np

    from mrcnn_keras import MaskRCNN, MaskRCNNConfig

    model = MaskRCNN(MaskRCNNConfig(score_threshold=0.0))
    outside_norms = [v for v in model.weights if v.path.rsplit("/", 1)[1] in ("kernel", "bias")]
    print(f"parameters outside batch norms: {sum(int(np.prod(v.shape)) for v in outside_norms):,}")
    photo = np.random.default_rng(0).integers(0, 255, (*PHOTO, 3), np.uint8)
    for name in ("first", "second"):
        start = time.perf_counter()
        found = model.detect(photo, masks=None)[0]
        print(f"{name} detection of a {PHOTO[0]}x{PHOTO[1]} photo: {time.perf_counter() - start:.2f} s ({found.size})")


def training_step() -> None:
    """Time of one step on two photos with ten objects each, second call."""
    import numpy as np
    import tensorflow as tf

    from mrcnn_keras import MaskRCNN

    model = MaskRCNN()
    model.compile()
    batches = tf.data.Dataset.from_tensors(make_batch(np.random.default_rng(0))).repeat()
    for name in ("first", "second"):
        start = time.perf_counter()
        model.fit(batches, steps_per_epoch=1, verbose=0)
        print(f"{name} training step on two such photos: {time.perf_counter() - start:.2f} s")


def make_batch(rng):
    """Two photos of noise with ten objects each, of all sizes."""
    import numpy as np

    height, width = PHOTO[0], -(-PHOTO[1] // 32) * 32
    corner = rng.uniform(0, 0.5, (2, OBJECTS, 2)) * [PHOTO[1], PHOTO[0]]
    side = np.exp(rng.uniform(np.log(24), np.log(400), (2, OBJECTS, 2)))
    return {
        "images": rng.integers(0, 255, (2, height, width, 3), np.uint8),
        "image_sizes": np.array([PHOTO, PHOTO], np.float32),
        "gt_boxes": np.concatenate([corner, corner + side], axis=2).astype(np.float32),
        "gt_class_ids": rng.integers(0, 80, (2, OBJECTS), np.int32),
        "gt_masks": np.full((2, OBJECTS, 112, 112), 255, np.uint8),
        "image_index": np.arange(2),
    }


PARTS = {"detection": detection, "training_step": training_step}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part is None:
        for part in PARTS:
            subprocess.run([sys.executable, __file__, "--part", part, "--threads", str(args.threads)], check=True)
        return
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    PARTS[args.part]()
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
