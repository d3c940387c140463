"""The kernels of roi_align.cu as a library of their own, called from Python without TensorFlow."""

import ctypes
import dataclasses
import os
import pathlib
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
SOURCES = HERE.parents[1] / "custom_ops" / "roi_align"
MOST_LEVELS = 16
METHODS = ("align", "warp", "pool")
DTYPES = ("float32", "bfloat16", "float16")


class _Attributes(ctypes.Structure):
    _fields_ = [
        ("method", ctypes.c_int),
        ("output_height", ctypes.c_int),
        ("output_width", ctypes.c_int),
        ("sampling_ratio", ctypes.c_int),
        ("aligned", ctypes.c_bool),
        ("largest", ctypes.c_bool),
    ]


class _Call(ctypes.Structure):
    _fields_ = [
        ("stream", ctypes.c_void_p),
        ("type", ctypes.c_int),
        ("attributes", _Attributes),
        ("num_levels", ctypes.c_int),
        ("heights", ctypes.c_int * MOST_LEVELS),
        ("widths", ctypes.c_int * MOST_LEVELS),
        ("scales", ctypes.c_float * MOST_LEVELS),
        ("maps", ctypes.c_void_p * MOST_LEVELS),
        ("batch", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("num_rois", ctypes.c_int64),
        ("boxes", ctypes.c_void_p),
        ("image_index", ctypes.c_void_p),
        ("level", ctypes.c_void_p),
    ]


@dataclasses.dataclass(frozen=True)
class Options:
    """How RoIs are pooled.

    Attributes:
        method: one of `METHODS`.
        output_size: bins (down, across).
        sampling_ratio: samples on a side of a bin, 0: by the size of the box.
        aligned: whether coordinates move by half a cell.
        reduce: "average" or "max"; RoIPool knows "max" only.
        dtype: of the maps and of what is pooled, one of `DTYPES`.
    """

    method: str = "align"
    output_size: tuple[int, int] = (7, 7)
    sampling_ratio: int = 2
    aligned: bool = True
    reduce: str = "average"
    dtype: str = "float32"


class RoiAlignLibrary:
    """The library's functions; all pointers are such to the device's memory.

    Args:
        path: of the compiled library.

    Raises:
        OSError: it cannot be loaded.
        RuntimeError: it was built from other sources, or a kernel did not start.
    """

    def __init__(self, path: str | os.PathLike):
        self._library = ctypes.CDLL(str(path))
        self._library.roi_align_call_size.restype = ctypes.c_size_t
        for name in ("roi_align_forward", "roi_align_backward"):
            getattr(self._library, name).restype = ctypes.c_char_p
        size = self._library.roi_align_call_size()
        if size != ctypes.sizeof(_Call):
            raise RuntimeError(f"{path} takes calls of {size} bytes, not {ctypes.sizeof(_Call)}: build it anew")

    def forward(self, call: _Call, pooled: int | None, winners: int | None = None) -> None:
        """Pool; `winners` are what the gradient of the maximum needs."""
        _check(self._library.roi_align_forward(ctypes.byref(call), _pointer(pooled), _pointer(winners)))

    def backward(self, call: _Call, upstream: int | None, winners: int | None, gradients: Sequence[int]) -> None:
        """Write the gradient of each map in full."""
        places = (ctypes.c_void_p * len(gradients))(*gradients)
        _check(self._library.roi_align_backward(ctypes.byref(call), _pointer(upstream), _pointer(winners), places))


def _pointer(address):
    return ctypes.c_void_p(address)


def _check(error):
    if error is not None:
        raise RuntimeError(f"the kernel did not start: {error.decode()}")


def make_call(
    options: Options, shapes: Sequence[tuple], scales: Sequence[float], maps: Sequence[int], rois: Sequence[Any]
) -> _Call:
    """One call of the kernels.

    Args:
        options: how RoIs are pooled.
        shapes: (batch, height, width, channels) of each map.
        scales: of each map, cells for a pixel.
        maps: pointer to each map.
        rois: their number, and pointers to boxes (N, 4) float32, image_index (N,) int32 and level (N,) int32.
    """
    call = _Call(type=DTYPES.index(options.dtype), num_levels=len(shapes), batch=shapes[0][0], channels=shapes[0][3])
    call.attributes = _Attributes(
        METHODS.index(options.method),
        *options.output_size,
        options.sampling_ratio,
        options.aligned,
        options.reduce == "max",
    )
    for i, shape in enumerate(shapes):
        call.heights[i], call.widths[i] = shape[1:3]
        call.scales[i], call.maps[i] = scales[i], maps[i]
    call.num_rois, call.boxes, call.image_index, call.level = rois
    return call


def to_storage(values: np.ndarray, dtype: str) -> np.ndarray:
    """Float32 numbers as the device holds them: float32, or the bits of a shorter type as int16, rounded to nearest."""
    values = np.ascontiguousarray(values, np.float32)
    if dtype == "float16":
        return values.astype(np.float16).view(np.int16)
    if dtype == "bfloat16":
        bits = values.view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16).view(np.int16)
    return values


def from_storage(values: np.ndarray, dtype: str) -> np.ndarray:
    """The float32 numbers that `to_storage` put away."""
    if dtype == "float16":
        return values.view(np.float16).astype(np.float32)
    if dtype == "bfloat16":
        return (values.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return values


def find_nvcc() -> str | None:
    """CUDA's compiler: of CUDA_HOME, CUDA_PATH or /usr/local/cuda, or on PATH."""
    for home in (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"):
        if home and (pathlib.Path(home) / "bin" / "nvcc").is_file():
            return str(pathlib.Path(home) / "bin" / "nvcc")
    return shutil.which("nvcc")


def build(nvcc: str, output: pathlib.Path, architecture: str = "native") -> pathlib.Path:
    """Compile and link the kernels, with the flags that the package uses, and CUDA's runtime inside.

    Args:
        nvcc: CUDA's compiler.
        output: the library to write.
        architecture: for nvcc's -arch: "native", the GPU at hand; "all-major"; "sm_90" and the like.

    Raises:
        RuntimeError: nvcc failed; the message holds what it said.
    """
    flags = ["-std=c++17", "-O3", "-fmad=false", f"-arch={architecture}", "-shared", "-cudart=static"]
    sources = [str(SOURCES / "roi_align.cu"), str(HERE / "roi_align_c.cc")]
    command = [nvcc, *flags, "-Xcompiler", "-fPIC", f"-I{SOURCES}", *sources, "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise RuntimeError(
            f"`{' '.join(command)}` failed with status {done.returncode}:\n{done.stderr.strip()[-2000:]}"
        )
    return output
