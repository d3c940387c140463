"""Command lines in this process, and in another that has not imported TensorFlow."""

import json
import pathlib
import subprocess
import sys

from mrcnn_keras import cli

ROOT = pathlib.Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "samples"

_CHILD = """
import contextlib, importlib, io, json, sys

told = []
for module, words in json.load(sys.stdin):
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        status = importlib.import_module(module).main(words)
    imported = sorted({"tensorflow", "keras"} & sys.modules.keys())
    told.append({"status": status, "output": output.getvalue(), "imported": imported})
json.dump(told, sys.stdout)
"""


def run(*words) -> int:
    """Run `mrcnn-keras` with some words of any type; returns the exit status."""
    return cli.main([str(word) for word in words])


def run_without_tensorflow(calls) -> list[dict]:
    """Run command lines one after the other in a fresh process in the folder of the samples.

    Args:
        calls: of each command line the module with its `main`, and its words.

    Returns: of each its exit "status", its "output" with its errors, and which of TensorFlow and
    Keras were "imported" at its end.
    """
    given = json.dumps([(module, [str(word) for word in words]) for module, words in calls])
    pipes = {"input": given, "capture_output": True, "text": True}
    child = subprocess.run([sys.executable, "-c", _CHILD], cwd=SAMPLES, **pipes)
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)
