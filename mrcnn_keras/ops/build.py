"""Compiles the operations; used by setup.py, and by `mrcnn-keras doctor --build-ops`.

Stands on its own: setup.py loads this file before the package is importable.
"""

import concurrent.futures
import contextlib
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LIBRARY_NAME = "_custom_ops.so"
_HERE = Path(__file__).resolve().parent
_COMPILERS = ("g++", "c++", "clang++")
_STAMP = re.compile(rb"MRCNN_KERAS_STAMP\[tensorflow=([^;\]]*);cuda=([01]);sources=([0-9a-f]*)\]")

# Copies of the inner loops; the best one for the processor is chosen at run time.
_ISA_FLAGS = {
    "baseline": [],
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "avx512": [
        *("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx2", "-mfma", "-mf16c"),
        "-mprefer-vector-width=512",
    ],
}


class BuildError(RuntimeError):
    """The operations could not be compiled; the message says why and what to do."""


@dataclass(frozen=True)
class Stamp:
    """What a library was built for: TensorFlow's version, whether it has a CUDA kernel, a hash of the sources."""

    tensorflow: str
    cuda: bool
    sources: str

    def __str__(self) -> str:
        return f"MRCNN_KERAS_STAMP[tensorflow={self.tensorflow};cuda={int(self.cuda)};sources={self.sources}]"


def library_path() -> Path:
    """Where the package looks for the compiled operations."""
    return _HERE / LIBRARY_NAME


def source_dir() -> Path:
    """Folder of the C++ sources: of the installed package, or of the checkout.

    Raises:
        BuildError: neither is there.
    """
    for folder in (_HERE / "_sources", _HERE.parents[1] / "custom_ops"):
        if (folder / "roi_align" / "roi_align_ops.cc").is_file():
            return folder
    raise BuildError(f"the C++ sources of the operations are missing from {_HERE / '_sources'}: reinstall mrcnn-keras")


def sources_hash() -> str:
    """Identifies the sources that a library was built from."""
    digest = hashlib.sha256()
    root = source_dir()
    for path in sorted(p for p in root.glob("*/*") if p.suffix in (".cc", ".h", ".cu")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def read_stamp(library: Path) -> Stamp | None:
    """The stamp inside a library, read without loading it; None where there is none."""
    found = _STAMP.search(Path(library).read_bytes())
    if found is None:
        return None
    return Stamp(found[1].decode(), found[2] == b"1", found[3].decode())


def build_ops(output_dir: str | Path | None = None, *, verbose: bool = True) -> Path:
    """Compile the operations for the TensorFlow that is installed here.

    A CUDA kernel is added where nvcc is found and TensorFlow was built with CUDA (environment variable
    MRCNN_KERAS_CUDA=0: never; =1: whatever TensorFlow says); where nvcc fails, the CPU kernel is built without it.

    Args:
        output_dir: folder of the library, by default the package itself.
        verbose: whether to print what is done.

    Returns: path of the library, replaced only when everything succeeded.

    Raises:
        BuildError: no compiler, no TensorFlow, a failing compiler, or a folder that cannot be written.
    """
    tell = print if verbose else (lambda *_: None)
    target = Path(output_dir or _HERE) / LIBRARY_NAME
    compiler = _find_compiler()
    tf = _import_tensorflow()
    nvcc = _find_nvcc(tf)
    with tempfile.TemporaryDirectory(prefix="mrcnn_keras_ops_") as work:
        tell(f"mrcnn-keras: compiling the operations for TensorFlow {tf.__version__} with {compiler}")
        objects = _compile_cuda(nvcc, compiler, tf, Path(work), tell) if nvcc else []
        stamp = Stamp(tf.__version__, bool(objects), sources_hash())
        objects += _compile_cpu(compiler, tf, Path(work), stamp)
        built = _link(compiler, tf, objects, Path(work), nvcc if stamp.cuda else None)
        _install(built, target)
    tell(f"mrcnn-keras: built {target.name} ({'CPU and CUDA' if stamp.cuda else 'CPU'})")
    return target


def _find_compiler():
    asked = os.environ.get("CXX")
    for name in [asked] if asked else _COMPILERS:
        if shutil.which(name.split()[0]):
            return name
    tried = asked or ", ".join(_COMPILERS)
    raise BuildError(
        f"no C++ compiler found (tried {tried}): install one, for example `apt install g++`, or name it in CXX, and "
        "run `mrcnn-keras doctor --build-ops`; until then everything runs on TensorFlow's own operations"
    )


def _import_tensorflow():
    try:
        import tensorflow as tf
    except ImportError as error:
        raise BuildError(f"TensorFlow cannot be imported ({error}): install it, then build") from error
    return tf


def _find_nvcc(tf):
    wish = os.environ.get("MRCNN_KERAS_CUDA", "auto")
    if wish == "0" or (wish != "1" and not tf.test.is_built_with_cuda()):
        return None
    for home in (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"):
        if home and (Path(home) / "bin" / "nvcc").is_file():
            return str(Path(home) / "bin" / "nvcc")
    return shutil.which("nvcc")


def _compile_cpu(compiler, tf, work, stamp):
    # Contraction off where the number of samples is computed: all implementations must round alike.
    common = [*compiler.split(), "-std=c++17", "-fPIC", "-O3", "-fvisibility=hidden", "-w", "-c"]
    exact = [*common, "-ffp-contract=off"]
    flags = tf.sysconfig.get_compile_flags()
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    quoted = f'-DMRCNN_KERAS_STAMP="{stamp}"'
    isas = tuple(_ISA_FLAGS) if x86 else ("baseline",)
    dispatching = [*common, *(["-DMRCNN_KERAS_X86"] if x86 else [])]
    jobs = [
        ("roi_align/cpu_kernels", [*exact, *flags]),
        ("roi_align/roi_align_ops", [*exact, *flags, quoted]),
        ("roi_align/cpu_pool", exact),
        ("roi_align/channel_loops_dispatch", dispatching),
        ("conv3x3/cpu_kernels", [*common, *flags]),
        ("conv3x3/conv3x3_ops", [*common, *flags]),
        ("conv3x3/workspace", common),
        ("conv3x3/tile_loops_dispatch", dispatching),
        ("common/isa", dispatching),
    ]
    for loops in ("roi_align/channel_loops", "conv3x3/tile_loops"):
        jobs += [(loops, [*common, *_ISA_FLAGS[isa], f"-DMRCNN_KERAS_ISA={isa}"]) for isa in isas]
    commands = [
        [*command, str(source_dir() / f"{name}.cc"), "-o", str(work / f"{index}.o")]
        for index, (name, command) in enumerate(jobs)
    ]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(_run, commands))
    return [command[-1] for command in commands]


def _compile_cuda(nvcc, compiler, tf, work, tell):
    """Objects of the CUDA kernel and its wrapper; none, with a note, where that does not work."""
    include = Path(nvcc).resolve().parents[1] / "include"
    kernel, wrapper = str(work / "roi_align_cuda.o"), str(work / "gpu_kernels.o")
    flags = ["-std=c++17", "-O3", "-fmad=false", "-Xcompiler", "-fPIC,-fvisibility=hidden,-w", "-c"]
    folder = source_dir() / "roi_align"
    source = [str(folder / "roi_align.cu"), "-o", kernel]
    wrap = [*compiler.split(), "-std=c++17", "-fPIC", "-O2", "-fvisibility=hidden", "-w", "-c", "-DGOOGLE_CUDA=1"]
    wrap += [*tf.sysconfig.get_compile_flags(), f"-I{include}", str(folder / "gpu_kernels.cc"), "-o", wrapper]
    try:
        _run([nvcc, "-ccbin", compiler.split()[0], "-arch=all-major", "--threads=0", *flags, *source])
        _run(wrap)
    except BuildError as error:
        tell(f"mrcnn-keras: going on without the CUDA kernel: {error}")
        return []
    return [kernel, wrapper]


def _link(compiler, tf, objects, work, nvcc):
    built = work / LIBRARY_NAME
    flags = list(tf.sysconfig.get_link_flags())
    if sys.platform == "darwin":
        flags += ["-undefined", "dynamic_lookup"]
    if nvcc:
        home = Path(nvcc).resolve().parents[1]
        libraries = [home / "lib64", home / "lib", *home.glob("targets/*/lib")]
        flags += [*(f"-L{folder}" for folder in libraries), "-lcudart_static", "-ldl", "-lrt", "-lpthread"]
    _run([*compiler.split(), "-shared", "-o", str(built), *objects, *flags])
    return built


def _install(built, target):
    # Renamed into place: a running process keeps the file that it has mapped.
    part = target.with_suffix(f".{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(built, part)
        os.replace(part, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise BuildError(f"cannot write {target}: {error}") from error


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise BuildError(f"`{command[0]}` cannot be run: {error}") from error
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-20:])
        raise BuildError(f"`{' '.join(command)}` failed with status {done.returncode}:\n{tail}")
