"""What test-time augmentation costs: time and peak memory beside plain detection, on one large photo.

python benchmarks/tta.py [--preset NAME] [--size H W]

Each setting is a process of its own, so that its peak memory is its own; random weights, 2 detections of each setting,
the second of which is timed.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

SETTINGS = ("plain", "mirrored", "nine scales, mirrored")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="mask_rcnn_resnet50_fpn")
    parser.add_argument("--size", type=int, nargs=2, default=(800, 1333), metavar=("H", "W"))
    parser.add_argument("--only", choices=SETTINGS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measure(args)))
        return 0
    print("| setting | s | times plain | peak GiB | detections |\n|---|---|---|---|---|")
    plain = None
    for setting in SETTINGS:
        child = subprocess.run([sys.executable, __file__, "--only", setting, "--preset", args.preset, "--size",
                                *map(str, args.size)], check=True, capture_output=True, text=True)  # fmt: skip
        seconds, peak, count = json.loads(child.stdout.splitlines()[-1])
        plain = plain or seconds
        print(f"| {setting} | {seconds:.1f} | {seconds / plain:.1f} | {peak:.1f} | {count} |", flush=True)
    return 0


def measure(args: argparse.Namespace) -> tuple[float, float, int]:
    """Seconds, peak GiB and the number of detections of one setting."""
    import numpy as np

    from mrcnn_keras import MaskRCNN
    from mrcnn_keras.inference import TestTimeAugmentation

    model = MaskRCNN.from_preset(args.preset, score_threshold=0.0)
    photo = np.random.default_rng(0).integers(0, 255, (*args.size, 3), np.uint8)
    tta = {"plain": None, "mirrored": TestTimeAugmentation((1.0,)), "nine scales, mirrored": True}[args.only]
    model.detect(photo, tta=tta)
    started = time.perf_counter()
    found = model.detect(photo, tta=tta)[0]
    seconds = time.perf_counter() - started
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, len(found)


if __name__ == "__main__":
    sys.exit(main())
