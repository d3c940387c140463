"""How long each stage of a detection takes: the operations that are really run, by TensorFlow's profiler."""

import glob
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from comparison import work

# Layer of `mrcnn_keras.network` -> stage, in the order of the network.
LAYERS = {
    "normalize": "normalize",
    "backbone": "backbone",
    "fpn": "FPN",
    "rpn_head": "RPN",
    "anchors": "proposals",
    "windows": "proposals",
    "proposals_test": "proposals",
    "flatten_proposals": "proposals",
    "box_roi_align": "RoIAlign, boxes",
    "box_head": "box head",
    "detections": "detections, NMS",
    "found_rows": "detections, NMS",
    "mask_roi_align": "RoIAlign, masks",
    "mask_head": "mask head",
    "mask_probs": "mask head",
}
OTHER = "other operations"


def seconds(detect: Callable[[], Any]) -> dict[str, float]:
    """Seconds of each stage of a detection.

    A stage's time is that in which any of its operations runs: stages that run side by side are both counted, so that
    the sum can exceed "all". "rest" is the time in which none runs: Python, copies, waiting.

    Args:
        detect: one detection; it has been called before.
    """
    folder = tempfile.mkdtemp()
    import tensorflow as tf

    tf.profiler.experimental.start(folder)
    start = time.perf_counter()
    detect()
    total = time.perf_counter() - start
    tf.profiler.experimental.stop()
    (path,) = glob.glob(f"{folder}/**/*.xplane.pb", recursive=True)
    found = by_stage(_operations(path))
    python = {"preprocess": _time(_preprocess()), "paste": _time(_paste())}
    busy = found.pop("busy")
    found = {"preprocess": python["preprocess"], **found, "paste": python["paste"]}
    return {**found, "rest": max(0.0, total - busy - sum(python.values())), "all": total}


def by_stage(operations: Iterable[tuple[str, float, float]]) -> dict[str, float]:
    """Seconds in which operations of each stage run, and of any ("busy").

    Args:
        operations: name, start and end in seconds.
    """
    spans = {stage: [] for stage in (*LAYERS.values(), OTHER, "busy")}
    for name, start, end in operations:
        spans[stage_of(name)].append((start, end))
        spans["busy"].append((start, end))
    return {stage: _covered(parts) for stage, parts in spans.items()}


def stage_of(name: str) -> str:
    """The stage of an operation by the layers in its name, which Keras numbers: "mask_rcnn_1/fpn_1/..."."""
    parts = (re.sub(r"_\d+$", "", part) for part in name.split("/"))
    return next((LAYERS[part] for part in parts if part in LAYERS), OTHER)


def _covered(spans: list[tuple[float, float]]) -> float:
    covered, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered


def _operations(path: str) -> Iterator[tuple[str, float, float]]:
    """Name, start and end in seconds of the operations in a profile; other events have no "name:type"."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    with open(path, "rb") as file:
        space.ParseFromString(file.read())
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name, found, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
                if found and re.fullmatch(r"\w+(>\w+)?", kind) and ":" not in name:
                    start = line.timestamp_ns / 1e9 + event.offset_ps / 1e12
                    yield name, start, start + event.duration_ps / 1e12


def _time(call: Callable[[], Any], times: int = 5) -> float:
    found = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)


def _preprocess() -> Callable[[], Any]:
    from mrcnn_keras.inference.preprocess import prepare_images

    photo = work.photo()
    return lambda: prepare_images([photo], work.PHOTO[0], work.PHOTO[1])


def _paste() -> Callable[[], Any]:
    from mrcnn_keras.inference.paste import paste_masks

    probs, boxes = work.mask_probs(), work.paste_boxes()
    return lambda: paste_masks(probs, boxes, work.PHOTO)
