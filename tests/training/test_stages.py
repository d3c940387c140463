"""Training in stages: what learns when, on whose proposals, and going on after an interruption."""

import math

import keras
import numpy as np
import pytest

from mrcnn_keras import MaskRCNN, MaskRCNNConfig
from mrcnn_keras.data import ProposalFile, ProposalWriter, ShapesDataset, training_batches
from mrcnn_keras.evaluation import CocoEvaluation
from mrcnn_keras.training import Checkpoints, store_proposals
from mrcnn_keras.training.stages import stages_of

from .. import tiny

pytestmark = pytest.mark.usefixtures("eager_training")

SHAPES = ShapesDataset(8, seed=0, size=(64, 64))
PARTS = "backbone", "fpn", "rpn_backbone", "rpn_fpn", "rpn_head", "box_head", "mask_head"
RPN, OWN_RPN = {"rpn_head"}, {"rpn_backbone", "rpn_fpn", "rpn_head"}
FEATURES, HEADS = {"backbone", "fpn"}, {"box_head", "mask_head"}


def make_model(stages="stage_wise", optimizer=None, **fields):
    model = tiny.tiny_model(training_stages=stages, **fields)
    model.compile(optimizer)
    return model


def in_a_graph(model):
    """Have it train in a graph, which must be traced anew where what is trained changes."""
    model.compile(run_eagerly=False)
    return model


def weights(model):
    return {v.path: v.numpy() for v in model.variables if v.path.split("/")[0] in PARTS}


def state_of(model):
    variables = [*model.variables, *model.optimizer.variables]
    return [v.numpy() for v in variables if "loss_tracker" not in v.path]


def changed(before, after):
    """The parts of which any weight differs."""
    return {path.split("/")[0] for path in before if not np.array_equal(before[path], after[path])}


class Watch(keras.callbacks.Callback):
    """The model's weights at the beginning and at the end of each stage, and its epochs."""

    def __init__(self):
        super().__init__()
        self.learned, self.epochs, self.steps = [], [], []

    def on_train_begin(self, logs=None):
        self.before = weights(self.model)

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append(epoch)

    def on_train_end(self, logs=None):
        self.learned.append(changed(self.before, weights(self.model)))
        self.steps.append(int(self.model.optimizer.iterations.numpy()))


LEARNED = {
    "stage_wise": [OWN_RPN, FEATURES | HEADS],
    "alternating": [OWN_RPN, FEATURES | HEADS, RPN, HEADS],
}


@pytest.mark.parametrize(
    ("stages", "graph"),
    [
        ("alternating", False),
        pytest.param("alternating", True, marks=pytest.mark.slow),
        pytest.param("stage_wise", False, marks=pytest.mark.slow),
    ],
)
def test_each_stage_learns_its_parts_and_nothing_else(stages, graph):
    fields = {
        "stage_wise": {"stage_proposals": "stored"},
        # Batch norms, so that running statistics of what does not learn are seen to change.
        "alternating": {"backbone_norm": "batch"},
    }
    model, watch = make_model(stages, **fields[stages]), Watch()
    if graph:
        in_a_graph(model)
    history = model.fit(SHAPES, epochs=2, steps_per_epoch=1, callbacks=[watch], verbose=0)
    assert watch.learned == LEARNED[stages]
    count = len(LEARNED[stages])
    assert watch.epochs == history.epoch == list(range(2 * count))
    assert watch.steps == [2] * count  # each with an optimizer of its own
    rpn, box = history.history["rpn_class_loss"], history.history["box_loss"]
    learns_rpn = [bool(parts & RPN) for parts in LEARNED[stages] for _ in range(2)]
    assert [not math.isnan(value) for value in rpn] == learns_rpn
    assert [not math.isnan(value) for value in box] == [not learns for learns in learns_rpn]
    assert all(math.isfinite(value) for value in history.history["loss"])


def test_what_the_config_freezes_stays_frozen_in_every_stage():
    model = make_model(freeze_at=2)
    before = weights(model)
    model.fit(SHAPES, steps_per_epoch=2, verbose=0)
    after = weights(model)
    for path in before:
        if "/stem/" in path or "/res2" in path:
            np.testing.assert_array_equal(before[path], after[path], err_msg=path)
    assert changed(before, after) == set(PARTS)


@pytest.mark.slow
@pytest.mark.parametrize("stages", ["stage_wise", "alternating"])
def test_the_trained_model_detects_proposes_and_reloads(stages, tmp_path):
    model = make_model(stages)
    model.fit(SHAPES, steps_per_epoch=1, callbacks=[Checkpoints(tmp_path)], verbose=0)
    for folder in tmp_path.glob("stage-*"):
        assert int(MaskRCNN.load(folder / "last.keras").optimizer.iterations.numpy()) == 1
    image = SHAPES.load_image(0)
    model.save(tmp_path / "model.keras")
    again = MaskRCNN.load(tmp_path / "model.keras")
    (found,), (same,) = model.detect(image), again.detect(image)
    assert len(found)
    np.testing.assert_array_equal(found.boxes, same.boxes)
    np.testing.assert_array_equal(found.scores, same.scores)
    for one, other in zip(state_of(model), state_of(again), strict=True):
        np.testing.assert_array_equal(one, other)
    (given,) = model.detect([image], proposals=[model.propose(image)[0].boxes])
    np.testing.assert_allclose(given.boxes, found.boxes, atol=1e-3)
    np.testing.assert_allclose(given.scores, found.scores, atol=1e-5)


@pytest.mark.slow
def test_the_rpn_of_stage_wise_training_looks_at_features_of_its_own():
    model = make_model()
    image = SHAPES.load_image(0)
    before = model.propose(image)[0].boxes
    for variable in model.get_layer("backbone").weights:
        variable.assign(variable * 0.5)
    np.testing.assert_array_equal(model.propose(image)[0].boxes, before)
    for variable in model.get_layer("rpn_backbone").weights:
        variable.assign(variable * 0.5)
    assert not np.array_equal(model.propose(image)[0].boxes, before)


@pytest.mark.slow
def test_an_alternating_model_detects_as_one_trained_end_to_end():
    one, other = make_model("alternating"), make_model("end_to_end")
    with_names = weights(one)
    for variable in other.variables:
        if variable.path in with_names:
            variable.assign(with_names[variable.path])
    image = SHAPES.load_image(1)
    np.testing.assert_array_equal(one.propose(image)[0].boxes, other.propose(image)[0].boxes)


def test_the_optimizer_of_each_stage_is_like_the_given_one():
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, 10)
    optimizer, rates = keras.optimizers.AdamW(schedule, weight_decay=0.01, global_clipnorm=5.0), []

    class Rates(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            given = self.model.optimizer
            assert (type(given), given.weight_decay, given.global_clipnorm) == (keras.optimizers.AdamW, 0.01, 5.0)
            rates.append(logs["learning_rate"])

    make_model(optimizer=optimizer).fit(SHAPES, steps_per_epoch=2, callbacks=[Rates()], verbose=0)
    assert rates[:2] == rates[2:] and rates[0] > rates[1]
    assert int(optimizer.iterations.numpy()) == 0


@pytest.mark.parametrize("graph", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_papers_schedule_spans_a_stage(graph):
    model, rates = make_model(warmup_steps=0, learning_rate_drops=(0.5,)), []
    if graph:
        in_a_graph(model)

    class Rates(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            rates.append(logs["learning_rate"])

    model.fit(SHAPES, steps_per_epoch=2, callbacks=[Rates()], verbose=0)
    assert rates[:2] == rates[2:]
    assert rates[0] == pytest.approx(10 * rates[1])


@pytest.mark.slow
def test_validation_has_the_losses_of_the_stage_and_precision_once_there_are_heads():
    model, some = make_model(stage_proposals="stored"), SHAPES.subset([0, 1])
    precision = CocoEvaluation(some)
    history = model.fit(SHAPES, validation_data=some, steps_per_epoch=1, callbacks=[precision], verbose=0).history
    wanted = {"val_rpn_box_loss": [1, 0], "val_mask_loss": [0, 1], "val_loss": [1, 1], "val_bbox_AP": [0, 1]}
    for name, there in wanted.items():
        assert [not math.isnan(value) for value in history[name]] == [bool(one) for one in there], name


class Stop(keras.callbacks.Callback):
    """Interrupts at a step of a stage."""

    def __init__(self, stage, step):
        super().__init__()
        self.stage, self.step, self.begun = stage, step, -1

    def on_train_begin(self, logs=None):
        self.begun += 1

    def on_train_batch_end(self, batch, logs=None):
        if (self.begun, int(self.model.optimizer.iterations.numpy())) == (self.stage, self.step):
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_stopped_training_goes_on_in_its_stage(tmp_path):
    def run(folder, *callbacks):
        model = make_model(stage_proposals="stored")
        states = Checkpoints(folder, every=1)
        model.fit(SHAPES, epochs=1, steps_per_epoch=2, callbacks=[*callbacks, states], verbose=0)
        return model

    whole, done = run(tmp_path / "whole"), 0
    for stage, step in [(0, 1), (1, 1)]:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut", Stop(stage - done, step))
        done = stage
    resumed = run(tmp_path / "cut")
    for one, other in zip(state_of(whole), state_of(resumed), strict=True):
        np.testing.assert_array_equal(one, other)
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {p.name for p in (tmp_path / "whole").iterdir()}


def test_states_of_another_training_are_an_error(tmp_path):
    states = Checkpoints(tmp_path, every=1)
    with pytest.raises(KeyboardInterrupt):
        make_model().fit(SHAPES, steps_per_epoch=2, callbacks=[Stop(0, 1), states], verbose=0)
    again = Checkpoints(tmp_path, resume=False)
    with pytest.raises(ValueError, match="stage-1-rpn has a training's states"):
        make_model().fit(SHAPES, steps_per_epoch=2, callbacks=[again], verbose=0)


# ---- files of proposals ----


@pytest.fixture(scope="module")
def rpn_model():
    return make_model("end_to_end")


@pytest.fixture(scope="module")
def stored(rpn_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("proposals") / "shapes.h5"
    store_proposals(rpn_model, SHAPES, path, batch_size=3)
    return path


def test_stored_proposals_are_those_of_the_rpn(rpn_model, stored):
    file = ProposalFile(stored)
    assert list(file) == [SHAPES.image_name(index) for index in range(len(SHAPES))]
    for index in (0, 5):
        (found,) = rpn_model.propose(SHAPES.load_image(index), for_training=True)
        boxes, scores = file[SHAPES.image_name(index)]
        assert 0 < len(boxes) <= rpn_model.config.rpn_post_nms_topk_train
        np.testing.assert_allclose(boxes, found.boxes, atol=1e-3)
        np.testing.assert_allclose(scores, found.scores, atol=1e-4)
        assert (np.diff(scores) <= 0).all()


def test_training_on_a_file_is_training_on_live_proposals(rpn_model, stored):
    """Where photos are seen as they are, the RPN that never learns gives the same boxes to each step."""
    paths = {False: None, True: stored}
    batches = {given: next(iter(training_batches(SHAPES, batch_size=2, min_side=64, max_side=64, flip=False,
                                                 mask_size=rpn_model.config.gt_mask_size, proposals=path)))
               for given, path in paths.items()}  # fmt: skip
    graphs = rpn_model._training_graphs
    losses = {}
    for given, batch in batches.items():
        batch.pop("image_index")
        losses[given] = graphs.graph(rpn=False, given=given)(batch, training=False)
    for name in losses[True]:
        np.testing.assert_allclose(losses[True][name], losses[False][name], rtol=1e-4, err_msg=name)


def test_a_given_file_takes_the_rpns_place(stored):
    model, watch = make_model("end_to_end"), Watch()
    model.fit(SHAPES, steps_per_epoch=2, proposals=stored, callbacks=[watch], verbose=0)
    model.fit(SHAPES, steps_per_epoch=2, callbacks=[watch], verbose=0)  # and afterwards everything learns
    assert watch.learned == [FEATURES | HEADS, FEATURES | HEADS | RPN]


def test_good_proposals_are_what_is_learned_from(tmp_path):
    """With the objects' own boxes every RoI is an object; with boxes far from them none is."""
    path, losses = tmp_path / "boxes.h5", {}
    for kind in ("objects", "corner"):
        with ProposalWriter(path) as writer:
            for index in range(len(SHAPES)):
                boxes = SHAPES.load_annotations(index).boxes if kind == "objects" else [[0, 0, 1, 1]]
                writer.add(SHAPES.image_name(index), SHAPES.image_size(index), boxes)
        batch = next(iter(training_batches(SHAPES, batch_size=4, min_side=96, max_side=96, proposals=path)))
        losses[kind] = batch
    objects = losses["objects"]
    for row in range(4):  # resized and mirrored with the image
        count = int(np.sum(objects["gt_class_ids"][row] >= 0))
        ours, theirs = (np.sort(objects[name][row][:count], axis=0) for name in ("proposals", "gt_boxes"))
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
        assert not np.any(objects["proposals"][row][count:])


def test_batches_with_proposals_need_a_dataset(stored):
    batches = training_batches(SHAPES, batch_size=2, min_side=64, max_side=64)
    with pytest.raises(ValueError, match="mrcnn_keras.data.Dataset"):
        make_model(stage_proposals="stored").fit(batches, steps_per_epoch=1, verbose=0)
    with pytest.raises(ValueError, match="validation_proposals"):
        make_model().fit(SHAPES, validation_data=SHAPES, proposals=stored, steps_per_epoch=1, verbose=0)
    with pytest.raises(ValueError, match="box_inclusive train on live proposals only"):
        make_model("end_to_end", box_inclusive=True).fit(SHAPES, proposals=stored, verbose=0)
    with pytest.raises(ValueError, match="initial_epoch=3 does not say of which of the 2 stages"):
        make_model().fit(SHAPES, initial_epoch=3, epochs=4, verbose=0)


def test_the_stages_are_the_papers():
    named = {name: [stage.name for stage in stages_of(name)] for name in ("end_to_end", "stage_wise", "alternating")}
    assert named == {
        "end_to_end": ["end_to_end"],
        "stage_wise": ["rpn", "detector"],
        "alternating": ["rpn", "detector", "shared_rpn", "shared_detector"],
    }
    given = [[stage.name for stage in stages_of(name, given=True)] for name in ("stage_wise", "alternating")]
    assert given == [["detector"], ["detector", "shared_rpn", "shared_detector"]]
    assert [stage.stored for stage in stages_of("alternating", given=True)] == [True, False, False]
    with pytest.raises(ValueError, match="training_stages='stagewise'"):
        MaskRCNNConfig(training_stages="stagewise")
