"""MaskRCNN as a user meets it: training, detection, files, errors."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mrcnn_keras import MaskRCNN, NonFiniteLossError
from mrcnn_keras.data import Dataset, ShapesDataset, make_annotations

from .tiny import C4, tiny_config, tiny_model

pytestmark = pytest.mark.usefixtures("eager_training")

MOVING = ("moving_mean", "moving_variance", "draws")


def tiny(**fields) -> MaskRCNN:
    return tiny_model(**{"backbone_norm": "batch", **fields})


def shapes(count=8, seed=0):
    return ShapesDataset(count, seed=seed, size=(64, 64))


def fit(model, data=None, **arguments):
    return model.fit(data or shapes(), **{"epochs": 1, "steps_per_epoch": 2, "verbose": 0, **arguments})


def weights(model):
    return {v.path: v.numpy() for v in model.variables}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for path in a:
        np.testing.assert_array_equal(a[path], b[path], err_msg=path)


class NoObjects(Dataset):
    class_names = ("a", "b", "c")

    def __len__(self):
        return 4

    def load_image(self, index):
        return np.full((50 + index, 40, 3), 60 * index, np.uint8)

    def load_annotations(self, index):
        return make_annotations((50 + index, 40), [], masks=[])


@pytest.fixture(scope="module")
def trained(eager_training):
    """A model after two epochs, and its history."""
    model = tiny()
    model.compile()
    history = fit(model, validation_data=shapes(3, seed=1), epochs=2)
    return model, history


def test_fit_reports_every_loss_and_the_learning_rate(trained):
    _, history = trained
    parts = {"loss", "rpn_class_loss", "rpn_box_loss", "class_loss", "box_loss", "mask_loss"}
    assert set(history.history) == parts | {f"val_{p}" for p in parts} | {"learning_rate"}
    for name, values in history.history.items():
        assert len(values) == 2 and np.isfinite(values).all(), name
    total = sum(history.history[p][0] for p in parts - {"loss"})
    assert history.history["loss"][0] == pytest.approx(total, rel=1e-4)


def test_training_in_a_graph_lowers_the_loss():
    model = tiny()
    model.compile(learning_rate=0.01, run_eagerly=False)
    data = shapes(2)
    first = fit(model, data, steps_per_epoch=5).history["loss"][0]
    fit(model, data, steps_per_epoch=30)
    assert fit(model, data, steps_per_epoch=5).history["loss"][0] < 0.8 * first


def test_one_seed_one_result():
    runs = []
    for seed in (0, 0, 1):
        model = tiny(seed=seed)
        model.compile()
        fit(model, steps_per_epoch=2)
        runs.append(weights(model))
    assert_same(runs[0], runs[1])
    assert any((runs[0][path] != runs[2][path]).any() for path in runs[0])


def test_a_model_saved_midway_goes_on_to_the_same_weights(tmp_path):
    straight, stopped = tiny(), tiny()
    for model in (straight, stopped):
        model.compile(total_steps=6)
    fit(straight, epochs=2, steps_per_epoch=3)
    fit(stopped, epochs=1, steps_per_epoch=3)
    stopped.save(tmp_path / "half.keras")
    resumed = MaskRCNN.load(tmp_path / "half.keras")
    assert int(resumed.optimizer.iterations) == 3
    fit(resumed, epochs=2, initial_epoch=1, steps_per_epoch=3)
    assert_same(weights(straight), weights(resumed))


def test_default_schedule_survives_saving(tmp_path):
    model = tiny()
    model.compile()
    fit(model, epochs=2, steps_per_epoch=3)
    model.save(tmp_path / "m.keras")
    loaded = MaskRCNN.load(tmp_path / "m.keras")
    for step in (0, 3, 5):
        assert float(loaded.optimizer._learning_rate(step)) == float(model.optimizer._learning_rate(step))


def test_detections_are_well_formed_for_any_size_and_batch(trained):
    model, _ = trained
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, size, np.uint8) for size in ((37, 90, 3), (64, 64, 3), (200, 51, 3), (3, 3, 3))]
    singly = [model.detect(image)[0] for image in images]
    for image, found in zip(images, singly, strict=True):
        height, width = image.shape[:2]
        assert len(found) <= 10
        assert (found.boxes[:, :2] >= 0).all() and (found.boxes <= [width, height] * 2).all()
        assert found.masks.shape == (len(found), height, width) and found.masks.dtype == bool
        assert ((found.class_ids >= 0) & (found.class_ids < 3)).all()
        assert (np.diff(found.scores) <= 0).all()
    together = model.detect(images, batch_size=3)
    assert len(together) == len(images)


def test_padding_of_a_batch_does_not_change_an_images_detections(trained):
    model, _ = trained
    images = [shapes().load_image(i) for i in range(3)]
    for one, many in zip([model.detect(i)[0] for i in images], model.detect(images, batch_size=3), strict=True):
        np.testing.assert_allclose(one.boxes, many.boxes, atol=1e-2)
        np.testing.assert_allclose(one.scores, many.scores, atol=1e-4)


def test_detection_is_traced_once_for_all_sizes_and_batches(trained):
    model, _ = trained
    model.detect(shapes().load_image(0))
    function = model._detect_function._alone
    for sides, batch_size in (((40, 90), 1), ((90, 40), 2), ((64, 64), 3), ((300, 20), 1)):
        model.detect([np.zeros((*sides, 3), np.uint8)] * 3, batch_size=batch_size)
    assert function is model._detect_function._alone and function.experimental_get_tracing_count() == 1


def test_many_files_are_detected_as_one_after_the_other(trained, tmp_path):
    model, _ = trained
    paths = [tmp_path / f"{number}.png" for number in range(7)]
    for number, path in enumerate(paths):
        Image.fromarray(np.roll(shapes().load_image(number), 9, axis=1)[: 64 - 3 * number]).save(path)
    with Image.open(paths[0]) as opened:  # Pillow has not read its pixels yet
        images = [*paths, opened, opened]
        singly = [model.detect(path)[0] for path in [*paths, paths[0], paths[0]]]
        together = model.detect(images)
    assert [found.image for found in together] == images
    for one, other in zip(singly, together, strict=True):
        for name in ("boxes", "scores", "class_ids", "masks"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def detecting_threads():
    return [one for one in threading.enumerate() if one.name.startswith("detect")]


def test_an_unreadable_image_among_others_is_named_and_leaves_no_thread(trained, tmp_path):
    model, _ = trained
    images = [shapes().load_image(0), tmp_path / "lost.jpg", shapes().load_image(1), tmp_path / "other.jpg"]
    for batch_size in (1, 2, 4):
        with pytest.raises(ValueError, match="lost.jpg"):
            model.detect(images, batch_size=batch_size)
        assert not detecting_threads()


def test_an_interrupted_detection_leaves_no_thread(trained, monkeypatch):
    model, _ = trained
    ran, network = [], model._detect_function

    def interrupted(batches):
        ran.append(len(batches))
        if len(ran) == 2:
            raise KeyboardInterrupt
        return network(batches)

    monkeypatch.setattr(model, "_detect_function", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.detect([shapes().load_image(0)] * 5)
    assert len(ran) == 2 and not detecting_threads()


def test_a_form_of_masks_that_there_is_not(trained):
    with pytest.raises(ValueError, match="polygon.*bitmap"):
        trained[0].detect([], masks="polygon")


def test_masks_can_be_run_lengths_or_left_out(trained):
    from pycocotools import mask as coco_mask

    model, _ = trained
    image = shapes().load_image(0)
    bitmap, rle, none = (model.detect(image, masks=form)[0] for form in ("bitmap", "rle", None))
    assert none.masks is None and rle.masks is None
    np.testing.assert_array_equal(coco_mask.decode(rle.rles).transpose(2, 0, 1).astype(bool), bitmap.masks)


def test_score_threshold_only_raises(trained):
    model, _ = trained
    image = shapes().load_image(0)
    everything = model.detect(image)[0]
    middle = float(np.median(everything.scores))
    kept = model.detect(image, score_threshold=middle)[0]
    assert len(kept) == (everything.scores > middle).sum()


def test_save_and_load_detect_the_same(trained, tmp_path):
    model, _ = trained
    model.save(tmp_path / "model.keras")
    loaded = MaskRCNN.load(tmp_path / "model.keras")
    assert loaded.config == model.config
    image = shapes().load_image(3)
    a, b = model.detect(image)[0], loaded.detect(image)[0]
    np.testing.assert_array_equal(a.boxes, b.boxes)
    np.testing.assert_array_equal(a.masks, b.masks)
    assert keras.saving.load_model(tmp_path / "model.keras").config == model.config


def test_a_blank_model_is_the_same_but_for_its_kernels():
    config = tiny_config()
    drawn, blank, again = MaskRCNN(config), MaskRCNN.blank(config), MaskRCNN(config)
    assert_same(weights(drawn), weights(again))
    assert [(v.path, v.shape) for v in drawn.variables] == [(v.path, v.shape) for v in blank.variables]
    differing = [path for path, value in weights(blank).items() if (value != weights(drawn)[path]).any()]
    assert len(differing) > 20 and all(path.endswith("kernel") for path in differing)
    assert not any(weights(blank)[path].any() for path in differing)
    blank.set_weights(drawn.get_weights())
    image = shapes().load_image(0)
    np.testing.assert_array_equal(blank.detect(image)[0].boxes, drawn.detect(image)[0].boxes)


def test_load_names_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match="absent.keras"):
        MaskRCNN.load(tmp_path / "absent.keras")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "dense.keras")
    with pytest.raises(ValueError, match="Sequential"):
        MaskRCNN.load(tmp_path / "dense.keras")


def test_images_without_objects_train_and_have_no_box_or_mask_loss():
    model = tiny()
    model.compile()
    history = fit(model, NoObjects(), validation_data=NoObjects()).history
    assert history["box_loss"] == [0.0] and history["mask_loss"] == [0.0]
    assert history["loss"][0] > 0 and all(np.isfinite(w).all() for w in weights(model).values())


def test_model_without_masks():
    model = tiny(mask_head="none")
    model.compile()
    assert "mask_loss" not in fit(model).history
    found = model.detect(shapes().load_image(0))[0]
    assert found.masks is None and len(found.boxes) == len(found.scores)


@pytest.mark.parametrize(
    "fields",
    [
        {"backbone_norm": "group", "fpn_norm": "group", "head_norm": "group", "box_head": "4conv1fc"},
        *(
            pytest.param(fields, marks=pytest.mark.slow)
            for fields in (
                {"backbone_norm": "sync_batch", "fpn_norm": "batch"},
                {"backbone_norm": "frozen", "freeze_at": 2, "roi_aligned": False, "roi_sampling_ratio": 0},
            )
        ),
        {
            "mask_class_agnostic": True,
            "box_class_agnostic": True,
            "anchor_sizes": ((8, 12),) * 5,
            "anchor_ratios": (1.0,),
            "train_min_sides": (48, 64),
            "backbone": "resnet101",
        },
    ],
)
def test_config_fields_build_train_and_detect(fields):
    model = tiny(**fields)
    model.compile()
    assert np.isfinite(fit(model).history["loss"]).all()
    model.detect(shapes().load_image(0))


@pytest.mark.slow
def test_gradient_checkpointing_changes_no_weight():
    runs = []
    for checkpointing in (False, True):
        model = tiny(backbone_norm="group", freeze_at=1, gradient_checkpointing=checkpointing, **C4)
        model.compile(run_eagerly=False)
        fit(model, steps_per_epoch=2)
        runs.append(weights(model))
    assert_same(*runs)


@pytest.mark.parametrize("optimizer", ["adam", pytest.param(keras.optimizers.AdamW(1e-3), marks=pytest.mark.slow)])
def test_any_keras_optimizer(optimizer):
    model = tiny()
    model.compile(optimizer)
    assert np.isfinite(fit(model).history["loss"]).all()


def test_fit_takes_a_tf_data_dataset():
    from mrcnn_keras.data import training_batches

    model = tiny()
    model.compile()
    batches = training_batches(shapes(), batch_size=2, min_side=64, max_side=64, mask_size=28)
    assert np.isfinite(fit(model, batches).history["loss"]).all()


def test_a_loss_that_is_not_finite_stops_training_and_spares_the_weights():
    model = tiny()
    model.compile(learning_rate=1e30)
    finite = []
    with pytest.raises(NonFiniteLossError, match="not finite.*loss.*images"):
        for _ in range(5):
            fit(model, steps_per_epoch=1)
            finite.append(weights(model))
    assert all(np.isfinite(w).all() for path, w in weights(model).items() if path.endswith(MOVING[:2]))
    assert_same({p: w for p, w in finite[-1].items() if not p.endswith(MOVING)},
                {p: w for p, w in weights(model).items() if not p.endswith(MOVING)})  # fmt: skip


class OneBroken(NoObjects):
    def load_image(self, index):
        if index == 2:
            raise ValueError("cannot read 'torn.jpg': it is truncated")
        return super().load_image(index)


def test_a_broken_image_is_an_error_that_names_it():
    with pytest.raises(ValueError, match="image '2': cannot read 'torn.jpg': it is truncated"):
        fit(tiny(), OneBroken())


def test_class_count_mismatch_names_both():
    model = tiny(num_classes=2)
    with pytest.raises(ValueError, match="3 classes.*model 2.*num_classes=3"):
        fit(model)


def test_names_of_the_dataset_reach_the_detections():
    model = tiny()
    fit(model)
    assert model.detect(shapes().load_image(0))[0].class_names == ("circle", "square", "triangle")


def test_model_outputs_padding_convention():
    model = tiny(rpn_post_nms_topk_test=5, max_detections=20)  # at most 5 boxes of 3 classes
    batch = {"images": np.zeros((1, 64, 64, 3), np.uint8), "image_sizes": np.array([[64, 64]], np.float32)}
    out = {name: np.asarray(value) for name, value in model(batch).items()}
    padding = out["class_ids"] == -1
    assert padding[:, 15:].all() and not padding[:, 0].any()
    assert not out["boxes"][padding].any() and not out["scores"][padding].any()
    assert not out["mask_probs"][padding].any() and out["mask_probs"][~padding].any()
    assert out["mask_probs"].shape == (1, 20, 28, 28)


def test_graph_mode_matches_eager(trained):
    model, _ = trained
    image = shapes().load_image(1)[None].astype(np.float32)
    batch = {"images": image, "image_sizes": np.array([[64.0, 64.0]], np.float32)}
    eager = model(batch)
    graph = tf.function(model)(batch)
    np.testing.assert_allclose(eager["boxes"], graph["boxes"], atol=1e-3)
