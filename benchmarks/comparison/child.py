"""The contestant's side of the protocol: a process that answers words on its standard input with lines of JSON.

It builds its work, does each case once and says so ("ready"). Then "run" has every case done and timed once more, and
"end" is answered with the peak memory and with what the work consisted of. What libraries print goes to the errors.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

STARTED = "COMPARISON_STARTED"
SHORTEST = 0.2  # seconds; shorter cases are repeated

_aside = 0.0


@dataclasses.dataclass
class Work:
    """What one process measures.

    Attributes:
        cases: name -> function that does the work once.
        count: what was done, by name; asked for after the measurements.
    """

    cases: dict[str, Callable[[], Any]]
    count: Callable[[], dict[str, Any]] = dict


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """Preparations of the benchmark, no part of a contestant's start."""
    global _aside
    start = time.perf_counter()
    yield
    _aside += time.perf_counter() - start


def serve(workloads: dict[str, Callable[[str], Work]], versions: Callable[[], dict[str, str]]) -> None:
    """Answer until "end" or the end of the input.

    Args:
        workloads: name -> function of the variant that prepares the work.
        versions: name -> version of what is measured.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=workloads)
    parser.add_argument("--variant", default="")
    args = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    work = workloads[args.workload](args.variant)
    for call in work.cases.values():
        call()
    cold_start = time.time() - float(os.environ.get(STARTED, time.time())) - _aside
    _tell(answers, versions=versions(), cold_start=cold_start)
    for word in sys.stdin:
        if word.strip() == "run":
            _tell(answers, cases={name: measure(call) for name, call in work.cases.items()})
        elif word.strip() == "end":
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            _tell(answers, peak_gib=peak, counts=work.count())
            return


def measure(call: Callable[[], Any], shortest: float = SHORTEST) -> dict[str, float]:
    """Seconds of the clock and of the processor that one call takes, the mean of as many as fill `shortest`."""
    calls, start, used = 0, time.perf_counter(), _processor_time()
    while calls == 0 or time.perf_counter() - start < shortest:
        call()
        calls += 1
    return {"wall": (time.perf_counter() - start) / calls, "cpu": (_processor_time() - used) / calls}


def _processor_time() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _tell(answers, **values: Any) -> None:
    answers.write(json.dumps(values) + "\n")
