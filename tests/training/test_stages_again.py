"""Training in stages: states, weights and files of other trainings, and what a user does between two of them."""

import keras
import numpy as np
import pytest

from mrcnn_keras import MaskRCNN
from mrcnn_keras.data import MixedDataset, ProposalFile, ShapesDataset, training_batches
from mrcnn_keras.evaluation import CocoEvaluation
from mrcnn_keras.training import Checkpoints, store_proposals

from .. import tiny
from .test_stages import FEATURES, HEADS, RPN, SHAPES, Stop, Watch, in_a_graph, make_model, weights

pytestmark = pytest.mark.usefixtures("eager_training")

PRESET, LIKE_OURS = "mask_rcnn_narrow_fpn", {**tiny.FIELDS, "backbone_norm": "frozen", "fpn_norm": "none"}


def part(model, name):
    """The values of a part by their paths without its name."""
    return {path.split("/", 1)[1]: value for path, value in weights(model).items() if path.split("/")[0] == name}


def assert_equal(found, expected):
    assert found.keys() == expected.keys() and found
    for path in expected:
        np.testing.assert_array_equal(found[path], expected[path], err_msg=path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A stage-wise model whose two backbones differ, its file, and the folder of its states."""
    folder = tmp_path_factory.mktemp("trained")
    model = make_model(stage_proposals="stored")
    model.fit(SHAPES, steps_per_epoch=1, callbacks=[Checkpoints(folder / "states", every=1)], verbose=0)
    model.save(folder / "model.keras")
    model.save_weights(folder / "model.weights.h5")
    return model, folder


@pytest.mark.parametrize("stages", ["stage_wise", pytest.param("end_to_end", marks=pytest.mark.slow)])
def test_a_stage_wise_file_gives_each_backbone_its_own_weights(trained, stages):
    model, folder = trained
    other = MaskRCNN.from_preset(PRESET, folder / "model.keras", **{**LIKE_OURS, "training_stages": stages})
    assert_equal(part(other, "backbone"), part(model, "backbone"))
    assert not np.array_equal(*(list(part(model, name).values())[0] for name in ("backbone", "rpn_backbone")))
    if stages == "stage_wise":
        assert_equal(part(other, "rpn_backbone"), part(model, "rpn_backbone"))


def test_an_end_to_end_file_fills_both_backbones(tmp_path):
    model = tiny.tiny_model()
    model.save(tmp_path / "model.keras")
    other = MaskRCNN.from_preset(PRESET, tmp_path / "model.keras", **{**LIKE_OURS, "training_stages": "stage_wise"})
    for name in ("backbone", "rpn_backbone"):
        assert_equal(part(other, name), part(model, "backbone"))


def test_weights_without_paths_are_refused_where_they_would_be_mistaken(trained):
    with pytest.raises(ValueError, match="training_stages='end_to_end'"):
        MaskRCNN.from_preset(PRESET, trained[1] / "model.weights.h5", **LIKE_OURS)
    again = MaskRCNN.from_preset(
        PRESET, trained[1] / "model.weights.h5", **{**LIKE_OURS, "training_stages": "stage_wise"}
    )
    assert_equal(part(again, "backbone"), part(trained[0], "backbone"))


def test_states_of_other_stages_are_not_gone_on_from(trained, tmp_path):
    states = trained[1] / "states"
    with pytest.raises(ValueError, match="stage-1-rpn has the states of a training in other stages"):
        make_model("end_to_end").fit(SHAPES, steps_per_epoch=2, callbacks=[Checkpoints(states)], verbose=0, epochs=2,
                                     proposals=states / "detector-train-proposals.h5")  # fmt: skip
    with pytest.raises(ValueError, match="stage 'detector' of a training with training_stages='stage_wise'"):
        make_model("end_to_end").fit(SHAPES, steps_per_epoch=2, callbacks=[Checkpoints(states)], verbose=0, epochs=2)


@pytest.mark.slow
def test_proposals_made_on_the_way_are_those_of_the_trained_rpn(tmp_path):
    """As when validation data, which have no file yet, are added after an interruption."""

    def run(*callbacks, **more):
        model = make_model(stage_proposals="stored")
        states = Checkpoints(tmp_path / "states", every=1)
        model.fit(SHAPES, steps_per_epoch=2, callbacks=[*callbacks, states], verbose=0, **more)
        return model

    with pytest.raises(KeyboardInterrupt):
        run(Stop(1, 1))
    some = ShapesDataset(2, seed=9, size=(64, 64))
    model = run(validation_data=some)
    store_proposals(model, some, tmp_path / "right.h5")
    made, right = (ProposalFile(tmp_path / f"{name}.h5") for name in ("states/detector-validation-proposals", "right"))
    for name in right:
        np.testing.assert_allclose(made[name][0], right[name][0], atol=1e-3)


@pytest.mark.parametrize("graph", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_further_fit_goes_on_with_the_optimizer(trained, graph):
    states = trained[1] / "states"
    model, given = make_model("end_to_end"), {"proposals": states / "detector-train-proposals.h5"}
    if graph:
        in_a_graph(model)
    for steps in (1, 2):
        model.fit(SHAPES, steps_per_epoch=1, verbose=0, **given)
        assert int(model.optimizer.iterations.numpy()) == steps
    for steps in (1, 2):  # another training, of everything
        model.fit(SHAPES, steps_per_epoch=1, verbose=0)
        assert int(model.optimizer.iterations.numpy()) == steps


def test_a_layer_that_the_user_freezes_between_two_trainings_stays_frozen(trained):
    model, watch = make_model("end_to_end"), Watch()
    given = {"proposals": trained[1] / "states/detector-train-proposals.h5"}
    model.fit(SHAPES, steps_per_epoch=1, callbacks=[watch], verbose=0, **given)
    model.get_layer("backbone").trainable = False
    model.fit(SHAPES, steps_per_epoch=1, callbacks=[watch], verbose=0)
    assert watch.learned == [FEATURES | HEADS, (FEATURES - {"backbone"}) | HEADS | RPN]


@pytest.mark.slow
def test_precision_waits_for_the_rpn_that_detects():
    precision = CocoEvaluation(SHAPES.subset([0, 1]))
    history = make_model("alternating").fit(SHAPES, steps_per_epoch=1, callbacks=[precision], verbose=0).history
    assert [value == value for value in history["val_bbox_AP"]] == [False, False, False, True]


def test_precision_on_given_proposals(trained, tmp_path):
    some, path = SHAPES.subset([0, 1]), tmp_path / "corners.h5"
    from mrcnn_keras.data import ProposalWriter

    with ProposalWriter(path) as writer:
        for index in range(2):
            writer.add(some.image_name(index), some.image_size(index), [])
    asked = []

    class Spy(CocoEvaluation):
        def evaluate(self, **options):
            detect = self.model.detect
            self.model.detect = lambda *args, **how: asked.append(how.get("proposals")) or detect(*args, **how)
            try:
                return super().evaluate(**options)
            finally:
                del self.model.detect

    given = {"proposals": trained[1] / "states/detector-train-proposals.h5"}
    callbacks = [Spy(some, proposals=path)]
    make_model("end_to_end").fit(SHAPES, steps_per_epoch=1, callbacks=callbacks, verbose=0, **given)
    assert len(asked) and all(boxes is not None and len(boxes[0]) == 0 for boxes in asked)


@pytest.mark.slow
def test_the_best_model_is_of_the_last_stage(tmp_path):
    saved = tmp_path / "best.keras"
    keep = keras.callbacks.ModelCheckpoint(saved, monitor="loss", save_best_only=True)
    model = make_model()
    model.fit(SHAPES, steps_per_epoch=1, callbacks=[keep], verbose=0)
    assert_equal(part(MaskRCNN.load(saved), "box_head"), part(model, "box_head"))


def test_what_weight_decay_spares_is_spared_in_every_stage():
    optimizer, spared = keras.optimizers.AdamW(1e-3, weight_decay=0.5), []
    optimizer.exclude_from_weight_decay(var_names=["kernel"])

    class Note(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            kernel = next(v for v in self.model.trainable_variables if v.path.endswith("kernel"))
            spared.append(not self.model.optimizer._use_weight_decay(kernel))

    make_model(optimizer=optimizer).fit(SHAPES, steps_per_epoch=1, callbacks=[Note()], verbose=0)
    assert spared == [True, True]


def test_evaluate_works_after_a_training_on_stored_proposals(trained):
    batches = training_batches(SHAPES, batch_size=2, min_side=64, max_side=64, mask_size=tiny.FIELDS["gt_mask_size"])
    losses = trained[0].evaluate(batches, steps=1, verbose=0, return_dict=True)
    assert np.isfinite(losses["loss"])


def test_images_of_one_name_do_not_share_proposals(trained):
    path = trained[1] / "states/detector-train-proposals.h5"
    twins = MixedDataset([SHAPES, ShapesDataset(len(SHAPES), seed=1, size=(64, 64))], (1, 1))
    with pytest.raises(ValueError, match="several images called"):
        make_model("end_to_end").fit(twins, steps_per_epoch=1, proposals=path, verbose=0)
    seen_twice = SHAPES.subset([0, 0, 1])
    make_model("end_to_end").fit(seen_twice, steps_per_epoch=1, batch_size=2, proposals=path, verbose=0)


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match="validation_proposals goes with proposals"):
        make_model().fit(SHAPES, validation_data=SHAPES, validation_proposals="none.h5", verbose=0)
    with pytest.raises(ValueError, match="first_rpn=True.*'end_to_end'"):
        store_proposals(make_model("end_to_end"), SHAPES, tmp_path / "p.h5", first_rpn=True)
