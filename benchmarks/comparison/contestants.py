"""Who can take part, in which work, with how much memory, and how to install whoever is absent."""

import dataclasses
import subprocess
from collections.abc import Sequence

REFERENCE = "ours"
WORKLOADS = ("inference", "training", "roi_align", "paste")
PEAK = "peak"


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One row of the tables.

    Attributes:
        name: in the tables and on the command line.
        module: file of `peers/`.
        package: what its interpreter must be able to import.
        install: command that installs the package.
        interpreter: the option that names the interpreter, without "-python"; empty: the referee's own.
        gib: workload that it takes part in -> memory that it needs.
        variant: the module's.
    """

    name: str
    module: str
    package: str
    install: str
    interpreter: str
    gib: dict[str, float]
    variant: str = ""

    def command(self, python: str, workload: str) -> list[str]:
        """What to start."""
        variant = ["--variant", self.variant] if self.variant else []
        return [python, "-m", f"peers.{self.module}", workload, *variant]


_OURS = {"module": "ours", "package": "mrcnn_keras", "install": "pip install -e .", "interpreter": ""}
_TORCH = {
    "module": "torchvision_peer",
    "package": "torchvision",
    "install": "pip install torch torchvision",
    "interpreter": "torch",
}
_DETECTRON2 = {
    "module": "detectron2_peer",
    "package": "detectron2",
    "install": "pip install --no-build-isolation git+https://github.com/facebookresearch/detectron2",
    "interpreter": "detectron2",
}
_SMALL = {"roi_align": 2.5, "paste": 1.0}
_PEAK = {PEAK: 1.0}

CONTESTANTS = (
    Contestant(REFERENCE, **_OURS, gib={"inference": 2.5, "training": 5.0, **_SMALL, **_PEAK}),
    Contestant("ours-bfloat16", **_OURS, gib={"inference": 2.5, "training": 4.5, "roi_align": 2.5}, variant="bfloat16"),
    Contestant("torchvision", **_TORCH, gib={"inference": 2.5, "training": 5.0, **_SMALL, **_PEAK}),
    Contestant(
        "torchvision-channels-last", **_TORCH, gib={"inference": 2.5, "training": 5.0, "roi_align": 2.5, **_PEAK},
        variant="channels_last",
    ),
    Contestant(
        "model-garden", "model_garden", "official", "pip install tf-models-official", "model-garden",
        {"inference": 3.0, "training": 8.5, **_SMALL},
    ),
    Contestant("detectron2", **_DETECTRON2, gib={"inference": 2.5, "training": 6.0, **_SMALL}),
    Contestant(
        "detectron2-channels-last", **_DETECTRON2, gib={"inference": 2.5, "training": 6.0}, variant="channels_last"
    ),
    Contestant("crop-and-resize", "crop_and_resize", "tensorflow", "pip install tensorflow", "", {"roi_align": 2.5}),
)  # fmt: skip


def installed(contestant: Contestant, python: str) -> bool:
    """Whether that interpreter finds the contestant's package, without importing it."""
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({contestant.package!r}) is None)"
    try:
        return subprocess.run([python, "-c", code], capture_output=True).returncode == 0
    except OSError:
        return False


def probes(contestants: Sequence[Contestant]) -> list[Contestant]:
    """Those whose libraries measure what convolutions reach, one a library."""
    return list({c.module: c for c in reversed(contestants) if PEAK in c.gib}.values())[::-1]


def heats(contestants: Sequence[Contestant], workload: str, budget: float) -> list[list[Contestant]]:
    """Groups that fit into the memory together, with the reference in each.

    Args:
        contestants: those that take part; the reference, if it is among them, need not be the first.
        workload: the work that they do.
        budget: GiB for a group; one that is too large even with the reference alone is a group all the same.
    """
    reference = [c for c in contestants if c.name == REFERENCE]
    groups, used = [], 0.0
    for contestant in contestants:
        if contestant in reference:
            continue
        need = contestant.gib[workload]
        if not groups or used + need > budget:
            groups.append(list(reference))
            used = sum(c.gib[workload] for c in reference)
        groups[-1].append(contestant)
        used += need
    return groups or [reference] * bool(reference)
