"""Memory and processor time of the processes that run the tests.

Each process gives free memory back after every module, and after a test in which it grew a lot. The run ends with a
table of what each one took.
"""

import ctypes
import gc
import os
import pathlib
import resource
import sys

import pytest

_MUCH = 100  # MiB
_TABLE = pytest.StashKey[dict]()


def pytest_configure(config):
    config.stash[_TABLE] = {}


def pytest_collection_finish(session):
    """Leave everything that was imported out of later garbage collections, which it makes slow."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    before = _resident()
    result = yield
    if nextitem is None or nextitem.path != item.path or _resident() - before > _MUCH:
        gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL("libc.so.6").malloc_trim(0)
    return result


def _resident():
    """Memory of this process in MiB; 0 where the system does not tell."""
    try:
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def pytest_sessionfinish(session):
    config = session.config
    if hasattr(config, "workeroutput"):  # a worker of pytest-xdist
        config.workeroutput["resources"] = _used()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    node.config.stash[_TABLE][node.gateway.id] = getattr(node, "workeroutput", {}).get("resources")


def pytest_terminal_summary(terminalreporter, config):
    terminalreporter.section("memory and processor time")
    workers = config.stash[_TABLE]
    for name, used in (workers or {"tests": _used()}).items():
        what = "ended early" if used is None else "{:,.0f} MiB at most, its child processes {:,.0f} MiB".format(*used)
        terminalreporter.line(f"{name}: {what}")
    terminalreporter.line(f"all processes: {sum(os.times()[:4]):.0f} CPU seconds")


def _used():
    """Largest resident memory of this process and of any of its children, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    whose = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return tuple(resource.getrusage(who).ru_maxrss * unit / 2**20 for who in whose)
