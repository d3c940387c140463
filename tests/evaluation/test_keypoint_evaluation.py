"""Keypoint AP: by hand, and as pycocotools has it from files."""

import contextlib
import dataclasses
import io
import json
import types

import numpy as np
import pytest

from mrcnn_keras.data import COCO_PERSON, CocoDataset, Dataset, KeypointSet, ShapesDataset, make_annotations
from mrcnn_keras.evaluation import CocoEvaluation, coco_ground_truth, evaluate_coco, evaluate_results, format_table
from mrcnn_keras.evaluation.coco import KEYPOINT_STATISTICS
from mrcnn_keras.inference import Detections

SIZE = (120, 160)
SET = KeypointSet(("left_hand", "right_hand", "head"), sigmas=(0.06, 0.06, 0.03))
POINTS = np.array([[[10, 20, 2], [60, 25, 1], [0, 0, 0]], [[110, 40, 2], [150, 45, 2], [130, 10, 2]]], float)
BOXES = [[5, 5, 65, 95], [100, 2, 155, 90]]


class Hands(Dataset):
    """One image with two objects of three keypoints, one of which is not labelled."""

    keypoints = SET
    class_names = ("person",)

    def __init__(self, points=POINTS, crowd=(False, False)):
        self.points, self.crowd = points, crowd

    def __len__(self):
        return 1

    def load_image(self, index):
        return np.zeros((*SIZE, 3), np.uint8)

    def load_annotations(self, index):
        return make_annotations(SIZE, [0, 0], boxes=BOXES, keypoints=self.points, is_crowd=self.crowd)


def found(points, scores=(0.9, 0.8), **fields):
    points = np.array(points, float)
    points[..., 2] = 0.5
    return Detections(BOXES[: len(points)], scores[: len(points)], [0] * len(points), ("person",), size=SIZE,
                      keypoints=points, **fields)  # fmt: skip


class Oracle:
    """A model that finds the same in every image."""

    def __init__(self, answer, **config):
        self.answer = answer
        if config:
            self.config = types.SimpleNamespace(**config)

    def detect(self, images, batch_size=1, masks="bitmap"):
        return [self.answer] * len(images)


def evaluate(points, dataset=None, **options):
    return evaluate_coco(Oracle(found(points)), dataset or Hands(), verbose=False, **options)["keypoints"]


def oks(truth, points, area, sigmas):
    """COCO's object keypoint similarity, as its website puts it."""
    labelled = truth[:, 2] > 0
    squared = ((truth[:, :2] - points[:, :2]) ** 2).sum(axis=1)
    falls = np.exp(-squared / (2 * area * (2 * np.array(sigmas)) ** 2))
    return falls[labelled].sum() / labelled.sum()


def test_perfect_keypoints_score_one_and_sizes_without_truth_are_nan():
    metrics = evaluate(POINTS)
    assert tuple(metrics) == KEYPOINT_STATISTICS
    assert metrics["AP"] == metrics["AR"] == metrics["APm"] == pytest.approx(1) and np.isnan(metrics["APl"])


@pytest.mark.parametrize("shift", [3.0, 6.0, 9.0, 14.0])
@pytest.mark.parametrize("sigmas", [None, (0.03, 0.1, 0.05)])
def test_similarity_is_cocos(shift, sigmas):
    """AP is the share of the thresholds .5, .55, ... .95 that an only object's similarity reaches."""
    dataset = Hands(crowd=(False, True))
    moved = POINTS[:1] + [shift, 0.5 * shift, 0]
    area = float(np.prod(np.subtract(BOXES[0][2:], BOXES[0][:2])))
    similarity = oks(POINTS[0], moved[0], area, sigmas or SET.sigmas)
    expected = np.mean(similarity >= np.linspace(0.5, 0.95, 10))
    metrics = evaluate(moved, dataset, keypoint_sigmas=sigmas)
    assert metrics["AP"] == pytest.approx(expected) and metrics["AR"] == pytest.approx(expected)
    assert metrics["AP75"] == pytest.approx(float(similarity >= 0.75))


def test_the_place_of_an_unlabelled_keypoint_does_not_count():
    moved = POINTS.copy()
    moved[0, 2, :2] = 100
    assert evaluate(moved)["AP"] == pytest.approx(1)


def test_people_without_labelled_keypoints_and_crowds_count_neither_way():
    unlabelled = POINTS.copy()
    unlabelled[1] = 0
    for dataset in (Hands(unlabelled), Hands(crowd=(False, True))):
        assert evaluate(POINTS, dataset)["AP"] == pytest.approx(1)  # the second detection is no mistake
        assert evaluate(POINTS[:1], dataset)["AR"] == pytest.approx(1)  # nor is leaving it out


def test_sigmas_come_from_the_argument_the_config_the_dataset_or_coco():
    moved = POINTS + [4, 3, 0]
    by_dataset = evaluate(moved)["AP"]
    wide = (0.5, 0.5, 0.5)
    model = Oracle(found(moved), keypoint_sigmas=wide)
    assert 0 < by_dataset < 1 and evaluate(moved, keypoint_sigmas=wide)["AP"] == pytest.approx(1)
    assert evaluate_coco(model, Hands(), verbose=False)["keypoints"]["AP"] == pytest.approx(1)
    strict = evaluate_coco(model, Hands(), verbose=False, keypoint_sigmas=SET.sigmas)["keypoints"]["AP"]
    without = Oracle(found(moved), keypoint_sigmas=())
    assert strict == by_dataset == evaluate_coco(without, Hands(), verbose=False)["keypoints"]["AP"]
    results = found(moved).to_coco(0)
    assert evaluate_results(coco_ground_truth(Hands()), results)["keypoints"]["AP"] == by_dataset


def test_missing_or_wrong_sigmas_are_an_error():
    bare = Hands()
    bare.keypoints = dataclasses.replace(SET, sigmas=())
    with pytest.raises(ValueError, match="3 keypoints needs a sigma for each.*keypoint_sigmas"):
        evaluate(POINTS, bare)
    with pytest.raises(ValueError, match="keypoint_sigmas must be 3 numbers"):
        evaluate(POINTS, keypoint_sigmas=COCO_PERSON.sigmas)


def test_both_sides_need_keypoints():
    bare = dataclasses.replace(found(POINTS), keypoints=None)
    assert list(evaluate_coco(Oracle(bare), Hands(), verbose=False)) == ["bbox"]
    boxes_only = Hands()
    boxes_only.keypoints = None
    assert list(evaluate_coco(Oracle(found(POINTS)), boxes_only, verbose=False)) == ["bbox"]


def test_keypoints_are_found_by_name_among_the_models():
    order = [2, 0, 1]
    names = ("tail", *(SET.names[k] for k in order))
    points = np.concatenate([np.full((2, 1, 3), 77.0), POINTS[:, order]], axis=1)
    answer = found(points + [4, 3, 0], keypoint_names=names, keypoint_skeleton=((0, 3),))
    sigmas = (9.0, *(SET.sigmas[k] for k in order))
    for model in (Oracle(answer), Oracle(answer, keypoint_names=names, keypoint_sigmas=sigmas)):
        metrics = evaluate_coco(model, Hands(), verbose=False)["keypoints"]
        assert metrics["AP"] == evaluate(POINTS + [4, 3, 0])["AP"]
    with pytest.raises(ValueError, match="the model has 4 keypoints, but the dataset 3"):
        evaluate_coco(Oracle(found(points)), Hands(), verbose=False)


def test_classes_without_keypoints_may_be_there(tmp_path):
    """A file with people and dogs: boxes of both count, keypoints of people."""
    person = {"id": 1, "image_id": 3, "category_id": 1, "bbox": [5, 5, 60, 90], "area": 5400, "iscrowd": 0}
    person |= {"keypoints": [9.5, 19.5, 2, 59.5, 24.5, 1, 0, 0, 0], "num_keypoints": 2}
    dog = {"id": 2, "image_id": 3, "category_id": 2, "bbox": [100, 2, 55, 88], "area": 4840, "iscrowd": 0}
    categories = [{"id": 1, "name": "person", "keypoints": list(SET.names)}, {"id": 2, "name": "dog"}]
    file = tmp_path / "both.json"
    images = [{"id": 3, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}]
    file.write_text(json.dumps({"images": images, "annotations": [person, dog], "categories": categories}))
    with contextlib.redirect_stdout(io.StringIO()):
        from pycocotools.coco import COCO

        truth = COCO(file)
    answer = dataclasses.replace(found(POINTS), class_ids=[0, 1], class_names=("person", "dog"))
    metrics = evaluate_results(truth, answer.to_coco(3), keypoint_sigmas=SET.sigmas)
    assert list(metrics) == ["bbox", "keypoints"] and metrics["bbox"]["AP"] == pytest.approx(1)
    assert metrics["keypoints"]["AP"] == pytest.approx(1)


def test_nothing_found_scores_zero():
    none = found(np.zeros((0, 3, 3)), ())
    metrics = evaluate_coco(Oracle(none), Hands(), verbose=False)
    assert metrics["keypoints"]["AP"] == metrics["bbox"]["AP"] == 0


@pytest.mark.shared
@pytest.mark.parametrize("spread", [0.02, 0.06])
def test_equals_pycocotools_on_cocos_people(shared_dir, tmp_path, spread):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    root = shared_dir / "data" / "coco_keypoints"
    file = root / "annotations" / "person_keypoints_train2017.json"
    dataset = CocoDataset(root / "train2017", file)
    rng = np.random.default_rng(1)

    def answer(index):
        truth = dataset.load_annotations(index)
        truth = truth.take(~truth.is_crowd)
        truth = truth.take(rng.random(len(truth)) < 0.9)
        points = truth.keypoints.copy()
        guess = rng.uniform(truth.boxes[:, None, :2], truth.boxes[:, None, 2:], points[..., :2].shape)
        points[..., :2] = np.where(points[..., 2:] > 0, points[..., :2], guess)
        points[..., :2] += rng.normal(size=points[..., :2].shape) * spread * np.sqrt(truth.areas)[:, None, None]
        points[..., 2] = rng.random(points.shape[:2])
        fields = {"rles": truth.masks, "size": truth.size, "keypoints": points}
        return Detections(truth.boxes, rng.random(len(truth)), truth.class_ids, ("person",), **fields)

    answers = [answer(index) for index in range(len(dataset))]
    turn = iter(answers)
    model = types.SimpleNamespace(detect=lambda images, **_: [next(turn) for _ in images])
    metrics = evaluate_coco(model, dataset, batch_size=7, verbose=False)
    results = [r for i, one in enumerate(answers) for r in one.to_coco(dataset.image_id(i), [1])]
    unused = {
        "bbox": ("segmentation", "keypoints"),
        "segm": ("bbox", "keypoints"),
        "keypoints": ("bbox", "segmentation"),
    }
    for kind, fields in unused.items():
        stripped = [{k: v for k, v in one.items() if k not in fields} for one in results]
        (tmp_path / "results.json").write_text(json.dumps(stripped))
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(str(file))
            direct = COCOeval(coco, coco.loadRes(str(tmp_path / "results.json")), kind)
            direct.evaluate()
            direct.accumulate()
            direct.summarize()
        given = np.array(list(metrics[kind].values()))
        expected = direct.stats[: len(given)]
        np.testing.assert_allclose(given, np.where(expected < 0, np.nan, expected), atol=1e-12, err_msg=kind)
        assert 0.05 < metrics[kind]["AP"] <= 1


def test_table_has_a_part_for_each_set_of_columns(capsys):
    boxes = {"AP": 0.5, "APs": 0.25, "AR100": 0.625}
    format_table(
        {"bbox": boxes, "segm": {**boxes, "AP": 0.375}, "keypoints": {"AP": 0.75, "AR": float("nan")}}, "people"
    )
    lines = capsys.readouterr().out.splitlines()
    heads = [line for line in lines if "AP" in line]
    assert len(heads) == 2 and "APs" in heads[0] and "APs" not in heads[1] and "AR100" not in heads[1]
    assert sum("people" in line for line in lines) == 1
    (row,) = [line for line in lines if "points" in line]
    assert "75.0" in row and row.count("-") == 1


def test_keypoint_table_fits_a_terminal(capsys):
    format_table({"keypoints": dict.fromkeys(KEYPOINT_STATISTICS, 0.123)})
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80 and "…" not in "".join(lines)


def test_training_logs_keypoints_from_the_first_epoch_on():
    callback = CocoEvaluation(Hands(), every=2)
    callback.set_params({"epochs": 4})
    callback._model = Oracle(found(POINTS), num_keypoints=3)
    first, second = {}, {}
    callback.on_epoch_end(0, first)
    callback.on_epoch_end(1, second)
    assert np.isnan(first["val_keypoints_AP"]) and second["val_keypoints_AP"] == pytest.approx(1)
    assert "val_keypoints_AP50" in second
    callback = CocoEvaluation(ShapesDataset(2), every=2)
    callback._model, logs = Oracle(None), {}
    callback.on_epoch_end(0, logs)
    assert "val_bbox_AP" in logs and "val_keypoints_AP" not in logs


def test_training_says_at_once_that_sigmas_are_missing():
    bare = Hands()
    bare.keypoints = dataclasses.replace(SET, sigmas=())
    callback = CocoEvaluation(bare)
    callback._model = Oracle(found(POINTS), num_keypoints=3, keypoint_sigmas=())
    with pytest.raises(ValueError, match="3 keypoints needs a sigma for each.*model's config"):
        callback.on_train_begin()
    callback._model.config.keypoint_sigmas = (0.1,) * 3
    callback.on_train_begin()
    callback._model = Oracle(None, num_keypoints=0)
    callback.on_train_begin()
