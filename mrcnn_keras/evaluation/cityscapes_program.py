"""The functions of cityscapesscripts' instance evaluation, image by image and without its files and globals."""

import copy
import os
import pathlib
import types
import warnings
from typing import Any

import numpy as np

_PROGRAM = "cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling"


class InstanceEvaluation:
    """Matches results with the truth image by image; what remains of an image is a few numbers for each object."""

    def __init__(self):
        self._program = _load_program()
        self._args = self._program.args
        self._args.quiet = True
        self._program.setInstanceLabels(self._args)
        self._matches: dict[str, dict] = {}

    def add(self, name: str, listing: pathlib.Path, instance_ids: pathlib.Path) -> None:
        """Match the results of one image.

        Args:
            name: of the image; one with the same name is replaced.
            listing: text file of the results, in the root of the result folder.
            instance_ids: the *_gtFine_instanceIds.png.
        """
        self._args.predictionPath = os.path.abspath(listing.parent)
        truth = self._program.instances2dict([str(instance_ids)], False)
        matches = self._program.matchGtWithPreds([str(listing)], [str(instance_ids)], truth, self._args)
        (self._matches[name],) = matches.values()

    def metrics(self) -> dict[str, Any]:
        """`{"AP": ..., "AP50": ..., "classes": {name: {"AP": ..., "AP50": ...}}}`, in 0..1 or nan."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Mean of empty slice")  # no class has an object
            averages = self._program.computeAverages(self._precisions(), self._args)
        classes = {name: _pair(values, "ap", "ap50%") for name, values in averages["classes"].items()}
        return _pair(averages, "allAp", "allAp50%") | {"classes": classes}

    def _precisions(self) -> np.ndarray:
        """float64 (1, classes, overlaps)."""
        try:
            return self._program.evaluateMatches(self._matches, self._args)
        except IndexError:
            return np.array([[[self._precision(name, at) for at in self._args.overlaps]
                              for name in self._args.instLabels]])  # fmt: skip

    def _precision(self, name: str, overlap: float) -> float:
        args = copy.copy(self._args)
        args.instLabels, args.overlaps = [name], [overlap]
        try:
            return self._program.evaluateMatches(self._matches, args).item()
        except IndexError:
            # The program fails where all detections of a class are ignored and no object of it is found.
            return 0.0


class _Numpy:
    """numpy with `in1d`, which cityscapesscripts 2.3 calls and numpy 2.4 no longer has."""

    in1d = staticmethod(np.isin)

    def __getattr__(self, name: str):
        return getattr(np, name)


def _load_program() -> types.ModuleType:
    """A copy of the program's module that nobody else sees or sets."""
    import importlib.util

    spec = importlib.util.find_spec(_PROGRAM)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    program.np = _Numpy()
    return program


def _pair(values: dict, average: str, at_half: str) -> dict[str, float]:
    return {"AP": float(values[average]), "AP50": float(values[at_half])}
