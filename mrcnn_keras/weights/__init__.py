"""Checkpoints of other systems: safe readers of their files, name maps, public ids, and the way back."""

from .loading import LoadReport
from .readers.checkpoint import Checkpoint, CheckpointError, read_checkpoint
from .writing import save_checkpoint
from .zoo.download import DownloadError, fetch
from .zoo.lookup import PretrainedModel, all_models, find

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
