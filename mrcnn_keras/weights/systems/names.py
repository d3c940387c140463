"""Tables that pair the names of a checkpoint's tensors with the paths of our variables, read in both directions."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping

# No ResNet in use has more blocks in a stage (ResNet-152: 36), and no head more convolutions.
MAX_BLOCKS = 64
MAX_CONVS = 12
STAGES = (2, 3, 4, 5)

TORCH_CONV = {"weight": "kernel", "bias": "bias"}
TORCH_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
KERAS_CONV = {"kernel": "kernel", "bias": "bias"}
KERAS_NORM = {name: name for name in ("gamma", "beta", "moving_mean", "moving_variance")}


@dataclasses.dataclass(frozen=True)
class NameMap:
    """Names of one system.

    Attributes:
        modules: their module -> our layer's path; a path that ends in "/norm" is a normalisation's.
        separator: between a module and the last part of a tensor's name.
        conv, norm: their last part of a name -> ours, for convolutions (and fully connected layers) and for norms.
    """

    modules: Mapping[str, str]
    separator: str = "."
    conv: Mapping[str, str] = dataclasses.field(default_factory=lambda: TORCH_CONV)
    norm: Mapping[str, str] = dataclasses.field(default_factory=lambda: TORCH_NORM)

    def ours(self, name: str) -> str | None:
        """The path of our variable for a tensor's name; None for a name that the table does not know."""
        module, _, leaf = name.rpartition(self.separator)
        path = self.modules.get(module)
        leaf = path and (self.norm if path.endswith("/norm") else self.conv).get(leaf)
        return f"{path}/{leaf}" if leaf else None

    def theirs(self, path: str) -> str | None:
        """The tensor's name for one of our variables; None for a path that the table does not know."""
        layer, _, leaf = path.rpartition("/")
        module = self._modules_of.get(layer)
        leaves = self.norm if layer.endswith("/norm") else self.conv
        leaf = next((theirs for theirs, ours in leaves.items() if ours == leaf), None)
        return f"{module}{self.separator}{leaf}" if module and leaf else None

    @functools.cached_property
    def _modules_of(self) -> dict[str, str]:
        return {ours: theirs for theirs, ours in self.modules.items()}


def with_norms(modules: Iterable[tuple[str, str]], norm: str = ".norm") -> dict[str, str]:
    """Modules and, under each, its norm, where a system hangs the norm into the convolution."""
    pairs = list(modules)
    return dict(pairs) | {f"{theirs}{norm}": f"{ours}/norm" for theirs, ours in pairs}
