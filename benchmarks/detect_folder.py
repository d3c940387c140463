"""`mrcnn-keras detect` on a folder of photos with broken ones among them, undisturbed and killed twice.

python benchmarks/detect_folder.py --model M [--photos N] [--broken N] [--batch-size N] [--pictures]

Drawn photos of many sizes are written into a temporary folder. One run goes through; another is killed (kill -9) after
about a third and two thirds, and started again each time. Both must name the broken files, exit with 1 and write the
same detections.json, byte for byte. Prints that, the times, and the memory of the first run along the way.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from PIL import Image

from mrcnn_keras.commands import options
from mrcnn_keras.data import ShapesDataset


def write_photos(folder: pathlib.Path, count: int, broken: int) -> None:
    """`count` JPEG files in two folders, of which the last `broken` by number are cut off."""
    kinds = [ShapesDataset(count, seed=seed, size=size) for seed, size in enumerate([(96, 128), (128, 96), (200, 140)])]
    for number in range(count):
        path = folder / f"part{number % 2}" / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(kinds[number % 3].load_image(number)).save(path)
        if number % (count // broken) == 7:
            path.write_bytes(path.read_bytes()[: 100 + number % 300])


def start(args: argparse.Namespace, folder: pathlib.Path, out: pathlib.Path) -> subprocess.Popen:
    """One run of the command."""
    words = [str(folder), "--model", args.model, "--out", str(out), "--batch-size", str(args.batch_size)]
    words += [] if args.pictures else ["--no-pictures"]
    command = [sys.executable, "-m", "mrcnn_keras.cli", "detect", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def records(out: pathlib.Path) -> int:
    """How many images are done."""
    partial = out / ".detections.partial"
    return partial.read_bytes().count(b"\n") - 1 if partial.exists() else 0


def resident(pid: int) -> float:
    """MiB that a process has in memory."""
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def watched(child: subprocess.Popen, out: pathlib.Path, until: int) -> list[tuple[int, float]]:
    """Images done and memory, every second until so many are done or the run is over."""
    seen = []
    while child.poll() is None and records(out) < until:
        seen.append((records(out), resident(child.pid)))
        time.sleep(1)
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=options.model, required=True)
    parser.add_argument("--photos", type=options.positive, default=2000)
    parser.add_argument("--broken", type=options.positive, default=20)
    parser.add_argument("--batch-size", type=options.positive, default=4)
    parser.add_argument("--pictures", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, whole, killed = (pathlib.Path(place, name) for name in ("photos", "whole", "killed"))
        write_photos(folder, args.photos, args.broken)
        started = time.monotonic()
        child = start(args, folder, whole)
        memory = watched(child, whole, args.photos + 1)
        errors = child.communicate()[1]
        print(f"undisturbed: exit status {child.returncode}, {time.monotonic() - started:.0f} s")
        named = sum(line.startswith("failed: ") for line in errors.splitlines())
        found = json.loads((whole / "detections.json").read_text())
        print(f"{len(found['images'])} images, {len(found['annotations'])} detections, {named} errors that name a file")
        for share in (0.1, 0.25, 0.5, 0.75, 1.0):
            done, size = min(memory, key=lambda one: abs(one[0] - share * len(found["images"])))
            print(f"  {size:.0f} MiB after {done} images")
        for share in (1 / 3, 2 / 3):
            child = start(args, folder, killed)
            watched(child, killed, int(share * args.photos))
            child.send_signal(signal.SIGKILL)
            child.communicate()
            print(f"killed after {records(killed)} images")
        child = start(args, folder, killed)
        errors = child.communicate()[1]
        same = [(one / "detections.json").read_bytes() for one in (whole, killed)]
        named = sum(line.startswith("failed: ") for line in errors.splitlines())
        print(f"gone on: exit status {child.returncode}, {named} errors; the same file: {same[0] == same[1]}")
    return 0 if same[0] == same[1] else 1


if __name__ == "__main__":
    sys.exit(main())
