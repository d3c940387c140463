"""What goes on from a state, and from where: epochs, validation, learning rates, other optimizers."""

import errno
import warnings

import keras
import pytest

from mrcnn_keras.data import ShapesDataset, training_batches
from mrcnn_keras.training import Checkpoints
from mrcnn_keras.training import checkpoint_files as files

from .. import tiny
from .resume_run import FIELDS, SHAPES, make_model, state_of, train
from .test_checkpoints import assert_states_equal, names

VALIDATION = ShapesDataset(2, seed=5, size=(64, 64))  # one batch, fewer than an epoch has


class Count(keras.callbacks.Callback):
    """Batches of training and of validation in each epoch."""

    def __init__(self):
        super().__init__()
        self.trained, self.validated = {}, {}

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.trained[epoch] = self.validated[epoch] = 0

    def on_train_batch_end(self, batch, logs=None):
        self.trained[self.epoch] += 1

    def on_test_batch_end(self, batch, logs=None):
        self.validated[self.epoch] += 1


def validated(model, folder, count):
    checkpoints = Checkpoints(folder, every=3, keep=99)
    options = {"validation_data": VALIDATION, "callbacks": [count, checkpoints], "verbose": 0}
    return model.fit(SHAPES, epochs=3, steps_per_epoch=2, **options).history


@pytest.mark.slow
def test_validation_leaves_the_epochs_their_steps(tmp_path):
    model, count = make_model(), Count()
    history = validated(model, tmp_path / "whole", count)
    assert count.trained == {0: 2, 1: 2, 2: 2} and count.validated == {0: 1, 1: 1, 2: 1}
    (tmp_path / "cut").mkdir()
    state = tmp_path / "whole" / "step-00000003.keras"
    (tmp_path / "cut" / state.name).write_bytes(state.read_bytes())
    resumed, count = make_model(), Count()
    assert validated(resumed, tmp_path / "cut", count) == {name: values[1:] for name, values in history.items()}
    assert count.trained == {1: 1, 2: 2} and count.validated == {1: 1, 2: 1}
    assert_states_equal(state_of(resumed), state_of(model))


@pytest.fixture(scope="module")
def model():
    return make_model()


def from_zero(model):
    model.optimizer.iterations.assign(0)
    return model


@pytest.mark.slow
def test_interrupted_while_it_writes_it_writes_again(model, tmp_path, monkeypatch):
    write = files.write_checkpoint
    interruptions = [KeyboardInterrupt()]

    def interrupted(model, path, state):
        if state["step"] == 4 and interruptions:
            raise interruptions.pop()
        write(model, path, state)

    monkeypatch.setattr(files, "write_checkpoint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(from_zero(model), tmp_path, epochs=1, steps=5)
    assert files.step_paths(tmp_path)[-1].name == "step-00000004.keras"


@pytest.mark.slow
def test_a_training_whose_end_cannot_be_written_fails(model, tmp_path, monkeypatch):
    write, full = files.write_checkpoint, [True]

    def without_room(model, path, state):
        if full[0] and state["step"] > 2:
            raise OSError(errno.EIO, "Input/output error")
        write(model, path, state)

    monkeypatch.setattr(files, "write_checkpoint", without_room)
    with pytest.warns(UserWarning, match="step-00000004.keras could not be written"):
        with pytest.raises(OSError, match="Input/output error"):
            train(from_zero(model), tmp_path, epochs=2, steps=2)
    assert names(tmp_path) == ["last.keras", "step-00000002.keras"]  # no room is needed, so nothing was dropped
    full[0] = False
    train(model, tmp_path, epochs=2, steps=2)
    assert names(tmp_path)[-1] == "step-00000004.keras"


def test_a_best_model_that_could_not_be_written_is_not_the_best(model, tmp_path, monkeypatch):
    write, full = files.write_checkpoint, [True]

    def without_room(model, path, state):
        if full[0] and path.name == "best.keras":
            full[0] = False
            raise OSError(errno.EIO, "Input/output error")
        write(model, path, state)

    monkeypatch.setattr(files, "write_checkpoint", without_room)
    falling = iter([0.5, 0.4])
    score = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(score=next(falling)))
    with pytest.warns(UserWarning, match="best.keras could not be written"):
        train(from_zero(model), tmp_path, epochs=2, steps=1, extra=[score], monitor="score")
    assert files.read_checkpoint(tmp_path / "best.keras")[0]["best"] == 0.4


def test_a_metric_that_is_not_there_is_said(model, tmp_path):
    with pytest.warns(UserWarning, match="no metric 'val_typo' .*; there are .*loss.*; callbacks that add others"):
        train(from_zero(model), tmp_path, steps=1, monitor="val_typo")


@pytest.mark.slow
def test_a_trained_model_starts_anew_in_a_new_folder(model, tmp_path):
    from_zero(model).optimizer.iterations.assign(7)
    assert len(train(model, tmp_path, epochs=2, steps=2)["loss"]) == 2
    assert files.step_paths(tmp_path)[-1].name == "step-00000011.keras"
    assert train(model, tmp_path, epochs=2, steps=2) == {}
    assert len(train(model, tmp_path, epochs=3, steps=2)["loss"]) == 1


def test_batches_of_ones_own_need_to_say_what_an_epoch_is(tmp_path):
    some = SHAPES.subset([0, 1, 2, 3])
    batches = training_batches(some, batch_size=2, min_side=64, max_side=64, mask_size=28, repeat=False)
    model = make_model(mask_head="fcn")
    model.fit(batches, epochs=1, callbacks=[Checkpoints(tmp_path)], verbose=0)
    with pytest.raises(ValueError, match="steps_per_epoch is needed to go on from a state"):
        model.fit(batches, epochs=2, callbacks=[Checkpoints(tmp_path)], verbose=0)


def test_another_learning_rate_is_used_and_the_same_one_is_as_it_was(tmp_path):
    def rate_of(given, **later):
        model = tiny.tiny_model(**FIELDS)
        model.compile(keras.optimizers.SGD(given), run_eagerly=True)
        train(model, tmp_path, **later)
        return float(model.optimizer.learning_rate.numpy())

    lower = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(lower.model.optimizer, "learning_rate", 0.001)
    )
    assert rate_of(0.01, epochs=1, steps=1, extra=[lower]) == pytest.approx(0.001)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert rate_of(0.01, epochs=2, steps=1) == pytest.approx(0.001)  # what a callback had come to
    with pytest.warns(UserWarning, match=r"other settings .*learning rate: 0.0\d* \(now 0.0001"):
        assert rate_of(0.0001, epochs=3, steps=1) == pytest.approx(0.0001)


def test_half_precision_takes_the_papers_schedule(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = make_model()
        train(model, tmp_path, epochs=1, steps=2)
    finally:
        keras.config.set_dtype_policy("float32")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert model.optimizer.inner_optimizer._learning_rate.drops[-1] <= 2
