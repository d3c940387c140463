"""Doing the trainings and tests of many recipes: each once, in an order in which what one needs comes before it."""

import concurrent.futures
import json
import multiprocessing
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from _recipe_runs import limit_threads, model_file, train_and_test
from _recipes import key, plain, prerequisites

from mrcnn_keras.data.cpus import usable_cpus


class Results:
    """What was measured so far, in a file.

    Args:
        path: of the file; read if it exists.
    """

    def __init__(self, path: pathlib.Path):
        self.path = path
        self.found = json.loads(path.read_text()) if path.exists() else {"tests": [], "seconds": {}}

    def find(self, training: Mapping[str, Any], test: Mapping[str, Any]) -> dict[str, float] | None:
        """The metrics of a test by column, each in 0..1, or None."""
        this = {"training": key(training), "test": plain(test)}
        same = (one for one in self.found["tests"] if {name: one[name] for name in this} == this)
        return next((one["metrics"] for one in same), None)

    def seconds(self, training: Mapping[str, Any]) -> float | None:
        """How long a training took, where that is known."""
        return self.found["seconds"].get(key(training))

    def add(self, training: Mapping[str, Any], tests: Sequence[Mapping[str, Any]], done: Mapping[str, Any]) -> None:
        """Keep what `train_and_test` returned."""
        name = key(training)
        if done["seconds"] is not None:
            self.found["seconds"][name] = round(done["seconds"], 1)
        for test, (metrics, seconds) in zip(tests, done["tests"], strict=True):
            one = {"training": name, "test": plain(test), "metrics": metrics, "seconds": round(seconds, 1)}
            self.found["tests"].append(one)
        beside = self.path.with_suffix(".new")
        beside.write_text(json.dumps(self.found, indent=1) + "\n")
        beside.replace(self.path)


def do_all(wanted: Sequence[tuple[str, dict, dict]], results: Results, out: pathlib.Path, at_once: int) -> int:
    """Do what has not been done yet, in processes of their own.

    Args:
        wanted: for each its name, training and test.
        results: where results go.
        out: folder of the run.
        at_once: trainings at the same time.

    Returns: how many trainings failed or lack what they need; the others are done all the same.
    """
    jobs = _missing(wanted, results, out)
    print(f"{len(jobs)} trainings or tests of trained models to do", flush=True)
    failed, done, count = set(), 0, len(jobs)
    with _pool(at_once) as pool:
        running: dict[Any, str] = {}
        while jobs or running:
            for name in [name for name, (_, training, _) in jobs.items() if _ready(training, out, failed)]:
                title, training, tests = jobs.pop(name)
                running[pool.submit(train_and_test, training, tests, out)] = (name, title, training, tests)
            if not running:  # what is left needs what has failed
                failed |= set(jobs)
                break
            for future in concurrent.futures.wait(running, return_when="FIRST_COMPLETED").done:
                name, title, training, tests = running.pop(future)
                done += 1
                if not _keep(future, f"[{done}/{count}] {title}", training, tests, results):
                    failed.add(name)
    return len(failed)


def _missing(wanted: Sequence[tuple[str, dict, dict]], results: Results, out: pathlib.Path) -> dict[str, list]:
    """By the trainings' keys: title, training, and the tests of it that are not done."""
    jobs: dict[str, list] = {}

    def want(title: str, training: dict) -> list:
        for needed in prerequisites(training):
            if not model_file(out, needed).is_file():
                want(f"for {title}", needed)
        return jobs.setdefault(key(training), [title, training, []])

    for title, training, test in wanted:
        if results.find(training, test) is None:
            tests = want(title, training)[2]
            if test not in tests:
                tests.append(test)
    return jobs


def _ready(training: Mapping[str, Any], out: pathlib.Path, failed: set[str]) -> bool:
    needed = prerequisites(training)
    return all(model_file(out, one).is_file() and key(one) not in failed for one in needed)


def _keep(future: Any, title: str, training: dict, tests: list[dict], results: Results) -> bool:
    """Keep and print what a process has done; False if it failed."""
    try:
        found = future.result()
    except Exception as error:  # one that fails must not lose the others
        print(f"{title}: failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return False
    results.add(training, tests, found)
    shown = "; ".join(_averages(metrics) for metrics, _ in found["tests"])
    seconds = (found["seconds"] or 0) + sum(one for _, one in found["tests"])
    print(f"{title}: {shown or 'trained'} ({seconds / 60:.1f} min)", flush=True)
    return True


def _averages(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{column} {100 * value:.1f}" for column, value in metrics.items() if column.endswith("AP"))


class _Processes(concurrent.futures.ThreadPoolExecutor):
    """Does each job in a process of its own, with which all that TensorFlow has kept of it ends."""

    def submit(self, function: Any, *arguments: Any) -> concurrent.futures.Future:
        """As of every executor."""
        return super().submit(self._in_process, function, *arguments)

    def _in_process(self, function: Any, *arguments: Any) -> Any:
        settings = {"mp_context": multiprocessing.get_context("spawn"), "initializer": limit_threads}
        settings["initargs"] = (max(1, usable_cpus() // self._max_workers),)
        with concurrent.futures.ProcessPoolExecutor(1, **settings) as process:
            return process.submit(function, *arguments).result()


def _pool(at_once: int) -> concurrent.futures.Executor:
    return _Processes(at_once)
