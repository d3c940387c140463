"""A training that was stopped, or could not write, goes on with nothing lost."""

import errno
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest

from mrcnn_keras import MaskRCNN, NonFiniteLossError
from mrcnn_keras.data import ShapesDataset
from mrcnn_keras.training import Checkpoints
from mrcnn_keras.training import checkpoint_files as files

from .. import tiny
from ..processes import ROOT
from .resume_run import FIELDS, SHAPES, make_model, state_of, train


@pytest.fixture(scope="module")
def model():
    """One to restore again and again: restoring sets everything."""
    return make_model()


def names(folder):
    return sorted(path.name for path in pathlib.Path(folder).iterdir())


def assert_states_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_keeps_the_newest_and_the_best_and_each_is_a_model(model, tmp_path):
    start(model)
    history = train(model, tmp_path, epochs=5, steps=1, keep=2, monitor="loss", mode="min")
    assert names(tmp_path) == ["best.keras", "last.keras", "step-00000004.keras", "step-00000005.keras"]
    state, _ = files.read_checkpoint(tmp_path / "best.keras")
    assert state["step"] == 1 + int(np.argmin(history["loss"]))
    assert state["best"] == pytest.approx(min(history["loss"]))
    assert_states_equal(state_of(MaskRCNN.load(tmp_path / "last.keras")), state_of(model))


def start(model):
    """Back to step 0, with whatever weights."""
    for variable in model.optimizer.variables if model.optimizer.built else ():
        if "learning_rate" not in variable.path:
            variable.assign(np.zeros(variable.shape, variable.dtype))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The variables after a training of 2 epochs of 3 steps, its history, and its states of steps 2, 4 and 6."""
    folder = tmp_path_factory.mktemp("undisturbed")
    model = make_model()
    history = train(model, folder, keep=9)
    return state_of(model), history, folder


@pytest.fixture(scope="module")
def undisturbed_graph(tmp_path_factory):
    """Such a training in a graph, and besides the model."""
    folder = tmp_path_factory.mktemp("graph")
    model = make_model(run_eagerly=False)
    history = train(model, folder, keep=9)
    return state_of(model), history, folder, model


def take_state(undisturbed, step, folder):
    """Copy one state of a training."""
    name = f"step-{step:08d}.keras"
    shutil.copy(undisturbed[2] / name, folder / name)


def test_in_the_middle_of_an_epoch_it_goes_on_with_the_same_numbers(undisturbed_graph, tmp_path, capfd):
    expected, history, folder, model = undisturbed_graph
    assert [path.name for path in files.step_paths(folder)] == [f"step-0000000{n}.keras" for n in (2, 4, 6)]
    take_state(undisturbed_graph, 2, tmp_path)
    for variable in (*model.variables, *model.optimizer.variables):
        variable.assign(np.ones(variable.shape, variable.dtype))
    epochs = []
    tell = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(epoch))
    found = train(model, tmp_path, extra=[tell])
    assert "step-00000002.keras" in capfd.readouterr().err
    assert epochs == [0, 1]
    assert_states_equal(state_of(model), expected)
    assert found == history  # the first epoch's means, too, of which two steps were made before


def test_a_finished_training_is_left_alone_and_a_longer_one_goes_on(undisturbed, model, tmp_path):
    expected, _, folder = undisturbed
    take_state(undisturbed, 6, tmp_path)
    assert train(model, tmp_path) == {}
    assert_states_equal(state_of(model), expected)
    assert len(train(model, tmp_path, epochs=3)["loss"]) == 1
    assert int(model.optimizer.iterations.numpy()) == 9


def test_a_damaged_state_gives_way_to_the_one_before(undisturbed, model, tmp_path):
    folder = undisturbed[2]
    take_state(undisturbed, 2, tmp_path)
    whole = (folder / "step-00000004.keras").read_bytes()
    (tmp_path / "step-00000004.keras").write_bytes(whole[: len(whole) // 2])
    with pytest.warns(UserWarning, match="step-00000004.keras is not a whole checkpoint"):
        train(model, tmp_path, epochs=1)
    assert int(model.optimizer.iterations.numpy()) == 3
    for path in files.step_paths(tmp_path):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="none of the .* checkpoints in .* is whole"):
        train(model, tmp_path)


def test_states_of_something_else_are_refused_by_name(undisturbed, model, tmp_path):
    folder = undisturbed[2]
    with pytest.raises(ValueError, match="resume=True, or choose another folder"):
        train(model, folder, resume=False)
    other = tiny.tiny_model(**FIELDS)
    other.compile(keras.optimizers.AdamW())
    with pytest.raises(ValueError, match="with the optimizer SGD, and the model is compiled with AdamW"):
        train(other, folder)
    with pytest.raises(ValueError, match=r"another model: stem_channels=8 \(now 4\)"):
        train(make_model(stem_channels=4), folder)
    take_state(undisturbed, 2, tmp_path)
    with pytest.warns(UserWarning, match=r"other settings .*images: 11 \(now 7\)"):
        train(model, tmp_path, epochs=1, data=ShapesDataset(7, seed=0, size=(64, 64)))


class FailInSecondEpoch(keras.callbacks.Callback):
    """Raises an error after a batch."""

    def __init__(self, error, batch):
        super().__init__()
        self.error, self.batch = error, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, self.batch):
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), pytest.param(RuntimeError("another"), marks=pytest.mark.slow)])
def test_what_ends_a_training_leaves_its_state(undisturbed, model, tmp_path, error):
    expected, history, _ = undisturbed
    take_state(undisturbed, 2, tmp_path)
    # After the second step of the second epoch, the fifth of all; the state of step 4 is older.
    with pytest.raises(type(error)):
        train(model, tmp_path, extra=[FailInSecondEpoch(error, 1)])
    assert files.step_paths(tmp_path)[-1].name == "step-00000005.keras"
    assert train(model, tmp_path)["loss"] == history["loss"][1:]
    assert_states_equal(state_of(model), expected)


class Vanishing(ShapesDataset):
    """Its image 0 disappears when told."""

    gone = False

    def load_image(self, index):
        if self.gone and index == self.lost:
            raise ValueError(f"there is no image {index}")
        return super().load_image(index)


def test_an_image_that_vanishes_costs_nothing(undisturbed, model, tmp_path):
    expected = undisturbed[0]
    take_state(undisturbed, 2, tmp_path)
    data = Vanishing(len(SHAPES), seed=0, size=(64, 64))
    data.gone, data.lost = True, _image_of_step(4)
    with pytest.raises(ValueError, match=f"there is no image {data.lost}"):
        train(model, tmp_path, data=data)
    assert files.step_paths(tmp_path)[-1].name == "step-00000004.keras"
    data.gone = False
    train(model, tmp_path, data=data)
    assert_states_equal(state_of(model), expected)


def _image_of_step(step):
    from mrcnn_keras.data.plan import BatchPlan

    plan = BatchPlan(len(SHAPES), FIELDS["batch_size"], np.zeros(len(SHAPES), bool), seed=0)
    earlier = {index for before in range(step) for index in plan.batch(before).tolist()}
    return next(index for index in plan.batch(step).tolist() if index not in earlier)


def test_a_loss_that_is_not_finite_leaves_the_state_of_the_step_before(undisturbed_graph, tmp_path):
    model = undisturbed_graph[-1]
    take_state(undisturbed_graph, 2, tmp_path)
    (bias,) = [v for v in model.trainable_variables if v.path.endswith("box_head/classifier/bias")]
    break_weights = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: bias.assign(np.full(bias.shape, np.nan))
    )
    with pytest.raises(NonFiniteLossError):
        train(model, tmp_path, every=99, extra=[break_weights])
    state, _ = files.read_checkpoint(files.step_paths(tmp_path)[-1])
    assert state["step"] == 3
    assert int(model.optimizer.iterations.numpy()) == 3


@pytest.mark.slow
def test_a_full_disk_does_not_end_the_training(undisturbed, model, tmp_path):
    take_state(undisturbed, 2, tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    room = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: resource.setrlimit(resource.RLIMIT_FSIZE, limits) if epoch == 1 else None
    )
    try:
        with pytest.warns(UserWarning, match="step-00000004.keras could not be written: .*too large"):
            train(model, tmp_path, extra=[room])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)
    assert names(tmp_path) == ["last.keras", "step-00000002.keras", "step-00000006.keras"]


def test_room_is_made_by_dropping_older_states(undisturbed, model, tmp_path, monkeypatch):
    take_state(undisturbed, 2, tmp_path)
    take_state(undisturbed, 4, tmp_path)
    save = MaskRCNN.save

    def without_room(self, path, *args, **kwargs):
        if len(files.step_paths(tmp_path)) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, path, *args, **kwargs)

    monkeypatch.setattr(MaskRCNN, "save", without_room)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        train(model, tmp_path)
    assert names(tmp_path) == ["last.keras", "step-00000004.keras", "step-00000006.keras"]


def test_bad_arguments():
    with pytest.raises(ValueError, match="every=0, keep=3: expected 1 or more"):
        Checkpoints("x", every=0)
    with pytest.raises(ValueError, match="mode='largest': expected 'max' or 'min'"):
        Checkpoints("x", mode="largest")


def run_and_signal(folder, number, at):
    """Start a training of 6 steps and send it a signal while it is in the step after `at`.

    Returns: its messages and its status.
    """
    words = [sys.executable, "-m", "tests.training.resume_run", str(folder)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    child = subprocess.Popen(words, cwd=ROOT, text=True, **pipes)
    for line in child.stdout:
        child.stdin.write("go on\n")
        child.stdin.flush()
        if int(line) == at:
            child.send_signal(number)
            break
    return child.communicate(timeout=600)[1], child.returncode


def goes_on_to_the_end(folder, undisturbed):
    resumed = make_model(seed=0)
    train(resumed, folder)
    assert int(resumed.optimizer.iterations.numpy()) == 6
    assert_states_equal(state_of(resumed), undisturbed[0])


def test_a_killed_training_goes_on_as_the_undisturbed_one(undisturbed, tmp_path):
    _, status = run_and_signal(tmp_path, signal.SIGKILL, 3)
    assert status == -signal.SIGKILL
    assert [path.name for path in files.step_paths(tmp_path)] == ["step-00000002.keras"]
    goes_on_to_the_end(tmp_path, undisturbed)


@pytest.mark.slow
def test_a_terminated_training_goes_on_as_the_undisturbed_one(undisturbed, tmp_path):
    errors, status = run_and_signal(tmp_path, signal.SIGTERM, 3)
    assert status == 128 + signal.SIGTERM and re.search("the state after step [34] is in", errors), errors
    goes_on_to_the_end(tmp_path, undisturbed)
