"""The machine that the numbers belong to."""

import os
import platform


def processor() -> str:
    """Name of the processor."""
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def free_memory() -> float:
    """GiB that programs may still take; infinite where it cannot be told."""
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 2**20
    except (OSError, StopIteration):
        return float("inf")


def describe() -> dict[str, str]:
    """Name -> text."""
    return {"processor": processor(), "cores": str(os.cpu_count()), "C library": " ".join(platform.libc_ver())}
