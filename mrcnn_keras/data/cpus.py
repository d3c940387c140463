"""How many things can be computed at the same time."""

import os


def usable_cpus() -> int:
    """CPUs that this process may use; the machine may have more."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
