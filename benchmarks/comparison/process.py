"""A contestant's process as the referee sees it."""

import json
import os
import pathlib
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from comparison.child import STARTED

BENCHMARKS = pathlib.Path(__file__).resolve().parent.parent
TUNED = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=34359738368:"
    "glibc.malloc.top_pad=268435456:glibc.malloc.arena_max=1"
)
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


class ContestantError(Exception):
    """A contestant that cannot go on; the message says what it said last."""


def environment(threads: int, allocator: str) -> dict[str, str]:
    """Variables of a contestant: the same threads for all, no GPU, and glibc's settings ("stock" or "tuned")."""
    given = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    variables = dict(os.environ, PYTHONPATH=os.pathsep.join([str(BENCHMARKS), str(BENCHMARKS.parent), *given]))
    variables.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    variables.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="2", PYTHONWARNINGS="ignore")
    variables.pop("GLIBC_TUNABLES", None)
    if allocator == "tuned":
        variables["GLIBC_TUNABLES"] = TUNED
    return variables


class Process:
    """A contestant that has been started.

    Args:
        command: what to run.
        variables: its environment.
        timeout: seconds that one answer may take.
    """

    def __init__(self, command: Sequence[str], variables: Mapping[str, str], timeout: float = 900):
        self.timeout = timeout
        self._errors = tempfile.TemporaryFile()
        variables = {**variables, STARTED: repr(time.time())}
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(
            command, env=variables, cwd=BENCHMARKS, stdin=pipe, stdout=pipe, stderr=self._errors, text=True
        )

    def answer(self) -> dict[str, Any]:
        """The next line.

        Raises:
            ContestantError: there is none in time, or it is no JSON.
        """
        timer = threading.Timer(self.timeout, self._child.kill)
        timer.start()
        line = self._child.stdout.readline()
        late = not timer.is_alive()
        timer.cancel()
        try:
            return json.loads(line)
        except ValueError:
            reason = f"no answer in {self.timeout:g} s" if late else self._last_words(line)
            self.stop()
            raise ContestantError(reason) from None

    def ask(self, word: str) -> dict[str, Any]:
        """Send "run" or "end" and wait for the answer.

        Raises:
            ContestantError: as `answer`.
        """
        try:
            self._child.stdin.write(word + "\n")
            self._child.stdin.flush()
        except OSError:
            pass  # it has ended; `answer` says how
        return self.answer()

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self._child.kill()
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout, self._errors):
            try:
                stream.close()
            except OSError:
                pass

    def _last_words(self, line: str) -> str:
        status = self._child.wait() if not line else None
        self._errors.seek(0)
        said = [text for text in self._errors.read().decode(errors="replace").splitlines() if text.strip()]
        last = said[-1].strip() if said else "it said nothing"
        return f"unexpected answer {line.strip()!r}" if line else f"ended with status {status}: {last}"
