"""Memory that a program keeps after it has used and deleted a model, in MB a cycle.

python benchmarks/memory_growth.py [--cycles N] [--warm-up N] [NAME ...]

Each case runs in a process of its own: some cycles to warm up, then N cycles, with garbage collected after each. The
numbers are slopes over the cycles, by least squares:

- "allocated": what the program has not given back to the C library (`mallinfo2`, glibc 2.33 or newer). A leak is here.
- "resident": what the operating system counts, once free memory has been given back to it. Gaps between blocks that are
  in use count too, so that it varies from run to run and grows for longer.
"""

import argparse
import ctypes
import gc
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable

import numpy as np

WARM_UP = 2
TINY = {
    "num_classes": 3,
    "backbone_blocks": (1, 1, 1, 1),
    "stem_channels": 8,
    "res2_channels": 16,
    "width_per_group": 8,
    "fpn_channels": 16,
    "box_head_dim": 32,
    "mask_head_dim": 16,
    "mask_head_convs": 1,
    "backbone_norm": "group",
    "norm_groups": 4,
    "freeze_at": 0,
    "image_min_side": 64,
    "image_max_side": 64,
    "anchor_sizes": (8, 16, 32, 64, 128),
    "rpn_pre_nms_topk_train": 100,
    "rpn_post_nms_topk_train": 50,
    "rpn_pre_nms_topk_test": 100,
    "rpn_post_nms_topk_test": 50,
    "batch_size": 2,
}


# Without a pyramid a model takes less time to trace.
C4 = {"features": "c4", "box_head": "res5", "anchor_sizes": (8, 16, 32, 64, 128)}


def make_model(**fields):
    """A tiny model, new each time."""
    import mrcnn_keras as mk

    return mk.MaskRCNN(mk.MaskRCNNConfig(**{**TINY, **fields}))


def build_and_detect(implementation: str) -> None:
    """Detect objects in one photo of noise."""
    from mrcnn_keras import ops

    with ops.use_implementation(implementation):
        make_model().detect(np.zeros((64, 64, 3), np.uint8))


def detect_with_resnet50() -> None:
    """Detect objects with ResNet-50-FPN, without the compiled operations."""
    import mrcnn_keras as mk
    from mrcnn_keras import ops

    with ops.use_implementation("tensorflow"):
        model = mk.MaskRCNN.from_preset("mask_rcnn_resnet50_fpn", num_classes=3, image_min_side=64, image_max_side=64)
        model.detect(np.zeros((64, 64, 3), np.uint8))


def build_and_fit(implementation: str = "auto", jit_compile: bool = False, **fields) -> None:
    """Train for one step."""
    from mrcnn_keras import ops
    from mrcnn_keras.data import ShapesDataset

    with ops.use_implementation(implementation):
        model = make_model(**fields)
        model.compile(jit_compile=jit_compile)
        model.fit(ShapesDataset(2, seed=0, size=(64, 64)), steps_per_epoch=1, verbose=0)


def export(format: str) -> None:
    """Write an export of a new model."""
    with tempfile.TemporaryDirectory() as folder:
        make_model().export(pathlib.Path(folder) / "exported", format=format)


def load_saved_model(folder: str) -> None:
    """Load an export as a server does, and answer one request."""
    import tensorflow as tf

    loaded = tf.saved_model.load(folder)
    loaded.signatures["serving_tensor"](image=tf.zeros((1, 64, 64, 3), tf.uint8))


def cycle_that_loads() -> Callable[[], None]:
    """The cycle of `load_saved_model`, of one export for all of them."""
    folder = tempfile.mkdtemp()
    make_model().export(folder)
    return lambda: load_saved_model(folder)


# Name -> makes the function that is one cycle.
CASES: dict[str, Callable[[], Callable[[], None]]] = {
    "detect, compiled": lambda: lambda: build_and_detect("auto"),
    "detect, fallback": lambda: lambda: build_and_detect("tensorflow"),
    "detect, fallback, ResNet-50-FPN": lambda: detect_with_resnet50,
    "fit, compiled": lambda: build_and_fit,
    "fit, fallback": lambda: lambda: build_and_fit("tensorflow"),
    "fit, checkpointing": lambda: lambda: build_and_fit(gradient_checkpointing=True, mask_head="none", **C4),
    "fit, fallback, checkpointing": lambda: lambda: build_and_fit("tensorflow", gradient_checkpointing=True),
    "fit, XLA": lambda: lambda: build_and_fit(jit_compile=True),
    "export, SavedModel": lambda: lambda: export("tf_saved_model"),
    "export, ONNX": lambda: lambda: export("onnx"),
    "export, StableHLO": lambda: lambda: export("stablehlo"),
    "load, SavedModel": cycle_that_loads,
}


class _Allocations(ctypes.Structure):
    """The C library's `struct mallinfo2`, in bytes."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


def counts_allocations() -> bool:
    """Whether the C library says how much is allocated."""
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallinfo2")


def held_mb() -> tuple[float, float]:
    """Memory of this process, in MB, once garbage has been collected: allocated, and resident."""
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = _Allocations
    gc.collect()
    libc.malloc_trim(0)
    allocations = libc.mallinfo2()
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return (allocations.uordblks + allocations.hblkhd) / 2**20, pages * 4096 / 2**20


def growth(cycle: Callable[[], None], cycles: int, warm_up: int) -> tuple[float, float]:
    """MB that each cycle leaves behind, after some to warm up: allocated, and resident."""
    held = []
    for _ in range(warm_up + cycles):
        cycle()
        held.append(held_mb())
    allocated, resident = np.polyfit(np.arange(cycles), held[warm_up:], 1)[0]
    return float(allocated), float(resident)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {'; '.join(CASES)}")
    parser.add_argument("--cycles", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=WARM_UP, help="cycles before them (%(default)s)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(CASES):
        parser.error(f"unknown case {sorted(unknown)[0]!r}, expected some of {list(CASES)}")
    if not counts_allocations():
        parser.error("needs Linux with glibc 2.33 or newer, which says how much memory is allocated")
    if arguments.here:
        for name in arguments.names:
            allocated, resident = growth(CASES[name](), arguments.cycles, arguments.warm_up)
            print(f"| {name} | {allocated:.2f} | {resident:.2f} |", flush=True)
        return
    print("| case | allocated, MB a cycle | resident, MB a cycle |\n|---|---|---|", flush=True)
    # Python's own allocator keeps blocks that the C library cannot see.
    environment = {**os.environ, "PYTHONMALLOC": "malloc"}
    for name in arguments.names or CASES:
        numbers = ["--cycles", str(arguments.cycles), "--warm-up", str(arguments.warm_up)]
        subprocess.run([sys.executable, __file__, "--here", *numbers, name], check=True, env=environment)


if __name__ == "__main__":
    main()
