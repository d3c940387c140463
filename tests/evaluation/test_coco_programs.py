"""COCO's numbers by either program, by class, and from the files for the evaluation server."""

import contextlib
import gc
import importlib.util
import io
import json
import weakref

import numpy as np
import pytest

from mrcnn_keras.data import CocoDataset
from mrcnn_keras.evaluation import evaluate_coco, evaluate_results, format_class_table, write_coco_results
from mrcnn_keras.inference import Detections

from .oracle import Oracle
from .test_coco_evaluation import NAMES, SIZE, Rectangles, truth_as_detections

CAT, DOG = 0, 1
OBJECTS = [
    [(CAT, 5, 5, 25, 30, 0), (CAT, 30, 5, 50, 30, 0), (DOG, 10, 35, 70, 55, 0)],
    [],
    [(DOG, 2, 2, 14, 14, 0), (CAT, 20, 20, 60, 50, 1)],
]


def moved(dataset, index):
    """Some detections right, some shifted, in an image without objects one too many."""
    if index == 1:
        return Detections([[1, 1, 9, 9]], [0.7], [CAT], NAMES, rles=truth_as_detections(dataset, 0).rles[:1], size=SIZE)
    return truth_as_detections(dataset, index, shift=3 * index + 2)


def same(one, other):
    assert one.keys() == other.keys()
    for kind in one:
        for name, value in one[kind].items():
            if name == "classes":
                same(value, other[kind][name])
            else:
                np.testing.assert_allclose(value, other[kind][name], rtol=0, atol=1e-9, err_msg=f"{kind} {name}")


def both(dataset, answer, **options):
    return [evaluate_coco(Oracle(answer), dataset, verbose=False, backend=backend, **options)
            for backend in ("pycocotools", "faster_coco_eval")]  # fmt: skip


def test_both_programs_give_the_same_numbers():
    pytest.importorskip("faster_coco_eval")
    dataset = Rectangles(OBJECTS)
    one, other = both(dataset, lambda index: moved(dataset, index), per_class=True)
    assert 0 < one["bbox"]["AP"] < 1 and 0 < one["segm"]["AP50"] <= 1
    same(one, other)
    nothing = Detections(np.zeros((0, 4)), [], [], NAMES, rles=[], size=SIZE)
    one, other = both(dataset, lambda index: nothing)
    assert one["bbox"]["AP"] == 0
    same(one, other)
    empty = Rectangles([[], []])
    same(*both(empty, lambda index: nothing, per_class=True))


def test_an_unknown_program_is_named():
    with pytest.raises(ValueError, match="backend='matlab': expected one of auto, pycocotools, faster_coco_eval"):
        evaluate_coco(Oracle(None), Rectangles(OBJECTS), backend="matlab")


def test_a_program_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install faster-coco-eval"):
        evaluate_coco(Oracle(None), Rectangles(OBJECTS), backend="faster_coco_eval")


def test_image_ids_that_are_names():
    dataset = Rectangles(OBJECTS, ids=["a", "b", "c"])
    model = Oracle(lambda index: moved(dataset, index))
    assert evaluate_coco(model, dataset, verbose=False)["bbox"]["AP50"] > 0
    if importlib.util.find_spec("faster_coco_eval"):
        with pytest.raises(ValueError, match="whole numbers only as image ids"):
            evaluate_coco(model, dataset, verbose=False, backend="faster_coco_eval")


def test_classes(capsys):
    dataset = Rectangles([[(CAT, 5, 5, 25, 30, 0)], [(CAT, 10, 5, 50, 30, 0)]])

    def answer(index):
        return truth_as_detections(dataset, index, keep=slice(0, 1 - index))

    metrics = evaluate_coco(Oracle(answer), dataset, verbose=False, per_class=True)
    cat, dog = (metrics["segm"]["classes"][name] for name in NAMES)
    assert cat == {name: metrics["segm"][name] for name in ("AP", "AP50", "AP75")}
    assert 0.5 < cat["AP"] < 0.51  # one object of two
    assert all(np.isnan(value) for value in dog.values())
    format_class_table(metrics)
    printed = capsys.readouterr().out
    assert "cat" in printed and "50.5" in printed and "-" in printed.split("dog")[1]


def write_and_load(folder, truth, kind):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        program = COCOeval(coco, coco.loadRes(str(folder / f"{kind}.json")), kind)
        program.evaluate()
        program.accumulate()
        program.summarize()
    return program.stats


def coco_file(dataset, path):
    from mrcnn_keras.evaluation import coco_ground_truth

    truth = coco_ground_truth(dataset).dataset
    for annotation in truth["annotations"]:
        counts = annotation["segmentation"]["counts"]
        annotation["segmentation"]["counts"] = counts.decode() if isinstance(counts, bytes) else counts
    path.write_text(json.dumps(truth))
    return truth


def test_result_files_score_what_the_evaluation_says(tmp_path):
    dataset = Rectangles(OBJECTS)
    coco_file(dataset, tmp_path / "truth.json")
    model = Oracle(lambda index: moved(dataset, index))
    metrics = evaluate_coco(model, dataset, verbose=False, results_folder=tmp_path / "one")
    paths = write_coco_results(model, dataset, tmp_path / "two", verbose=False, batch_size=2)
    assert [path.name for path in paths] == ["bbox.json", "segm.json"]
    for kind in ("bbox", "segm"):
        assert (tmp_path / "one" / f"{kind}.json").read_text() == (tmp_path / "two" / f"{kind}.json").read_text()
        stats = write_and_load(tmp_path / "two", tmp_path / "truth.json", kind)
        np.testing.assert_allclose(stats[:3], [metrics[kind][name] for name in ("AP", "AP50", "AP75")], atol=1e-6)
    first = json.loads(paths[0].read_text())[0]
    assert first.keys() == {"image_id", "category_id", "score", "bbox"} and first["image_id"] == 100
    assert json.loads(paths[1].read_text())[0].keys() == {"image_id", "category_id", "score", "segmentation"}


def test_results_of_images_without_annotations(tmp_path):
    from PIL import Image

    Image.new("RGB", (80, 60)).save(tmp_path / "a.jpg")
    images = [{"id": 7, "file_name": "a.jpg", "height": 60, "width": 80}]
    categories = [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}]
    (tmp_path / "image_info.json").write_text(json.dumps({"images": images, "categories": categories}))
    dataset = CocoDataset(tmp_path, tmp_path / "image_info.json")
    found = Detections([[1.23456, 2, 30, 40]], [0.123456789], [DOG], NAMES, size=(60, 80))
    (path,) = write_coco_results(Oracle(lambda index: found), dataset, tmp_path / "results", verbose=False)
    expected = {"image_id": 7, "category_id": 18, "score": 0.123457, "bbox": [1.23, 2.0, 28.77, 38.0]}
    assert json.loads(path.read_text()) == [expected]
    nothing = found[:0]
    (path,) = write_coco_results(Oracle(lambda index: nothing), dataset, tmp_path / "none", verbose=False)
    assert json.loads(path.read_text()) == []


def test_a_failure_leaves_no_half_file(tmp_path):
    dataset = Rectangles(OBJECTS)

    def answer(index):
        if index == 2:
            raise RuntimeError("out of memory")
        return moved(dataset, index)

    with pytest.raises(RuntimeError, match="out of memory"):
        write_coco_results(Oracle(answer), dataset, tmp_path / "results", verbose=False)
    assert list((tmp_path / "results").iterdir()) == []


def test_a_pass_holds_two_batches_of_images():
    held, most = weakref.WeakSet(), [0]

    class Pixels(np.ndarray):
        __hash__ = object.__hash__

    class Watched(Rectangles):
        def load_image(self, index):
            image = super().load_image(index).view(Pixels)
            held.add(image)
            gc.collect()
            most[0] = max(most[0], len(held))
            return image

    dataset = Watched(OBJECTS * 4)
    nothing = Detections(np.zeros((0, 4)), [], [], NAMES, rles=[], size=SIZE)
    evaluate_coco(Oracle(lambda index: nothing), dataset, batch_size=2, verbose=False)
    assert 2 <= most[0] <= 4  # a batch, and the next one that is being read


@pytest.mark.shared
@pytest.mark.parametrize("backend", [pytest.param("pycocotools", marks=pytest.mark.slow), "faster_coco_eval"])
def test_cocos_own_photos(shared_dir, tmp_path, backend):
    if backend == "faster_coco_eval":
        pytest.importorskip(backend)
    root = shared_dir / "data" / "coco_tiny"
    file = root / "annotations" / "instances_val2017.json"
    dataset = CocoDataset(root / "val2017", file)
    rng = np.random.default_rng(0)
    perfect, perturbed = [], []
    for index in range(len(dataset)):
        found = dataset.load_annotations(index)
        found = found.take(~found.is_crowd)
        boxes, count = found.boxes, len(found)
        for results, keep, shift, classes, scores in (
            (perfect, np.arange(count), 0, found.class_ids, np.ones(count)),
            (perturbed, np.flatnonzero(rng.random(count) < 0.8), rng.normal(0, 4, (count, 4)),
             np.where(rng.random(count) < 0.1, rng.integers(0, 80, count), found.class_ids), rng.random(count)),
        ):  # fmt: skip
            one = Detections(boxes + shift, scores, classes, dataset.class_names, rles=found.masks, size=found.size)
            results += one[keep].to_coco(dataset.image_id(index), dataset.category_ids)
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(file))
        metrics = evaluate_results(coco, perfect, backend=backend)
        assert metrics["bbox"]["AP"] == pytest.approx(1.0) and metrics["segm"]["AP"] == pytest.approx(1.0)
        metrics = evaluate_results(coco, perturbed, backend=backend)
        for kind, unused in (("bbox", "segmentation"), ("segm", "bbox")):
            stripped = [{name: value for name, value in one.items() if name != unused} for one in perturbed]
            (tmp_path / "results.json").write_text(json.dumps(stripped))
            program = COCOeval(coco, coco.loadRes(str(tmp_path / "results.json")), kind)
            program.evaluate()
            program.accumulate()
            program.summarize()
            expected = np.where(program.stats[:9] < 0, np.nan, program.stats[:9])
            assert 0.1 < expected[0] < 0.95
            np.testing.assert_allclose(list(metrics[kind].values()), expected, rtol=0, atol=1e-9)
