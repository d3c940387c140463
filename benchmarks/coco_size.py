"""A data set of COCO's size: seconds and memory to open it, and whether memory grows as training goes through it.

python benchmarks/coco_size.py [--work DIR] [--steps N] [--images N]

Makes annotation files like `instances_train2017.json` (118,287 images, 860,001 objects, 450 MB) and
`person_keypoints_train2017.json` (262,465 people with 17 keypoints), with empty files for images. Then, for each in a
new process: opens it, draws the batches of 16 images of a training and reads the annotations of all their images from
the file, as training does, polygons to masks included; photos are not decoded. Memory is what the process holds
(resident), before and after.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

IMAGES = 118_287
# Objects for each image, as COCO has them.
FILES = {"instances": 860_001 / IMAGES, "person_keypoints": 262_465 / IMAGES}
WIDTH, HEIGHT = 640, 480
# Outlines are drawn from so many different ones.
OUTLINES = 4000


def make(kind: str, folder: pathlib.Path, count: int) -> None:
    """Writes one annotation file, piece by piece."""
    rng = np.random.default_rng(0)
    shapes = [outline(rng, keypoints=kind != "instances") for _ in range(OUTLINES)]
    objects = round(count * FILES[kind])
    owners, outlines = rng.integers(0, count, objects).tolist(), rng.integers(0, OUTLINES, objects).tolist()
    classes = rng.integers(1, 81 if kind == "instances" else 2, objects).tolist()
    categories = [{"id": number, "name": f"class {number}"} for number in range(1, max(classes) + 1)]
    if kind != "instances":
        categories[0]["keypoints"] = [f"point {number}" for number in range(17)]
    with open(folder / f"{kind}.json", "w") as file:
        file.write('{"info": {"description": "made up"}, "images": [')
        file.write(",\n".join(image(number) for number in range(count)))
        file.write('], "annotations": [')
        for number, (owner, shape, category) in enumerate(zip(owners, outlines, classes, strict=True)):
            comma = "," if number else ""
            ids = f'"image_id": {owner}, "category_id": {category}, "id": {number}'
            file.write(f"{comma}{{{shapes[shape]}, {ids}}}")
        file.write(f'], "categories": {json.dumps(categories)}}}')


def image(number: int) -> str:
    """One image as the file has it."""
    url = f"http://images.example.org/train2017/{number:012d}.jpg"
    dates = '"date_captured": "2013-11-14 11:18:45", "license": 3'
    names = f'"file_name": "{number:012d}.jpg", "coco_url": "{url}", "flickr_url": "{url}"'
    return f'{{{dates}, {names}, "height": {HEIGHT}, "width": {WIDTH}, "id": {number}}}'


def outline(rng: np.random.Generator, keypoints: bool) -> str:
    """An object's fields without its ids: a wobbly ellipse of as many points as COCO's, small ones most often."""
    points = int(np.clip(rng.lognormal(2.93, 0.7), 4, 300))
    radii = np.exp(rng.uniform(np.log(6), np.log(150), 2))
    centre = rng.uniform(radii, (WIDTH, HEIGHT) - radii)
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    shape = centre + radii * np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(0.7, 1, (points, 1))
    low, high = shape.min(axis=0), shape.max(axis=0)
    fields = {
        "segmentation": [np.round(shape, 2).ravel().tolist()],
        "area": round(float(np.prod(high - low)) * 0.6, 4),
        "iscrowd": 0,
        "bbox": np.round([*low, *(high - low)], 2).tolist(),
    }
    if keypoints:
        places = rng.uniform(low, high, (17, 2)).astype(int)
        fields["keypoints"] = np.hstack([places, rng.integers(1, 3, (17, 1))]).ravel().tolist()
        fields["num_keypoints"] = 17
    return json.dumps(fields)[1:-1]


def open_and_walk(kind: str, folder: pathlib.Path, steps: int) -> None:
    """One row of the table."""
    from mrcnn_keras.data import CocoDataset
    from mrcnn_keras.data.recipe import BatchRecipe

    path = folder / f"{kind}.json"
    started, computed = time.perf_counter(), time.process_time()
    dataset = CocoDataset(folder / "images", path)
    opened, computed = time.perf_counter() - started, time.process_time() - computed
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    options = {"size_divisor": 32, "mask_size": 112, "num_keypoints": 0, "skip_broken": False, "flip": True}
    options |= {"shuffle": True, "repeat": True, "drop_remainder": True, "seed": 0}
    options |= {"color_jitter": (0, 0, 0, 0), "scale_jitter": (), "crop_size": (1024, 1024), "fixed_shapes": False}
    plan = BatchRecipe(16, [800], 1333, **options).maker(dataset).plan
    objects, held, started = 0, [], time.perf_counter()
    for step in range(steps):
        if step in (min(100, steps // 10), steps // 2):
            held.append(resident())
        plan.augmentation(step)
        for index in plan.batch(step).tolist():
            objects += len(dataset.repaired(index, dataset.load_annotations(index)))
    held.append(resident())
    rate = 16 * steps / (time.perf_counter() - started)
    cells = [kind, f"{path.stat().st_size / 1e6:.0f} MB", f"{opened:.1f} s ({computed:.1f} s)", f"{peak:.0f} MiB"]
    cells += [f"{16 * steps:,} images, {objects:,} objects", ", ".join(f"{one:.0f}" for one in held), f"{rate:.0f}"]
    print("| " + " | ".join(cells) + " |", flush=True)


def resident() -> float:
    """MiB of memory that the process holds now."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(folder: pathlib.Path, args: argparse.Namespace) -> None:
    """Makes the files that are not there yet, and the table."""
    (folder / "images").mkdir(exist_ok=True)
    for number in range(args.images):
        (folder / "images" / f"{number:012d}.jpg").touch()
    for kind in FILES:
        if not (folder / f"{kind}.json").exists():
            make(kind, folder, args.images)
    heads = ("file", "size", "open (of that computing)", "peak memory when open", "then read")
    heads += ("MiB held early, halfway, at the end", "images a second")
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|", flush=True)
    for kind in FILES:
        part = ["--work", str(folder), "--steps", str(args.steps), "--part", kind]
        subprocess.run([sys.executable, __file__, *part], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, help="folder for the files, kept; default: a temporary one")
    parser.add_argument("--steps", type=int, default=5000, help="of 16 images")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--part", choices=FILES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        open_and_walk(args.part, args.work, args.steps)
    elif args.work:
        args.work.mkdir(parents=True, exist_ok=True)
        run(args.work, args)
    else:
        with tempfile.TemporaryDirectory() as folder:
            run(pathlib.Path(folder), args)


if __name__ == "__main__":
    main()
