import contextlib
import io
import json

import numpy as np
import pytest

from mrcnn_keras.data import Dataset, make_annotations
from mrcnn_keras.evaluation import (
    coco_ground_truth,
    evaluate_coco,
    evaluate_results,
    format_table,
    write_coco_results,
)
from mrcnn_keras.inference import Detections

from .oracle import Oracle

SIZE = (60, 80)
NAMES = ("cat", "dog")


class Rectangles(Dataset):
    """Images with the given (class id, x1, y1, x2, y2, crowd) objects."""

    class_names = NAMES

    def __init__(self, objects, ids=None):
        self.objects, self.ids = objects, ids or list(range(100, 100 + len(objects)))

    def __len__(self):
        return len(self.objects)

    def image_id(self, index):
        return self.ids[index]

    def load_image(self, index):
        return np.full((*SIZE, 3), index, np.uint8)

    def load_annotations(self, index):
        masks = np.zeros((len(self.objects[index]), *SIZE), bool)
        for mask, (_, x1, y1, x2, y2, _) in zip(masks, self.objects[index]):
            mask[y1:y2, x1:x2] = True
        crowd = [bool(o[5]) for o in self.objects[index]]
        return make_annotations(SIZE, [o[0] for o in self.objects[index]], masks=masks, is_crowd=crowd)


def truth_as_detections(dataset, index, shift=0, keep=slice(None), with_masks=True):
    """The annotations that are no crowds, moved to the right."""
    found = dataset.load_annotations(index)
    found = found.take(~found.is_crowd)
    boxes = found.boxes + np.array([shift, 0, shift, 0], np.float32)
    detections = Detections(boxes=boxes, scores=np.linspace(0.9, 0.5, len(found)), class_ids=found.class_ids,
                            class_names=NAMES, rles=found.masks, size=SIZE)  # fmt: skip
    if shift:
        masks = np.roll(detections.to_masks(), shift, axis=2)
        detections = Detections(boxes, detections.scores, detections.class_ids, NAMES, masks=masks)
    if not with_masks:
        detections = Detections(boxes, detections.scores, detections.class_ids, NAMES, size=SIZE)
    return detections[keep]


@pytest.fixture
def dataset():
    first = [(0, 5, 5, 45, 50, 0), (1, 50, 10, 78, 58, 0)]
    last = [(0, 0, 0, 20, 20, 0), (0, 40, 30, 70, 55, 0)]
    return Rectangles([first, [], last])


def test_perfect_detections_score_one(dataset):
    metrics = evaluate_coco(Oracle(lambda i: truth_as_detections(dataset, i)), dataset, verbose=False)
    for kind in ("bbox", "segm"):
        assert [metrics[kind][n] for n in ("AP", "AP50", "AP75", "AR10", "AR100")] == pytest.approx([1.0] * 5)
        assert isinstance(metrics[kind]["AP"], float)


def test_size_classes_without_ground_truth_are_nan(dataset):
    metrics = evaluate_coco(Oracle(lambda i: truth_as_detections(dataset, i)), dataset, verbose=False)
    assert np.isnan(metrics["bbox"]["APl"]) and np.isnan(metrics["segm"]["APl"])
    assert metrics["bbox"]["APs"] == pytest.approx(1.0)


def test_no_detections_score_zero(dataset):
    metrics = evaluate_coco(Oracle(lambda i: truth_as_detections(dataset, i)[:0]), dataset, verbose=False)
    assert metrics["bbox"]["AP"] == metrics["segm"]["AP"] == 0.0


@pytest.mark.parametrize("objects", [[], [[], []]], ids=["no images", "images without objects"])
def test_nothing_to_find_is_nan(objects):
    empty = Rectangles(objects)
    metrics = evaluate_coco(Oracle(lambda i: truth_as_detections(empty, i)), empty, verbose=False)
    assert np.isnan(metrics["bbox"]["AP"]) and np.isnan(metrics["segm"]["AP"])


def test_false_alarm_in_an_image_without_objects_costs_precision(dataset):
    def answer(index):
        return truth_as_detections(dataset, 0 if index == 1 else index)

    metrics = evaluate_coco(Oracle(answer), dataset, verbose=False)
    assert 0 < metrics["bbox"]["AP"] < 1


def test_model_without_masks_gets_boxes_only(dataset):
    oracle = Oracle(lambda i: truth_as_detections(dataset, i, with_masks=False))
    metrics = evaluate_coco(oracle, dataset, verbose=False)
    assert list(metrics) == ["bbox"] and metrics["bbox"]["AP"] == pytest.approx(1.0)


def test_batches_and_max_images(dataset):
    oracle = Oracle(lambda i: truth_as_detections(dataset, i))
    evaluate_coco(oracle, dataset, batch_size=2, verbose=False)
    assert oracle.batches == [2, 1]
    oracle = Oracle(lambda i: truth_as_detections(dataset, i))
    evaluate_coco(oracle, dataset, batch_size=2, max_images=1, verbose=False)
    assert oracle.batches == [1]


def test_detections_inside_a_crowd_are_not_counted_wrong():
    with_crowd = Rectangles([[(0, 2, 2, 12, 12, 0), (0, 20, 0, 80, 60, 1)]])
    plain = Rectangles([[(0, 2, 2, 12, 12, 0)]])
    seen = Detections([[30, 10, 40, 20], [2, 2, 12, 12]], [0.9, 0.5], [0, 0], NAMES, size=SIZE)
    results = seen.to_coco(100)
    assert evaluate_results(coco_ground_truth(with_crowd), results)["bbox"]["AP"] == pytest.approx(1.0)
    assert evaluate_results(coco_ground_truth(plain), results)["bbox"]["AP"] == pytest.approx(0.5)


def test_equals_pycocotools_on_files(dataset, tmp_path):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def answer(index):
        return truth_as_detections(dataset, index, shift=4)

    metrics = evaluate_coco(Oracle(answer), dataset, verbose=False, backend="pycocotools")
    truth = coco_ground_truth(dataset).dataset
    results = [r for i in range(len(dataset)) for r in answer(i).to_coco(dataset.image_id(i))]
    for annotation in truth["annotations"]:
        counts = annotation["segmentation"]["counts"]
        annotation["segmentation"]["counts"] = counts.decode() if isinstance(counts, bytes) else counts
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    for kind, unused in (("bbox", "segmentation"), ("segm", "bbox")):
        stripped = [{k: v for k, v in r.items() if k != unused} for r in results]
        (tmp_path / "results.json").write_text(json.dumps(stripped))
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(str(tmp_path / "truth.json"))
            direct = COCOeval(coco, coco.loadRes(str(tmp_path / "results.json")), kind)
            direct.evaluate()
            direct.accumulate()
            direct.summarize()
        expected = np.where(direct.stats[:9] < 0, np.nan, direct.stats[:9])
        assert 0 < expected[0] < 1
        np.testing.assert_array_equal(list(metrics[kind].values()), expected)


def test_nothing_is_printed_when_silent(dataset, capfd):
    evaluate_coco(Oracle(lambda i: truth_as_detections(dataset, i)), dataset, verbose=False)
    assert capfd.readouterr().out == ""


def test_progress_bar_ends_at_the_last_batch(dataset, capfd):
    evaluate_coco(Oracle(lambda i: truth_as_detections(dataset, i)), dataset)
    assert "3/3" in capfd.readouterr().out


def test_broken_images_are_left_out_when_the_dataset_skips_them(dataset):
    class OneBroken(Rectangles):
        def load_image(self, index):
            if index == 2:
                raise ValueError("broken")
            return super().load_image(index)

    broken = OneBroken(dataset.objects)
    oracle = Oracle(lambda i: truth_as_detections(dataset, i))
    with pytest.raises(ValueError, match="broken"):
        evaluate_coco(oracle, broken, verbose=False)
    broken.skip_broken = True
    assert evaluate_coco(oracle, broken, verbose=False)["bbox"]["AP"] == pytest.approx(1.0)
    assert len(coco_ground_truth(broken).dataset["images"]) == 2


def test_ground_truth_keeps_crowds_areas_and_ids(dataset):
    truth = coco_ground_truth(Rectangles([[(1, 10, 20, 30, 50, 1)]], ids=[7]))
    (annotation,) = truth.dataset["annotations"]
    assert annotation["image_id"] == 7 and annotation["category_id"] == 2 and annotation["iscrowd"] == 1
    assert annotation["bbox"] == [10, 20, 20, 30] and annotation["area"] == 600 and annotation["id"] > 0
    assert [c["name"] for c in truth.dataset["categories"]] == list(NAMES)


def test_a_mistaken_image_id_is_named(dataset):
    results = [{"image_id": 5, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1.0}]
    with pytest.raises(ValueError, match="5"):
        evaluate_results(coco_ground_truth(dataset), results)


def test_another_number_of_classes_is_an_error(dataset):
    oracle = Oracle(lambda i: Detections(np.zeros((0, 4)), [], [], ("a",), size=SIZE))
    with pytest.raises(ValueError, match="1 classes, but the dataset 2"):
        evaluate_coco(oracle, dataset, verbose=False)


def test_table_shows_percentages_and_a_dash_for_nan(capsys):
    format_table({"bbox": {"AP": 0.6543, "APl": float("nan")}, "segm": {"AP": 0.5, "APl": 0.25}})
    out = capsys.readouterr().out
    assert "65.4" in out and "25.0" in out and "-" in out and "boxes" in out and "masks" in out


def test_classes_are_found_by_name_among_the_models(dataset):
    """A model with other classes in between, in another order, and detections of them."""
    own = ("N/A", "dog", "bird", "cat")

    def answer(index):
        found = truth_as_detections(dataset, index)
        ids = np.array([own.index(name) for name in found.names], np.int32)
        bird = Detections(np.array([[0, 0, 9, 9]]), [0.99], [2], own, size=SIZE)
        boxes, scores = np.concatenate([found.boxes, bird.boxes]), np.concatenate([found.scores, bird.scores])
        masks = np.concatenate([found.to_masks(), np.ones((1, *SIZE), bool)])
        return Detections(boxes, scores, np.concatenate([ids, [2]]), own, masks=masks)

    metrics = evaluate_coco(Oracle(answer), dataset, verbose=False)
    assert metrics["bbox"]["AP"] == pytest.approx(1) and metrics["segm"]["AP"] == pytest.approx(1)


def test_options_of_detect_are_handed_on(dataset, tmp_path):
    model = Oracle(lambda index: truth_as_detections(dataset, index))
    evaluate_coco(model, dataset, verbose=False)
    evaluate_coco(model, dataset, verbose=False, tta=True, detect_options={"soft_nms_sigma": 0.5})
    write_coco_results(model, dataset, tmp_path, verbose=False, detect_options={"tiles": 64})
    assert [dict(one) for one in dict.fromkeys(tuple(options.items()) for options in model.options)] == [
        {}, {"soft_nms_sigma": 0.5, "tta": True}, {"tiles": 64},
    ]  # fmt: skip
