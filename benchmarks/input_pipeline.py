"""Images a second of the input pipeline at 800x1333, beside torchvision's, and where the time goes.

python benchmarks/input_pipeline.py [--images DIR --annotations FILE] [--torch-python PATH] [--rounds N]

A folder of photos in the COCO format, by default of made-up ones; each is decoded, resized to a short side of 640 to
800 and a long side of at most 1333, mirrored half of the time and handed over in batches with its objects. This package
makes mask crops of 112 x 112, as training uses them; torchvision (`CocoDetection`, `wrap_dataset_for_transforms_v2`,
transforms v2 on tensors) makes the full-size masks that its models train on, and hands over a list of images that are
not padded yet.

Each contestant has a process of its own with two workers: threads here, processes there. They take turns; medians. The
first batches of each turn are not timed. Beside the images a second stands the CPU time of all threads and worker
processes, which other work on the machine changes little. Without torchvision in this Python, `--torch-python` names
one that has it (and pycocotools); where there is none, only this package runs.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

SIDES = (640, 672, 704, 736, 768, 800)
MAX_SIDE = 1333
# As many batches as either contestant keeps ready, and one.
UNTIMED = 7


def our_batches(args):
    """Endless batches of this package."""
    from mrcnn_keras.data import CocoDataset, training_batches

    dataset = CocoDataset(args.images, args.annotations)
    options = {"min_side": SIDES, "max_side": MAX_SIDE, "workers": args.workers}
    options["mask_size"] = 0 if args.boxes_only else 112
    return lambda seed: iter(training_batches(dataset, batch_size=args.batch_size, seed=seed, **options))


def torchvision_batches(args):
    """Batches of torchvision, enough for a turn."""
    import torch
    from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2
    from torchvision.transforms import v2

    steps = [v2.ToImage(), v2.RandomShortestSize(list(SIDES), max_size=MAX_SIDE), v2.RandomHorizontalFlip(0.5)]
    photos = CocoDetection(args.images, args.annotations, transforms=v2.Compose(steps))
    targets = ("boxes", "labels") if args.boxes_only else ("boxes", "labels", "masks")
    photos = wrap_dataset_for_transforms_v2(photos, target_keys=targets)
    count = (UNTIMED + args.batches) * args.batch_size

    def batches(seed):
        order = torch.utils.data.RandomSampler(photos, num_samples=count, generator=torch.manual_seed(seed))
        options = {"batch_size": args.batch_size, "num_workers": args.workers, "collate_fn": list}
        return iter(torch.utils.data.DataLoader(photos, sampler=order, **options))

    return batches


CONTESTANTS = {"mrcnn_keras": our_batches, "torchvision": torchvision_batches}


def take_turns(args) -> None:
    """In a contestant's process: for each line of input, one turn; its images a second and CPU seconds an image."""
    answers, sys.stdout = sys.stdout, sys.stderr  # pycocotools says what it does
    batches = CONTESTANTS[args.contestant](args)
    for seed, _ in enumerate(sys.stdin):
        turn = batches(seed)
        for _ in itertools.islice(turn, UNTIMED):
            pass
        start, computed, images = time.perf_counter(), cpu_seconds(), args.batches * args.batch_size
        for _ in itertools.islice(turn, args.batches):
            pass
        rate, computed = images / (time.perf_counter() - start), cpu_seconds() - computed
        print(json.dumps([rate, computed / images]), file=answers, flush=True)
        del turn


def cpu_seconds() -> float:
    """What this process and its workers have computed so far."""
    processes = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
    fields = [pathlib.Path(f"/proc/{number}/stat").read_text().rsplit(")")[-1].split() for number in processes]
    return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")


def stages(args) -> dict[str, float]:
    """Milliseconds an image of each stage, one after the other in one thread."""
    from mrcnn_keras.data import CocoDataset, augmentation, rle
    from mrcnn_keras.data.recipe import BatchRecipe
    from mrcnn_keras.data.tfdata import parallel_batches

    spent = {}

    def timed(owner, name: str, stage: str) -> None:
        function = getattr(owner, name)

        def run(*arguments):
            start = time.perf_counter()
            result = function(*arguments)
            spent[stage] = spent.get(stage, 0.0) + time.perf_counter() - start
            return result

        setattr(owner, name, run)

    jitter = {"color_jitter": (0, 0, 0, 0), "scale_jitter": (), "crop_size": (1, 1), "fixed_shapes": False}
    order = {"seed": 0, "shuffle": True, "repeat": True, "drop_remainder": True, "skip_broken": False}
    sizes = {"size_divisor": 32, "mask_size": 112, "num_keypoints": 0}
    recipe = BatchRecipe(args.batch_size, SIDES, MAX_SIDE, flip=True, **sizes, **order, **jitter)
    make = recipe.maker(CocoDataset(args.images, args.annotations))
    timed(CocoDataset, "load_image", "decode")
    timed(CocoDataset, "load_annotations", "read and rasterise annotations")
    timed(CocoDataset, "repaired", "check annotations")
    timed(rle, "coverage", "mask crops")
    timed(augmentation, "resize_image", "resize and flip")
    make(0)
    spent.clear()
    start = time.perf_counter()
    for step in range(args.batches):
        arrays = make(step)
    spent["pad and assemble"] = time.perf_counter() - start - sum(spent.values())
    batches = iter(parallel_batches(lambda step: arrays, make.fields, (0, args.batches + 1), 1, 0))
    next(batches)
    start = time.perf_counter()
    for _ in batches:
        pass
    spent["hand over to TensorFlow"] = time.perf_counter() - start
    return {name: 1000 * seconds / args.batches / args.batch_size for name, seconds in spent.items()}


class Contestant:
    """A process that takes a turn when asked to."""

    def __init__(self, name: str, python: str, args: argparse.Namespace):
        files = ["--images", args.images, "--annotations", args.annotations]
        command = [python, __file__, *sys.argv[1:], *files, "--contestant", name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.turns: list[list[float]] = []

    def turn(self) -> None:
        """One more rate and CPU time."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.process.args[0]} ended with status {self.process.wait()}")
        self.turns.append(json.loads(answer))

    def close(self) -> None:
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()


def make_up(folder: pathlib.Path) -> tuple[str, str]:
    """Photos of smooth noise and a file of as many objects as COCO has for them."""
    import coco_size
    import numpy as np
    from PIL import Image

    noise, size = np.random.default_rng(0), (coco_size.WIDTH, coco_size.HEIGHT)
    (folder / "images").mkdir()
    for number in range(60):
        photo = Image.fromarray(noise.integers(0, 256, (60, 80, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
        photo.save(folder / "images" / f"{number:012d}.jpg", quality=95)
    coco_size.make("instances", folder, 60)
    return str(folder / "images"), str(folder / "instances.json")


def has_torchvision(python: str) -> bool:
    """Whether a Python can import what the contestant needs."""
    test = [python, "-c", "import torchvision, pycocotools.mask"]
    return subprocess.run(test, stderr=subprocess.DEVNULL).returncode == 0


def compare(args) -> None:
    """Images a second of the contestants as a table."""
    pythons = {"mrcnn_keras": sys.executable}
    if has_torchvision(args.torch_python):
        pythons["torchvision"] = args.torch_python
    else:
        print(f"no torchvision in {args.torch_python}; --torch-python names a Python that has it\n")
    contestants = {name: Contestant(name, python, args) for name, python in pythons.items()}
    for _ in range(args.rounds):
        for contestant in contestants.values():
            contestant.turn()
    for contestant in contestants.values():
        contestant.close()
    print("| contestant | images a second | lowest to highest | CPU ms an image |\n|---|---|---|---|")
    for name, contestant in contestants.items():
        rates, computed = zip(*contestant.turns)
        cells = f"{statistics.median(rates):.1f} | {min(rates):.1f} to {max(rates):.1f}"
        print(f"| {name} | {cells} | {1000 * statistics.median(computed):.1f} |")


def report(args) -> None:
    """Both tables."""
    compare(args)
    print("\n| stage of mrcnn_keras, one thread | ms an image |\n|---|---|")
    for name, milliseconds in stages(args).items():
        print(f"| {name} | {milliseconds:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", help="folder of photos")
    parser.add_argument("--annotations", help="JSON file in the COCO format")
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--batches", type=int, default=40, help="timed in each turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--boxes-only", action="store_true", help="compare without masks")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contestant:
        return take_turns(args)
    with tempfile.TemporaryDirectory() as folder:
        if not args.images:
            args.images, args.annotations = make_up(pathlib.Path(folder))
        report(args)


if __name__ == "__main__":
    main()
