"""States of a training on disk, from which it goes on as if it had never been stopped."""

import contextlib
import errno
import os
import pathlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from . import checkpoint_files as files
from .cluster import is_chief
from .replicas import lost_worker, same_on_all_workers, spans_workers
from .restoring import load_checkpoint, newest_checkpoint
from .stopping import Terminator

# The metric by which a model is the best: the first of these that is there.
_METRICS = ("val_keypoints_AP", "val_segm_AP", "val_bbox_AP")
# What the system says where older states can make room for a new one.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Checkpoints(keras.callbacks.Callback):
    """Writes the training's state while `MaskRCNN.fit` runs, and makes `fit` go on from the newest one.

    A state is all that the rest of the training depends on: weights, optimizer, step, place in the data and count of
    random draws. On the same machine the resumed run ends with the very weights of one that was never stopped. The
    folder holds the newest states as `step-00001000.keras`, ..., `last.keras`, another name of the newest of them, and
    `best.keras`; each is a model for `MaskRCNN.load`, written whole or not at all.

    A state is also written when `fit` ends, by itself or by an error, when the user interrupts it, and on SIGTERM,
    which ends the process with status 143 after the step at hand.

    `epochs` of `fit` counts from the start of the training, not of the call; a training that has had all its steps is
    not continued. The data must come as an `mrcnn_keras.data.Dataset` to go on in the middle of it. Must come last
    among the callbacks.

    Of several workers only the chief writes, to a folder that all of them see. On SIGTERM all of them end after the
    same step. But where one dies or meets an error the others are in the middle of a step that cannot be finished or
    taken back, and the training goes on from the state that was written last.

    Args:
        folder: made if need be.
        every: steps between two states, 1 or more; one that falls on the end of an epoch waits for the epoch's
            evaluation.
        keep: how many states are kept, 1 or more; the best one is kept besides.
        monitor: metric of an epoch that decides which model is the best; None: the average precision of
            `evaluation.CocoEvaluation`: of keypoints, else masks, else boxes.
        mode: "max" or "min", which is better.
        resume: False: it is an error if the folder has states already.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        every: int = 1000,
        keep: int = 3,
        monitor: str | None = None,
        mode: str = "max",
        resume: bool = True,
    ):
        super().__init__()
        if every < 1 or keep < 1:
            raise ValueError(f"every={every}, keep={keep}: expected 1 or more")
        if mode not in ("max", "min"):
            raise ValueError(f"mode={mode!r}: expected 'max' or 'min'")
        self.folder = pathlib.Path(folder)
        self.every, self.keep = every, keep
        self.monitor, self.mode, self.resume = monitor, mode, resume
        self.best: float | None = None
        self.restored = False
        self._step = self._saved = self._tried = self._first = self._origin = self._epoch_start = self._iterations = 0
        self._others_follow = self._ended = False
        self._terminator = Terminator()
        self._strategy = self._iterator = None
        self._facts: dict[str, Any] = {}
        self._resumed: dict[str, list[float]] | None = None
        self._counters: list[tuple[keras.Variable, int]] = []

    # ---- going on ----

    def of_stage(self, number: int, name: str) -> "Checkpoints":
        """The same for a stage before the last one, in a folder in this one's; numbers from 1."""
        own = {"monitor": self.monitor, "mode": self.mode, "resume": self.resume}
        made = Checkpoints(files.stage_folder(self.folder, number, name), every=self.every, keep=self.keep, **own)
        made._others_follow = True
        return made

    @property
    def is_over(self) -> bool:
        """Whether the stage, one before the last, had come to its end in the state that was restored."""
        return self._others_follow and self._ended

    @property
    def has_states(self) -> bool:
        """Whether there is something in the folder to go on from."""
        return bool(files.checkpoint_paths(self.folder))

    def restore(self, model: keras.Model, facts: dict[str, Any]) -> int:
        """Bring a compiled model with a built optimizer to the newest state; called by `fit`.

        Args:
            model: of the architecture that the state was written with.
            facts: what the place in the data depends on besides the step, by name, to be compared with the state's.

        Returns: the step to go on with, by the optimizer's count.

        Raises:
            ValueError: the states are of another model or optimizer, none of them is whole, or there are some and
                `resume` is False.
        """
        self._facts = {**facts, "optimizer": type(model.optimizer).__name__, **_constant_rate(model.optimizer)}
        found = newest_checkpoint(self.folder)
        if found and not self.resume:
            raise ValueError(f"{self.folder} has a training's states, the newest {found[0].name}; go on with "
                             "resume=True, or choose another folder")  # fmt: skip
        self._strategy = model.distribute_strategy
        self._step = self._origin = int(model.optimizer.iterations.numpy())
        self.restored = found is not None
        if found is not None:
            path, state, config = found
            load_checkpoint(model, path, config, state["facts"], self._facts)
            self._step, self.best, self._resumed = state["step"], state["best"], state["means"]
            self._origin, self._ended = state["origin"], state.get("ended", False)
            print(f"going on from {path}", file=sys.stderr)
        self._saved = self._tried = self._first = self._step
        message = f"the workers do not go on from the same step: {self.folder} must be a folder that all of them see"
        same_on_all_workers(self._strategy, self._step, message)
        return self._step

    def epochs_done(self, steps: int | None) -> int:
        """Whole epochs of so many steps that the training has had.

        Raises:
            ValueError: it has had some steps, and how many are an epoch is not known.
        """
        done = self._step - self._origin
        if done and not steps:
            raise ValueError("steps_per_epoch is needed to go on from a state: it says which epoch that is in")
        return done // (steps or 1)

    # ---- writing ----

    def on_train_begin(self, logs=None):
        if self._writes():
            self.folder.mkdir(parents=True, exist_ok=True)
            files.remove_partial(self.folder)
        draws = [variable for variable in self.model.non_trainable_variables if variable.name == "draws"]
        self._counters = [(variable, int(variable.numpy())) for variable in draws]
        self._iterations = int(self.model.optimizer.iterations.numpy())
        self._iterator = self.model.epoch_iterator

    def on_epoch_begin(self, epoch, logs=None):
        steps = self.params.get("steps")
        done = (self._step - self._origin) % steps if self._resumed is not None and steps else 0
        if done:  # in the middle of the first epoch
            for name, values in self._resumed.items():
                for variable, value in zip(self.model.loss_trackers[name].variables, values, strict=True):
                    variable.assign(value)
        if steps:
            self._iterator.steps_per_epoch = steps - done
        self._resumed = None
        self._epoch_start = self._step

    def on_train_batch_begin(self, batch, logs=None):
        self._terminator.busy, self._ended = True, False

    def on_train_batch_end(self, batch, logs=None):
        self._step = self._epoch_start + batch + 1
        self._terminator.after_step(self._strategy)
        if self._step - self._tried >= self.every and not self._ends_epoch():
            self._save()

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        if self.monitor and self.monitor not in logs:
            warnings.warn(f"there is no metric {self.monitor!r} to choose the best model by; there are "
                          f"{', '.join(logs)}; callbacks that add others must come first", stacklevel=2)  # fmt: skip
        value = logs.get(self.monitor or next((one for one in _METRICS if one in logs), None))
        if value is not None and value == value and self._is_better(float(value)):
            earlier, self.best = self.best, float(value)
            if not self._save("best.keras"):
                self.best = earlier
        if self._step - self._tried >= self.every:
            self._save()

    def on_train_end(self, logs=None):
        unsaid, self._ended = self._others_follow and not self._ended, True
        if self._step != self._saved or unsaid:
            self._save(must=True)

    def _is_better(self, value: float) -> bool:
        return self.best is None or (value > self.best if self.mode == "max" else value < self.best)

    def _ends_epoch(self) -> bool:
        steps = (self.params or {}).get("steps")
        return steps is not None and (self._step - self._origin) % steps == 0

    def _writes(self) -> bool:
        return is_chief(self._strategy)

    def _save(self, name: str | None = None, must: bool = False) -> bool:
        """Write the state as it is, under the step's name or another; whether it is written now."""
        if name is None:
            self._tried = self._step
        if not self._writes():
            self._saved = self._step
            return True
        # To read a mean that is shared with other workers takes all of them.
        shared = spans_workers(self._strategy)
        trackers = () if shared else self.model.loss_trackers.items()
        means = {name: [float(variable.numpy()) for variable in tracker.variables] for name, tracker in trackers}
        state = {"step": self._step, "origin": self._origin, "best": self.best, "facts": self._facts, "means": means}
        state["ended"] = self._ended
        path = self.folder / name if name else files.step_path(self.folder, self._step)
        try:
            with self._terminator.uninterrupted():
                self._write(path, state)
            if name is None:
                files.link(path, self.folder / "last.keras")
                self._saved = self._step
                for old in files.step_paths(self.folder)[: -self.keep]:
                    old.unlink()
        except OSError as error:
            if must:
                raise
            warnings.warn(f"{path} could not be written: {error}; the training goes on and tries again", stacklevel=2)
            return False
        return True

    def _write(self, path: pathlib.Path, state: dict[str, Any]) -> None:
        try:
            files.write_checkpoint(self.model, path, state)
        except OSError as error:
            old = files.step_paths(self.folder)[:-1]
            if not old or error.errno not in _NO_ROOM:
                raise
            for one in old:  # they may leave room enough
                one.unlink()
            files.write_checkpoint(self.model, path, state)

    # ---- being stopped ----

    @contextlib.contextmanager
    def guarding(self) -> Iterator[None]:
        """While inside, SIGTERM ends the training in order, and whatever ends it, the state is written."""
        with self._terminator.listening(self._strategy):
            try:
                yield
            except BaseException as error:
                lost = isinstance(error, tf.errors.OpError) and lost_worker(error)
                if not (lost and spans_workers(self._strategy)):  # the middle of a shared step
                    self._save_after(error)
                raise

    def _save_after(self, error: BaseException) -> None:
        """Write the state of the last whole step, however far the failed one came."""
        iterations = self.model.optimizer.iterations
        done = self._step - self._first
        if isinstance(error, tf.errors.OpError):
            # Of a step that failed the weights are as before, but what counts steps and draws may have counted it.
            for variable, start in self._counters:
                variable.assign(start + done)
            if type(self.model.optimizer) is not keras.optimizers.LossScaleOptimizer:
                iterations.assign(self._iterations + done)
        elif self._terminator.busy and int(iterations.numpy()) - self._iterations > done:
            self._step += 1  # interrupted behind the step, before it was counted
        if not self._writes() or (self._step == self._saved and not files.checkpoint_paths(self.folder)):
            return
        try:
            if self._step != self._saved:
                self._save(must=True)
        except OSError as failed:
            print(f"the state could not be written: {failed}", file=sys.stderr)
        else:
            print(f"the state after step {self._step} is in {self.folder}; the same call goes on from there",
                  file=sys.stderr)  # fmt: skip


def _constant_rate(optimizer: keras.optimizers.Optimizer) -> dict[str, float]:
    """The learning rate by its name in a state's facts, where it is a number."""
    rate = getattr(optimizer, "inner_optimizer", optimizer)._learning_rate
    # float32 as one writes it.
    return {"learning rate": float(f"{rate.numpy():.7g}")} if isinstance(rate, keras.Variable) else {}
