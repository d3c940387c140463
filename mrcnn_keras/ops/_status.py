"""Which operations are in use here, for `mrcnn-keras doctor` and bug reports."""

from dataclasses import dataclass

from mrcnn_keras.ops import _choice, _library, build


@dataclass(frozen=True)
class Status:
    """What `status` returns."""

    implementation: str  # "compiled" or "tensorflow": what "auto" takes here and now
    reason: str
    library: str  # path of the compiled operations, whether they are there or not
    built_for: str | None  # the TensorFlow it was built for
    cuda: bool  # whether it has a CUDA kernel
    remedy: str | None  # what to do to get the compiled operations, None where they are in use

    def __str__(self) -> str:
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"operations: {self.implementation} ({self.reason}{remedy})"


def status() -> Status:
    """Which implementation `implementation="auto"` takes, and why.

    Returns: a `Status`; printed, it is one line.
    """
    library, reason = _library.load(), _library.why_not()
    wish, source = _choice.requested()
    remedy = _library.REMEDY if reason is not None and wish != "tensorflow" else None
    if wish == "auto":
        implementation = "tensorflow" if reason else "compiled"
        reason = reason or library.reason
    else:
        implementation, reason = wish, f"{source} asks for it" + (f", but {reason}" if remedy else "")
    stamp = library.stamp or build.Stamp("", False, "")
    return Status(implementation, reason, str(build.library_path()), stamp.tensorflow or None, stamp.cuda, remedy)
