"""Checkpoints of other systems: safe readers of their files, name maps, public ids, and the way back."""

from .checkpoint import Checkpoint, CheckpointError, read_checkpoint
from .download import DownloadError, fetch
from .loading import LoadReport
from .writing import save_checkpoint
from .zoo import PretrainedModel, all_models, find

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "DownloadError",
    "LoadReport",
    "PretrainedModel",
    "all_models",
    "fetch",
    "find",
    "read_checkpoint",
    "save_checkpoint",
]
