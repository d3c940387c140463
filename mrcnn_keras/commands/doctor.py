"""`mrcnn-keras doctor`: what is installed, which operations run and why, and how much room there is."""

import argparse
import importlib.metadata
import os
import pathlib
import platform
import shutil
import sys
from collections.abc import Iterator

from mrcnn_keras.commands.precision_advice import precision_advice
from mrcnn_keras.commands.quiet import import_tensorflow
from mrcnn_keras.weights.zoo.cache import CACHE_VARIABLE, cache_folder

HELP = "report versions, devices, the operations in use and free room"
_PACKAGES = ("keras", "numpy", "pillow", "pycocotools", "matplotlib", "scikit-image")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("--build-ops", action="store_true", help="compile the operations first")


def run(args: argparse.Namespace) -> int:
    """Print the report; 1 if TensorFlow cannot be imported or the build failed."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    try:
        import_tensorflow()
    except ImportError as error:
        print(f"TensorFlow cannot be imported: {error}", file=sys.stderr)
        print(f"Install it anew: {sys.executable} -m pip install --force-reinstall tensorflow", file=sys.stderr)
        return 1
    built = _build_ops() if args.build_ops else True
    table = Table("", "", show_header=False)
    for name, value in (*_versions(), *_devices(), *_operations(), *_room()):
        table.add_row(name, Text(value))  # a reason may hold [brackets]
    console.print(table)
    return 0 if built else 1


def free_memory() -> int | None:
    """Bytes that a new process may use, counting this container's limit; None where the system does not say."""
    amounts = []
    try:
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
        amounts += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except OSError:
        pass
    group = pathlib.Path("/sys/fs/cgroup")
    try:
        amounts.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):  # there is no such limit
        pass
    return min(amounts, default=None)


def _build_ops() -> bool:
    from mrcnn_keras.ops.build import build_ops

    try:
        build_ops()
    except RuntimeError as error:
        print(f"the build failed: {error}", file=sys.stderr)
        return False
    return True


def _versions() -> Iterator[tuple[str, str]]:
    import tensorflow as tf

    import mrcnn_keras

    yield "mrcnn_keras", f"{mrcnn_keras.__version__} in {pathlib.Path(mrcnn_keras.__file__).parent}"
    yield "Python", f"{platform.python_version()}, {sys.executable}"
    yield "system", f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    yield "tensorflow", tf.__version__
    for name in _PACKAGES:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield name, "not installed"


def _devices() -> Iterator[tuple[str, str]]:
    import tensorflow as tf

    for device in tf.config.list_physical_devices():
        details = tf.config.experimental.get_device_details(device)
        yield device.name.partition(":")[2], details.get("device_name", device.device_type)
    if not tf.config.list_physical_devices("GPU"):
        remedy = f"; try {sys.executable} -m pip install 'tensorflow[and-cuda]=={tf.__version__}'"
        has_driver = pathlib.Path("/proc/driver/nvidia").exists()
        yield "GPU", "none that TensorFlow can use" + (remedy if has_driver else "")


def _operations() -> Iterator[tuple[str, str]]:
    from mrcnn_keras import ops

    status = ops.status()
    yield "operations", status.implementation
    yield "because", status.reason
    if status.remedy:
        yield "remedy", status.remedy
    if status.built_for:
        yield (
            "compiled for",
            f"tensorflow {status.built_for}, {'CPU and CUDA' if status.cuda else 'CPU'}: {status.library}",
        )
    yield "bfloat16", precision_advice()


def _room() -> Iterator[tuple[str, str]]:
    cache = cache_folder()
    there = cache
    while not there.exists():
        there = there.parent
    yield "cache folder", f"{cache}{'' if cache.exists() else ' (not made yet)'}, ${CACHE_VARIABLE} moves it"
    memory = free_memory()
    yield "free memory", "unknown" if memory is None else f"{memory / 2**30:.1f} GiB"
    yield "free disk", f"{shutil.disk_usage(there).free / 2**30:.1f} GiB at the cache folder"
