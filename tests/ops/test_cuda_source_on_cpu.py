"""The CUDA kernels' own source, compiled for the processor: its arithmetic, its indices, and how its threads wait.

What only a GPU shows is left to benchmarks/gpu/roi_align_cuda.py, which checks the same cases.
"""

import ctypes
import dataclasses
import importlib
import pathlib
import re
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent / "cuda_on_cpu"
GPU = ROOT / "benchmarks" / "gpu"
SOURCES = ROOT / "custom_ops" / "roi_align"
COMPILER = next(filter(shutil.which, ("g++", "c++", "clang++")), None)
GUARD = 256  # bytes before and after an array

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="no C++ compiler"),
    pytest.mark.skipif(sys.platform != "linux", reason="its threads are coroutines of glibc"),
]
sys.path.insert(0, str(GPU))
try:
    cases = importlib.import_module("roi_align_cases")
    kernels = importlib.import_module("roi_align_library")
finally:
    sys.path.remove(str(GPU))


class GuardedMemory:
    """Arrays between bytes that read as NaN and must stay as they are."""

    def __init__(self):
        self.arrays = []

    def put(self, array):
        around = np.full(GUARD + array.nbytes + GUARD, 0xFF, np.uint8)
        around[GUARD : GUARD + array.nbytes] = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
        self.arrays.append(around)
        return types.SimpleNamespace(around=around, like=array)

    def pointer(self, copy):
        return copy.around.ctypes.data + GUARD

    def get(self, copy):
        inside = copy.around[GUARD : GUARD + copy.like.nbytes]
        return inside.view(copy.like.dtype).reshape(copy.like.shape).copy()

    def is_unharmed(self):
        return all((a[:GUARD] == 0xFF).all() and (a[len(a) - GUARD :] == 0xFF).all() for a in self.arrays)


def without_cuda_syntax(source):
    """Launches as calls, and shared memory whose size a launch gives as an array from elsewhere."""
    source, launches = re.subn(r"(\w+<T>)<<<(.*?)>>>\(", r"cuda_on_cpu::MakeLaunch(\1, \2)(", source, flags=re.DOTALL)
    assert launches == 2 and source.count("extern __shared__ ") == 1
    return source.replace("extern __shared__ ", "extern ")


def compile_library(folder, source):
    """A library of the kernels in `source`."""
    (folder / "roi_align_as_cpp.h").write_text(without_cuda_syntax(source))
    flags = ["-std=c++17", "-O1", "-w", "-fPIC", "-shared", "-ffp-contract=off", f"-I{folder}", f"-I{HERE}"]
    inputs = [str(HERE / "roi_align_on_cpu.cc"), str(GPU / "roi_align_c.cc")]
    output = folder / "kernels.so"
    subprocess.run([COMPILER, *flags, f"-I{SOURCES}", *inputs, "-o", str(output)], check=True)
    return output


@pytest.fixture(scope="module")
def library_file(tmp_path_factory):
    """The kernels as they are."""
    return compile_library(tmp_path_factory.mktemp("kernels"), (SOURCES / "roi_align.cu").read_text())


def run(path, rois, options, backwards=False):
    """Values and gradients; nothing around the arrays was written."""
    ctypes.CDLL(str(path)).order_threads(ctypes.c_bool(backwards))
    memory = GuardedMemory()
    found = cases.run(kernels.RoiAlignLibrary(path), memory, rois, options)
    assert memory.is_unharmed()
    return found


def same_bits(one, other):
    return all(a.tobytes() == b.tobytes() for a, b in zip([one[0], *one[1]], [other[0], *other[1]], strict=True))


@pytest.fixture(scope="module")
def rois():
    """What all variants are tried on."""
    return cases.make_rois()


@pytest.mark.parametrize("options", [*cases.variants()], ids=cases.name_of)
def test_equals_plain_loops_in_any_order_of_the_threads(library_file, rois, options):
    found = run(library_file, rois, options)
    assert cases.largest_error(found, cases.expected(rois, options), options.dtype) <= 1
    assert same_bits(found, run(library_file, rois, options, backwards=True))


@pytest.mark.parametrize("reduce", ["average", "max"])
def test_more_channels_than_a_block_has_threads(library_file, reduce):
    rois, options = cases.make_rois(channels=131), kernels.Options(output_size=(2, 2), reduce=reduce)
    for name in ("boxes", "image_index", "level"):
        setattr(rois, name, getattr(rois, name)[::3])
    found = run(library_file, rois, options)
    assert cases.largest_error(found, cases.expected(rois, options), "float32") <= 1


def test_more_rois_than_a_block_looks_through_at_once(library_file, rois):
    many = types.SimpleNamespace(**vars(rois))
    for name in ("boxes", "image_index", "level"):
        setattr(many, name, np.concatenate([getattr(rois, name)] * 4))
    options = kernels.Options(output_size=(2, 3), sampling_ratio=1)
    assert len(many.boxes) > 128
    found = run(library_file, many, options)
    assert cases.largest_error(found, cases.expected(many, options), "float32") <= 1


@pytest.mark.parametrize("reduce", ["average", "max"])
def test_no_rois_give_a_gradient_of_zero(library_file, rois, reduce):
    none = types.SimpleNamespace(**vars(rois))
    none.boxes, none.image_index, none.level = np.zeros((0, 4)), np.zeros(0), np.zeros(0)
    for gradient in run(library_file, none, kernels.Options(reduce=reduce))[1]:
        np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("method", ["align", "warp", "pool"])
def test_gigantic_boxes_take_no_longer_than_the_map(library_file, rois, method):
    huge = types.SimpleNamespace(**vars(rois))
    huge.boxes = np.float32([[-4e6, -4e6, 4e6, 4e6], [0, 0, 5e8, 6], [-3e38, -3e38, 3e38, 3e38]])
    huge.image_index, huge.level = np.zeros(3), np.zeros(3)
    for reduce in ("max",) if method == "pool" else ("average", "max"):
        options = kernels.Options(method, sampling_ratio=0, reduce=reduce)
        pooled, gradients = run(library_file, huge, options)
        assert np.abs(pooled).max() <= np.abs(huge.maps[0]).max()
        assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("reduce", ["average", "max"])
def test_bad_rois_give_nan_and_no_gradient(library_file, rois, reduce):
    bad = types.SimpleNamespace(**vars(rois))
    bad.boxes, bad.image_index, bad.level = (getattr(rois, name).copy() for name in ("boxes", "image_index", "level"))
    bad.level[:2], bad.image_index[2:4] = (-1, 5), (-1, 3)
    bad.boxes[4, 1], bad.boxes[5, 2], bad.boxes[6, 3] = np.nan, np.inf, -np.inf
    options = kernels.Options(reduce=reduce)
    pooled, gradients = run(library_file, bad, options)
    assert np.isnan(pooled[:7]).all() and np.isfinite(pooled[7:]).all()
    upstream = bad.upstream
    good = types.SimpleNamespace(**vars(bad) | {"upstream": lambda shape: upstream((shape[0] + 7, *shape[1:]))[7:]})
    good.boxes, good.image_index, good.level = bad.boxes[7:], bad.image_index[7:], bad.level[7:]
    assert cases.largest_error((pooled[7:], gradients), cases.expected(good, options), "float32") <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "old, new",
    [
        ("left + x >= call.widths[level]", "left + x > call.widths[level]"),
        ("if (busy) AddAverage(upstream + roi * size + channel, call, weights, total);\n        __syncthreads();",
         "if (busy) AddAverage(upstream + roi * size + channel, call, weights, total);"),
        ("AverageParts(place, call, weights, top, left);\n        __syncthreads();",
         "AverageParts(place, call, weights, top, left);"),
        ("AverageParts(place, call, weights, top, left);\n        __syncthreads();",
         "AverageParts(place, call, weights, top, left);\n        if (busy) __syncthreads();"),
        ("high > static_cast<float>(begin - 1)", "high > static_cast<float>(begin)"),
    ],
    ids=["writes behind a row", "no wait after use", "no wait before use", "not all threads wait", "a cell too few"],
)  # fmt: skip
def test_these_tests_find_faults(tmp_path, rois, old, new):
    source = (SOURCES / "roi_align.cu").read_text()
    assert source.count(old) == 1
    path, options = compile_library(tmp_path, source.replace(old, new)), kernels.Options(output_size=(7, 3))
    try:
        found = run(path, rois, options)
        unlike = not same_bits(found, run(path, rois, options, backwards=True))
    except (RuntimeError, AssertionError):
        return
    assert unlike or not cases.largest_error(found, cases.expected(rois, options), "float32") <= 1


def test_a_library_of_other_sources_is_refused(tmp_path):
    (tmp_path / "other.cc").write_text(
        'extern "C" { unsigned long roi_align_call_size() { return 8; } void roi_align_forward() {} '
        "void roi_align_backward() {} }"
    )
    output = tmp_path / "other.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", str(tmp_path / "other.cc"), "-o", str(output)], check=True)
    with pytest.raises(RuntimeError, match="other.so takes calls of 8 bytes, not .*: build it anew"):
        kernels.RoiAlignLibrary(output)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_short_types_are_rounded_to_nearest(dtype):
    values = np.concatenate([np.float32([0, -0.0, 1, -2.5, 6e-8, 65504]), np.random.default_rng(0).normal(size=99)])
    stored = kernels.to_storage(values, dtype)
    assert stored.dtype == np.int16
    error = np.abs(kernels.from_storage(stored, dtype) - values.astype(np.float32))
    assert (error <= cases.ROUNDING[dtype] * np.abs(values) + 2**-25).all()


def test_variants_are_all_of_them():
    names = [cases.name_of(options) for options in cases.variants()]
    assert len(set(names)) == len(names) == 26
    assert {dataclasses.astuple(options)[0] for options in cases.variants()} == {"align", "warp", "pool"}
