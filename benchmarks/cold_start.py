"""From an empty process to the first answer: import, build or load, detect in one photo of 800 x 1333 pixels.

python benchmarks/cold_start.py [--preset NAME] [--set FIELD=VALUE] [--checkpoint FILE] [--threads N] [--rounds N]

Each round is a process of its own. The model is built with random weights, then loaded from a `.keras` file, and, if
one is given, from another system's checkpoint. Medians in s of wall and processor time; "all" is what the operating
system saw, from the start of the interpreter to the end of the first answer. "tensorflow" is TensorFlow's and Keras's
own import; "mrcnn_keras" what this package adds. The goals are 8 s in all, and 0.5 s for "mrcnn_keras".
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from mrcnn_keras.commands import options

PHOTO = (800, 1333)
STAGES = ("tensorflow", "mrcnn_keras", "model", "first answer", "second answer")


def child(args: argparse.Namespace) -> None:
    """One start; prints the times of its stages."""
    laps = [(time.perf_counter(), time.process_time())]

    def lap():
        laps.append((time.perf_counter(), time.process_time()))

    import keras  # noqa: F401
    import tensorflow as tf

    lap()
    import numpy as np

    from mrcnn_keras import MaskRCNN

    lap()
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    model = make_model(MaskRCNN, args)
    lap()
    photo = np.random.default_rng(0).integers(0, 255, (*PHOTO, 3), np.uint8)
    for _ in range(2):
        model.detect(photo)
        lap()
    print(json.dumps({name: [b - a for a, b in zip(*pair)] for name, *pair in zip(STAGES, laps, laps[1:])} |
                     {"before": [laps[0][1]] * 2}))  # fmt: skip
    if args.save:
        model.save(args.save)


def make_model(model_class, args: argparse.Namespace):
    """The model that the arguments ask for."""
    if args.model is None:
        return model_class.from_preset(args.preset, **options.settings(args))
    return (model_class.load if args.model.endswith(".keras") else model_class.from_pretrained)(args.model)


def measured(words: list[str], **more: str) -> dict[str, list[float]]:
    """Stage -> [wall, processor] seconds of one start."""
    command = [sys.executable, __file__, "--child", *words]
    for name, value in more.items():
        command += [f"--{name}", value]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    times = json.loads(done.stdout.splitlines()[-1])
    before = times.pop("before")
    return times | {"all": [sum(parts) for parts in zip(before, *(times[name] for name in STAGES[:-1]))]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", type=options.preset, default="mask_rcnn_resnet50_fpn")
    options.add_settings(parser)
    parser.add_argument("--checkpoint", type=options.file)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    parser.add_argument("--save", help=argparse.SUPPRESS)
    words = sys.argv[1:]
    args = parser.parse_args()
    if not any(name == "score_threshold" for name, _ in args.settings):
        args.settings.append(("score_threshold", 0.0))
    if args.child:
        child(args)
        return
    with tempfile.TemporaryDirectory() as folder:
        saved = str(pathlib.Path(folder) / "model.keras")
        measured(words, save=saved)
        contestants = {"random weights": {}, "loaded from a .keras file": {"model": saved}}
        if args.checkpoint:
            contestants["from_pretrained"] = {"model": str(args.checkpoint)}
        rounds = [{name: measured(words, **more) for name, more in contestants.items()} for _ in range(args.rounds)]
    for name in contestants:
        print(f"\n| {name} | wall s | processor s |\n|---|---|---|")
        for stage in (*STAGES, "all"):
            wall, cpu = (statistics.median(one[name][stage][part] for one in rounds) for part in (0, 1))
            print(f"| {stage} | {wall:.2f} | {cpu:.2f} |")


if __name__ == "__main__":
    main()
