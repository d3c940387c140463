"""Training: on one device, several, or several machines."""

import importlib

_HOMES = {
    "Checkpoints": "checkpoints",
    "SGD": "optimizer",
    "TrainingProgress": "progress",
    "WarmupSteps": "schedules",
    "WorkerLostError": "replicas",
    "is_chief": "cluster",
    "make_strategy": "cluster",
    "paper_schedule": "schedules",
    "store_proposals": "proposal_store",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    # Imported on first use: TensorFlow takes seconds.
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
