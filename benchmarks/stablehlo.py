"""The inference graph as StableHLO: how many operations it has, and what XLA makes of it, in TensorFlow and in JAX.

python benchmarks/stablehlo.py [--preset NAME] [--size 800 1344] [--rounds 3] [--out FOLDER] [--count-only]

Exports a preset with random weights, prints its operations by kind, compiles it and runs it on one image of noise,
where all detections count. JAX takes part where it is installed.
"""

import argparse
import collections
import importlib.util
import json
import os
import pathlib
import re
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

import mrcnn_keras as mk
from mrcnn_keras.serving import export_stablehlo, load_stablehlo
from mrcnn_keras.serving.folding import fold_norms
from mrcnn_keras.serving.network_function import network_function

_SHOWN = 12  # kinds of operations in a row of the table
_INSTRUCTION = re.compile(r"^  (?:ROOT )?%\S+ = .*? ([a-z][a-z0-9-]*)\(", re.MULTILINE)


def count_instructions(text: str) -> collections.Counter:
    """What XLA runs one after the other: the instructions of a module's entry, fused ones as one."""
    entry = text[text.index("\nENTRY ") :]
    found = collections.Counter(_INSTRUCTION.findall(entry[: entry.index("\n}")]))
    for name in ("parameter", "constant", "bitcast", "get-tuple-element", "tuple"):
        del found[name]
    return found


def row(title: str, kinds: dict) -> str:
    """A row of the table."""
    common = sorted(kinds.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{name} {count}" for name, count in common[:_SHOWN])
    return f"| {title} | {sum(kinds.values())} | {len(kinds)} | {shown} |"


def measure(run, rounds: int) -> tuple[float, float]:
    """Seconds of the first call, which compiles, and the median of those after it."""
    times = []
    for _ in range(1 + rounds):
        start = time.perf_counter()
        np.asarray(run()["scores"])
        times.append(time.perf_counter() - start)
    return times[0], statistics.median(times[1:])


def make_runs(model, folder: pathlib.Path, inputs: dict) -> dict:
    """Each contestant as a function without arguments."""
    shape = inputs["images"].shape[:3]
    folded, tensors = fold_norms(model), [tf.constant(value) for value in inputs.values()]
    graph, compiled = (network_function(folded, "uint8", shape, jit_compile=xla)[0] for xla in (False, True))
    runs = {"TensorFlow": lambda: graph(*tensors), "XLA in TensorFlow": lambda: compiled(*tensors)}
    if importlib.util.find_spec("jax"):
        network = load_stablehlo(folder)
        runs["XLA in JAX"] = lambda: network(*inputs.values())
    else:
        print("JAX takes no part: it is not installed")
    return runs


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="mask_rcnn_resnet50_fpn", metavar="NAME")
    parser.add_argument("--size", type=int, nargs=2, default=(800, 1344), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="timed runs of each (%(default)s)")
    parser.add_argument("--out", type=pathlib.Path, metavar="FOLDER", help="keep the export there")
    parser.add_argument("--count-only", action="store_true", help="compile and run nothing")
    args = parser.parse_args()
    model = mk.MaskRCNN.from_preset(args.preset, score_threshold=0.0)
    with tempfile.TemporaryDirectory() as temporary:
        start = time.perf_counter()
        folder = export_stablehlo(model, args.out or pathlib.Path(temporary) / "model", input_size=args.size)
        seconds, size = time.perf_counter() - start, (folder / "model.stablehlo").stat().st_size
        print(f"{args.preset}, {args.size[0]} x {args.size[1]}: {seconds:.1f} s, module of {size / 2**20:.1f} MiB")
        print("\n| module | operations | kinds | the most frequent |\n|---|---|---|---|")
        description = json.loads((folder / "model.json").read_text())
        print(row("StableHLO", description["operations"]), flush=True)
        if args.count_only:
            return
        pixels = np.random.default_rng(0).integers(0, 256, (1, *args.size, 3), np.uint8)
        inputs = {"images": pixels, "image_sizes": np.float32([args.size])}
        compiled, specs = network_function(fold_norms(model), "uint8", (1, *args.size), jit_compile=True)
        optimised = compiled.experimental_get_compiler_ir(*specs)(stage="optimized_hlo")
        print(row("compiled for this processor, fused", count_instructions(optimised)), flush=True)
        runs = make_runs(model, folder, inputs)
        print(f"\n| runtime | first call s | median of {args.rounds} s |\n|---|---|---|")
        for name, run in runs.items():
            first, median = measure(run, args.rounds)
            print(f"| {name} | {first:.1f} | {median:.2f} |", flush=True)


if __name__ == "__main__":
    main()
