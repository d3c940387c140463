"""A training that was stopped, or could not write, goes on with nothing lost."""

import errno
import pathlib
import resource
import signal
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest

from mrcnn_keras import MaskRCNN, MaskRCNNConfig, NonFiniteLossError
from mrcnn_keras.data import ShapesDataset
from mrcnn_keras.training import Checkpoints
from mrcnn_keras.training import checkpoint_files as files

from .replica_run import FIELDS

SHAPES = ShapesDataset(22, seed=0, size=(64, 64))


def make_model(**fields):
    model = MaskRCNN(MaskRCNNConfig(**{**FIELDS, **fields}))
    model.compile()
    return model


@pytest.fixture(scope="module")
def model():
    """One to restore again and again: restoring sets everything."""
    return make_model()


def train(model, folder, epochs=1, steps=3, extra=(), data=SHAPES, **options):
    checkpoints = Checkpoints(folder, **{"every": 2, **options})
    return model.fit(data, epochs=epochs, steps_per_epoch=steps, callbacks=[*extra, checkpoints], verbose=0).history


def names(folder):
    return sorted(path.name for path in pathlib.Path(folder).iterdir())


def state_of(model):
    return [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)]


class Fail(keras.callbacks.Callback):
    """Raises at a step of an epoch."""

    def __init__(self, error, batch):
        super().__init__()
        self.error, self.batch = error, batch

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.batch:
            raise self.error


def test_it_keeps_the_newest_and_the_best_and_each_is_a_model(model, tmp_path):
    start(model)
    history = train(model, tmp_path, epochs=3, steps=3, keep=2, monitor="loss", mode="min")
    assert names(tmp_path) == ["best.keras", "last.keras", "step-00000008.keras", "step-00000009.keras"]
    state, _ = files.read_checkpoint(tmp_path / "best.keras")
    assert state["step"] == 3 * (1 + int(np.argmin(history["loss"])))
    assert state["best"] == pytest.approx(min(history["loss"]))
    loaded = MaskRCNN.load(tmp_path / "last.keras")
    for found, expected in zip(state_of(loaded), state_of(model), strict=True):
        np.testing.assert_array_equal(found, expected)


def start(model):
    """Back to step 0, with whatever weights."""
    for variable in model.optimizer.variables if model.optimizer.built else ():
        if "learning_rate" not in variable.path:
            variable.assign(np.zeros(variable.shape, variable.dtype))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The weights of a training of 2 epochs of 3 steps, its history, and its states of steps 2, 4 and 6."""
    folder = tmp_path_factory.mktemp("undisturbed")
    model = make_model()
    history = train(model, folder, epochs=2, keep=9)
    return state_of(model), history, folder


def test_in_the_middle_of_an_epoch_it_goes_on_with_the_same_numbers(undisturbed, tmp_path, capfd):
    expected, history, folder = undisturbed
    assert [path.name for path in files.step_paths(folder)] == [f"step-0000000{n}.keras" for n in (2, 4, 6)]
    (tmp_path / "step-00000002.keras").write_bytes((folder / "step-00000002.keras").read_bytes())
    model = make_model(seed=0)
    epochs = []
    tell = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(epoch))
    found = train(model, tmp_path, epochs=2, extra=[tell])
    assert "step-00000002.keras" in capfd.readouterr().err
    assert epochs == [0, 1]
    for one, other in zip(state_of(model), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert found == history  # the first epoch's means, too, of which two steps were made before


def test_a_finished_training_is_left_alone_and_a_longer_one_goes_on(undisturbed, model, tmp_path):
    expected, _, folder = undisturbed
    (tmp_path / "step-00000006.keras").write_bytes((folder / "step-00000006.keras").read_bytes())
    assert train(model, tmp_path, epochs=2) == {}
    for one, other in zip(state_of(model), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(train(model, tmp_path, epochs=3)["loss"]) == 1
    assert int(model.optimizer.iterations.numpy()) == 9


def test_a_damaged_state_gives_way_to_the_one_before(undisturbed, model, tmp_path):
    folder = undisturbed[2]
    (tmp_path / "step-00000002.keras").write_bytes((folder / "step-00000002.keras").read_bytes())
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
    other = MaskRCNN(MaskRCNNConfig(**FIELDS))
    other.compile(keras.optimizers.AdamW())
    with pytest.raises(ValueError, match="with the optimizer SGD, and the model is compiled with AdamW"):
        train(other, folder)
    with pytest.raises(ValueError, match=r"another model: mask_head_dim=16 \(now 8\)"):
        train(make_model(mask_head_dim=8), folder)
    (tmp_path / "step-00000002.keras").write_bytes((folder / "step-00000002.keras").read_bytes())
    with pytest.warns(UserWarning, match=r"other settings .*images: 22 \(now 12\)"):
        train(model, tmp_path, data=ShapesDataset(12, seed=0, size=(64, 64)))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("another callback")])
def test_what_ends_a_training_leaves_its_state(undisturbed, model, tmp_path, error):
    expected, history, _ = undisturbed
    start_of = undisturbed[2] / "step-00000002.keras"
    (tmp_path / start_of.name).write_bytes(start_of.read_bytes())
    # After the second step of the second epoch, the fifth of all; the state of step 4 is older.
    with pytest.raises(type(error)):
        train(model, tmp_path, epochs=2, extra=[EpochFail(error, 1)])
    assert files.step_paths(tmp_path)[-1].name == "step-00000005.keras"
    assert train(model, tmp_path, epochs=2)["loss"] == history["loss"][1:]
    for one, other in zip(state_of(model), expected, strict=True):
        np.testing.assert_array_equal(one, other)


class EpochFail(Fail):
    """Raises in the second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1:
            super().on_train_batch_end(batch, logs)


class Vanishing(ShapesDataset):
    """Its image 0 disappears when told."""

    gone = False

    def load_image(self, index):
        if self.gone and index == self.lost:
            raise ValueError(f"there is no image {index}")
        return super().load_image(index)


def test_an_image_that_vanishes_costs_nothing(undisturbed, model, tmp_path):
    expected = undisturbed[0]
    start_of = undisturbed[2] / "step-00000002.keras"
    (tmp_path / start_of.name).write_bytes(start_of.read_bytes())
    data = Vanishing(22, seed=0, size=(64, 64))
    data.gone, data.lost = True, _image_of_step(4)
    with pytest.raises(ValueError, match=f"there is no image {data.lost}"):
        train(model, tmp_path, epochs=2, data=data)
    assert files.step_paths(tmp_path)[-1].name == "step-00000004.keras"
    data.gone = False
    train(model, tmp_path, epochs=2, data=data)
    for one, other in zip(state_of(model), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def _image_of_step(step):
    from mrcnn_keras.data.plan import BatchPlan

    plan = BatchPlan(22, FIELDS["batch_size"], np.zeros(22, bool), seed=0)
    earlier = {index for before in range(step) for index in plan.batch(before).tolist()}
    return next(index for index in plan.batch(step).tolist() if index not in earlier)


def test_a_loss_that_is_not_finite_leaves_the_state_of_the_step_before(undisturbed, model, tmp_path):
    start_of = undisturbed[2] / "step-00000002.keras"
    (tmp_path / start_of.name).write_bytes(start_of.read_bytes())
    (bias,) = [v for v in model.trainable_variables if v.path.endswith("box_head/classifier/bias")]
    break_weights = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: bias.assign(np.full(bias.shape, np.nan))
    )
    with pytest.raises(NonFiniteLossError):
        train(model, tmp_path, epochs=2, every=99, extra=[break_weights])
    state, _ = files.read_checkpoint(files.step_paths(tmp_path)[-1])
    assert state["step"] == 3
    assert int(model.optimizer.iterations.numpy()) == 3


def test_a_full_disk_does_not_end_the_training(undisturbed, model, tmp_path):
    start_of = undisturbed[2] / "step-00000002.keras"
    (tmp_path / start_of.name).write_bytes(start_of.read_bytes())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    room = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: resource.setrlimit(resource.RLIMIT_FSIZE, limits) if epoch == 1 else None
    )
    try:
        with pytest.warns(UserWarning, match="step-00000004.keras could not be written: .*too large"):
            train(model, tmp_path, epochs=2, extra=[room])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)
    assert names(tmp_path) == ["last.keras", "step-00000002.keras", "step-00000006.keras"]


def test_room_is_made_by_dropping_older_states(undisturbed, model, tmp_path, monkeypatch):
    for step in (2, 4):
        source = undisturbed[2] / f"step-0000000{step}.keras"
        (tmp_path / source.name).write_bytes(source.read_bytes())
    save = MaskRCNN.save

    def without_room(self, path, *args, **kwargs):
        if len(files.step_paths(tmp_path)) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, path, *args, **kwargs)

    monkeypatch.setattr(MaskRCNN, "save", without_room)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        train(model, tmp_path, epochs=2)
    assert names(tmp_path) == ["last.keras", "step-00000004.keras", "step-00000006.keras"]


def test_bad_arguments():
    with pytest.raises(ValueError, match="every=0, keep=3: expected 1 or more"):
        Checkpoints("x", every=0)
    with pytest.raises(ValueError, match="mode='largest': expected 'max' or 'min'"):
        Checkpoints("x", mode="largest")


RUN = pathlib.Path(__file__).with_name("resume_run.py")


def run_and_signal(out, folder, number, at):
    """Start a training of 15 steps, send it a signal after step `at`; its status and messages."""
    words = [sys.executable, str(RUN), str(out), str(folder), "1"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in child.stdout:
        if int(line) == at:
            child.send_signal(number)
            break
    return child.communicate(timeout=600)[1], child.returncode


@pytest.mark.slow
def test_killed_or_terminated_the_resumed_run_is_the_undisturbed_one(tmp_path):
    errors, status = run_and_signal(tmp_path / "whole.npz", tmp_path / "whole", 0, 15)
    assert status == 0, errors
    _, status = run_and_signal(tmp_path / "found.npz", tmp_path / "cut", signal.SIGKILL, 7)
    assert status == -signal.SIGKILL and not (tmp_path / "found.npz").exists()
    errors, status = run_and_signal(tmp_path / "found.npz", tmp_path / "cut", signal.SIGTERM, 12)
    assert status == 128 + signal.SIGTERM and "the state after step 1" in errors, errors
    errors, status = run_and_signal(tmp_path / "found.npz", tmp_path / "cut", 0, 15)
    assert status == 0, errors
    found, expected = np.load(tmp_path / "found.npz"), np.load(tmp_path / "whole.npz")
    assert set(found.files) == set(expected.files) and len(found.files) > 100
    for name in found.files:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
