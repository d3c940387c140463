"""The compiled operations: loading the library, if it fits, calling them, and their gradients."""

import functools
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import tensorflow as tf

from mrcnn_keras.ops import build

REMEDY = "`mrcnn-keras doctor --build-ops` builds it for this machine"

_lock = threading.Lock()
_warned: set[str] = set()


@dataclass(frozen=True)
class Library:
    """The loaded operations, or None and the reason why not."""

    module: ModuleType | None
    reason: str
    stamp: build.Stamp | None = None
    path: Path | None = None


def load() -> Library:
    """The compiled operation of this installation, loaded at the first call."""
    with _lock:
        return _load()


@functools.lru_cache(maxsize=1)
def _load():
    path = build.library_path()
    if not path.is_file():
        return Library(None, f"the library {path.name} of compiled operations was not built at installation")
    stamp = build.read_stamp(path)
    if stamp is None:
        return Library(None, f"{path.name} does not say what it was built for")
    if stamp.tensorflow != tf.__version__:
        reason = f"{path.name} was built for TensorFlow {stamp.tensorflow}, this is {tf.__version__}"
        return Library(None, reason, stamp)
    try:
        if stamp.sources != build.sources_hash():
            return Library(None, f"{path.name} was built from other sources than this package's", stamp)
        return Library(tf.load_op_library(str(path)), "it is built and loaded", stamp, path)
    except (tf.errors.OpError, RuntimeError, OSError) as error:
        return Library(None, f"{path.name} does not load: {error}", stamp)


def why_not() -> str | None:
    """Why "auto" does not take the compiled operation; None where it does."""
    library = load()
    if library.module is None:
        return library.reason
    if not library.stamp.cuda and tf.config.get_visible_devices("GPU"):
        return "it was built without CUDA, and there is a GPU"
    return None


def usable() -> bool:
    """Whether "auto" takes the compiled operation; where not, a warning says so once."""
    reason = why_not()
    if reason is not None and reason not in _warned:
        _warned.add(reason)
        warnings.warn(
            f"RoIAlign and 3x3 convolutions run on TensorFlow's own operations, which is slower: {reason}; {REMEDY}, "
            "and MRCNN_KERAS_OPS=tensorflow silences this warning",
            RuntimeWarning,
            stacklevel=2,
        )
    return reason is None


def require() -> ModuleType:
    """The loaded operations.

    Raises:
        RuntimeError: they are not available; the message says why and what to do.
    """
    library = load()
    if library.module is None:
        raise RuntimeError(f'implementation "compiled" is not available: {library.reason}; {REMEDY}')
    return library.module


def roi_align_compiled(feature_maps, boxes, image_index, level, spec) -> tf.Tensor:
    """Calls the compiled operation; see `multilevel_roi_align`."""
    return require().mrcnn_keras_roi_align(
        feature_maps=feature_maps,
        boxes=boxes,
        image_index=image_index,
        level=level,
        scales=spec.scales,
        output_height=spec.output_size[0],
        output_width=spec.output_size[1],
        sampling_ratio=spec.sampling_ratio,
        aligned=spec.aligned,
        reduce=spec.reduce,
        method=spec.method,
    )


@tf.RegisterGradient("MrcnnKeras>RoiAlign")
def _roi_align_gradient(op, upstream):
    *maps, boxes, image_index, level = op.inputs
    names = ("scales", "output_height", "output_width", "sampling_ratio", "aligned", "reduce", "method")
    attributes = {name: op.get_attr(name) for name in names}
    gradients = require().mrcnn_keras_roi_align_grad(
        gradient=upstream,
        feature_maps=maps,
        boxes=boxes,
        image_index=image_index,
        level=level,
        **attributes,
    )
    return [*gradients, None, None, None]


def conv3x3_compiled(inputs, kernel, bias, relu) -> tf.Tensor:
    """Calls the compiled operation; see `conv3x3`."""
    bias = tf.zeros(kernel.shape[3]) if bias is None else bias
    return require().mrcnn_keras_conv3x3(inputs=inputs, filter=kernel, bias=bias, relu=relu)


@tf.RegisterGradient("MrcnnKeras>Conv3x3")
def _conv3x3_gradient(op, upstream):
    inputs, kernel, _ = op.inputs
    if op.get_attr("relu"):
        upstream = tf.raw_ops.ReluGrad(gradients=upstream, features=op.outputs[0])
    none = tf.zeros(kernel.shape[2])
    return [
        require().mrcnn_keras_conv3x3(inputs=upstream, filter=kernel, bias=none, turned=True),
        require().mrcnn_keras_conv3x3_filter_grad(inputs=inputs, gradient=upstream),
        tf.reduce_sum(upstream, axis=[0, 1, 2]),
    ]
