"""`fit` of a training that has several stages; `stages` says which."""

import contextlib
import functools
import math
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras

from ..data.dataset import Dataset
from ..evaluation import CityscapesEvaluation, CocoEvaluation
from .checkpoint_files import checkpoint_paths, stage_folders
from .checkpoints import Checkpoints
from .proposal_store import store_proposals
from .replicas import spans_workers
from .stages import Stage

Files = dict[str, pathlib.Path | None]  # proposals of "train" and "validation"


def fit_in_stages(
    model: Any,
    stages: Sequence[Stage],
    fit_stage: Callable[..., keras.callbacks.History],
    datasets: Mapping[str, Any],
    given: Files,
    epochs: int,
    callbacks: Sequence[Any],
) -> keras.callbacks.History:
    """Train one stage after the other, each for so many epochs and with an optimizer of its own.

    The states of the stages before the last are in folders beside those of the last, so a training that was stopped
    goes on in the stage that it was in.

    Args:
        model: compiled `MaskRCNN`.
        stages: of `stages_of`.
        fit_stage: trains the stage that the model has entered, with the arguments `callbacks`, `first_epoch` and
            `proposals`, which it calls when the model has the weights that the stage goes on from.
        datasets: "train" and "validation", as `fit` was given them.
        given: files of proposals that `fit` was given.
        epochs: of each stage.
        callbacks: of `fit`.

    Returns: the history of all stages, their epochs counted on, nan where a stage does not have a value.
    """
    _check(model, stages, datasets, given)
    guards = _guards(callbacks, stages)
    begun = [number for number, guard in enumerate(guards) if guard is not None and guard.has_states]
    first = max(begun, default=0)
    histories = []
    with _folder(guards) as folder:
        for number in range(first, len(stages)):
            stage, files = stages[number], functools.partial(dict.fromkeys, datasets)
            print(f"stage {number + 1} of {len(stages)}: {stage.name}", file=sys.stderr)
            if len(stages) > 1 or model.stage != stage:  # else it goes on, as other trainings do
                model.enter_stage(stage)
            if stage.stored and number == 0:
                files = functools.partial(dict, given)
            elif stage.stored:
                files = functools.partial(_store, model, stage, datasets, folder, number in begun)
            own = [guards[number] if isinstance(one, Checkpoints) else one for one in callbacks]
            if stage.first or not stage.heads:  # it does not detect, or not with the RPN that has learned
                own = [one for one in own if not isinstance(one, (CocoEvaluation, CityscapesEvaluation))]
            for one in own if number > first else ():
                if isinstance(one, keras.callbacks.ModelCheckpoint):
                    one.best = None  # the losses of other stages are other ones
            histories.append(fit_stage(callbacks=own, first_epoch=number * epochs, proposals=files))
    return _together(histories)


def _check(model: Any, stages: Sequence[Stage], datasets: Mapping[str, Any], given: Files) -> None:
    if not any(stage.stored for stage in stages):
        return
    if model.config.box_inclusive:
        raise ValueError("models with box_inclusive train on live proposals only, not on files or stored ones")
    for name, dataset in datasets.items():
        if dataset is not None and not isinstance(dataset, Dataset):
            raise ValueError(f"stored proposals are found by the images' names, so the {name} data must be an "
                             f"mrcnn_keras.data.Dataset, not a {type(dataset).__name__}")  # fmt: skip
        if given["train"] is not None and dataset is not None and given[name] is None:
            raise ValueError("validation_data needs validation_proposals, since the RPN is not trained")
    writes = any(stage.stored for stage in stages[given["train"] is not None :])
    if writes and spans_workers(model.distribute_strategy):
        raise ValueError("stage_proposals='stored' is for one process; take 'live', or write the proposals with "
                         "mrcnn-keras proposals and give fit the file")  # fmt: skip


def _guards(callbacks: Sequence[Any], stages: Sequence[Stage]) -> list[Checkpoints | None]:
    """What keeps the states of each stage."""
    guard = next((one for one in callbacks if isinstance(one, Checkpoints)), None)
    if guard is None:
        return [None] * len(stages)
    guards = [*(guard.of_stage(number, stage.name) for number, stage in enumerate(stages[:-1], start=1)), guard]
    own = [one.folder for one in guards]
    for folder in stage_folders(guard.folder):
        if folder not in own and checkpoint_paths(folder):
            raise ValueError(f"{folder} has the states of a training in other stages than {_names(stages)}; go on with "
                             "its settings and proposals, or choose another folder")  # fmt: skip
    return guards


def _names(stages: Sequence[Stage]) -> str:
    return ", ".join(stage.name for stage in stages)


@contextlib.contextmanager
def _folder(guards: Sequence[Checkpoints | None]) -> Iterator[pathlib.Path]:
    """Where proposals are kept between two stages."""
    if guards[-1] is not None:
        guards[-1].folder.mkdir(parents=True, exist_ok=True)
        yield guards[-1].folder
        return
    with tempfile.TemporaryDirectory() as folder:
        yield pathlib.Path(folder)


def _store(model: Any, stage: Stage, datasets: Mapping[str, Any], folder: pathlib.Path, begun: bool) -> Files:
    """The files with what the RPN finds, made unless the stage has already been trained on them."""
    files = {}
    for name, dataset in datasets.items():
        path = folder / f"{stage.name}-{name}-proposals.h5"
        files[name] = None if dataset is None else path
        if dataset is not None and not (begun and path.is_file()):
            print(f"proposals of {len(dataset)} images for {path.name}", file=sys.stderr)
            store_proposals(model, dataset, path, first_rpn=stage.first, verbose=sys.stdout.isatty())
    return files


def _together(histories: Sequence[keras.callbacks.History]) -> keras.callbacks.History:
    whole = keras.callbacks.History()
    whole.set_model(histories[-1].model)
    whole.params = histories[-1].params
    whole.epoch = [epoch for history in histories for epoch in history.epoch]
    names = dict.fromkeys(name for history in histories for name in history.history)
    for name in names:
        columns = (history.history.get(name, [math.nan] * len(history.epoch)) for history in histories)
        whole.history[name] = [value for column in columns for value in column]
    return whole
