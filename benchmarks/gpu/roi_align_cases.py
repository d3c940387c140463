"""What the CUDA kernels are checked on: every variant against the plain loops of tests/ops/oracle.py."""

import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
from roi_align_library import HERE, Options, RoiAlignLibrary, from_storage, make_call, to_storage

sys.path.insert(0, str(HERE.parents[1] / "tests" / "ops"))
from oracle import make_pyramid, numpy_roi_align, numpy_roi_pool, numpy_roi_warp  # noqa: E402

# Largest error relative to the value, for what is rounded once from a float32 sum.
ROUNDING = {"float32": 1e-5, "bfloat16": 2**-8, "float16": 2**-11}
_HALVES = [[2, 6, 10, 14], [-2, -6, 2, 6], [-10, -14, -2, -6]]  # edges half way between cells of stride 4
_LARGE = [[3, -700, 60, 200], [-400, -300, 400, 300]]


def variants() -> Iterator[Options]:
    """Every method, reduction, alignment and way of sampling in float32, and the shorter types."""
    for ratio in (0, 2):
        for aligned in (True, False):
            for reduce in ("average", "max"):
                yield Options("align", (7, 3), ratio, aligned, reduce)
                yield Options("warp", (4, 3), ratio, aligned, reduce)
    yield Options("align", (5, 6), 3)
    yield Options("pool", (7, 3), 0, True, "max")
    for dtype in ("bfloat16", "float16"):
        yield Options("align", (3, 3), 0, True, "average", dtype)
        yield Options("align", (3, 2), 2, False, "max", dtype)
        yield Options("warp", (3, 2), 2, True, "average", dtype)
        yield Options("pool", (3, 2), 0, True, "max", dtype)


def name_of(options: Options) -> str:
    """The variant in a few words."""
    sampling = f"{options.sampling_ratio} samples" if options.sampling_ratio else "adaptive"
    words = [options.method, options.reduce, options.dtype]
    if options.method != "pool":
        words += [sampling, "aligned" if options.aligned else "not aligned"]
    return " ".join(words)


def make_rois(channels: int = 5) -> types.SimpleNamespace:
    """Five maps of three images, of odd sizes, and RoIs: inside, over the edges, outside, empty, reversed, large.

    Args:
        channels: of the maps; more than a block has threads make blocks of a second kind.
    """
    rois = make_pyramid()
    extra = np.array([*_HALVES, *_LARGE], np.float32)
    rois.boxes = np.concatenate([rois.boxes, extra])
    rois.image_index = np.concatenate([rois.image_index, np.arange(len(extra), dtype=np.int32) % 3])
    rois.level = np.concatenate([rois.level, np.arange(len(extra), dtype=np.int32) % 2])
    rng = np.random.default_rng(13)
    rois.maps = [rng.normal(size=(*m.shape[:3], channels)).astype(np.float32) for m in rois.maps]
    return rois


def expected(rois: types.SimpleNamespace, options: Options) -> tuple[np.ndarray, list[np.ndarray]]:
    """Values and gradients of the maps by the plain loops, from maps and upstream gradient as the device holds them."""
    maps = [rounded(m, options.dtype) for m in rois.maps]
    upstream = rounded(upstream_of(rois, options), options.dtype)
    tensors = (maps, rois.boxes, rois.image_index, rois.level, upstream)
    size = {"scales": rois.scales, "output_size": options.output_size}
    if options.method == "pool":
        return numpy_roi_pool(*tensors, **size)
    loops = numpy_roi_align if options.method == "align" else numpy_roi_warp
    sampling = {"sampling_ratio": options.sampling_ratio, "aligned": options.aligned, "reduce": options.reduce}
    return loops(*tensors, **size, **sampling)


def rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """The numbers as the type holds them."""
    return from_storage(to_storage(values, dtype), dtype)


def upstream_of(rois: types.SimpleNamespace, options: Options) -> np.ndarray:
    """A gradient for what is pooled."""
    return rois.upstream((len(rois.boxes), *options.output_size, rois.maps[0].shape[-1]))


def run(library: RoiAlignLibrary, memory: Any, rois: types.SimpleNamespace, options: Options) -> tuple:
    """Values and gradients of the maps by the kernels.

    Args:
        library: the kernels.
        memory: the device's: `put(array)` copies an array there, `pointer(copy)` says where it is, `get(copy)` brings
            it back.
        rois, options: what to pool, and how.
    """
    channels = rois.maps[0].shape[-1]
    maps = [memory.put(to_storage(m, options.dtype)) for m in rois.maps]
    inputs = [memory.put(np.ascontiguousarray(rois.boxes, np.float32).reshape(-1, 4))]
    inputs += [memory.put(np.ascontiguousarray(index, np.int32)) for index in (rois.image_index, rois.level)]
    shape = (len(rois.boxes), *options.output_size, channels)
    upstream, pooled = (
        memory.put(to_storage(values, options.dtype)) for values in (upstream_of(rois, options), np.full(shape, -7))
    )
    winners = memory.put(np.full(shape, -7, np.int32))
    gradients = [memory.put(to_storage(np.full(m.shape, -7), options.dtype)) for m in rois.maps]

    pointers = [len(rois.boxes), *map(memory.pointer, inputs)]
    call = make_call(options, [m.shape for m in rois.maps], rois.scales, list(map(memory.pointer, maps)), pointers)
    if len(rois.boxes):  # a grid of no blocks is none to CUDA; the operation leaves it out, too
        library.forward(call, memory.pointer(pooled))
        if options.reduce == "max":
            library.forward(call, None, memory.pointer(winners))
    library.backward(call, memory.pointer(upstream), memory.pointer(winners), list(map(memory.pointer, gradients)))
    return from_storage(memory.get(pooled), options.dtype), [
        from_storage(memory.get(gradient), options.dtype) for gradient in gradients
    ]


def largest_error(found: tuple, wanted: tuple, dtype: str) -> float:
    """The largest difference of values and gradients, in units of what is allowed; above 1 is a fault, and so is NaN.

    Allowed is 1e-5, and of the value what its type's rounding loses.
    """
    worst = 0.0
    for one, other in zip([found[0], *found[1]], [wanted[0], *wanted[1]], strict=True):
        if one.size:
            error = np.abs(one - other) / (1e-5 + ROUNDING[dtype] * np.abs(other))
            worst = float(np.maximum(worst, error.max()))
    return worst
