"""Cityscapes' average precision, compared with the command-line program of cityscapesscripts."""

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras.data import CityscapesDataset, ShapesDataset
from mrcnn_keras.evaluation import evaluate_cityscapes, evaluate_coco, format_table, write_cityscapes_results
from mrcnn_keras.inference import Detections

from ..cityscapes_files import SIZE, paths, write_cityscapes
from .oracle import Oracle

NAMES = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")


@pytest.fixture
def root(tmp_path):
    return write_cityscapes(tmp_path / "cityscapes")


@pytest.fixture
def dataset(root):
    return CityscapesDataset(root, "val")


def truth(dataset, index):
    """The objects as detections, without the groups."""
    found = dataset.load_annotations(index)
    found = found.take(~found.is_crowd)
    return Detections(found.boxes, np.full(len(found), 0.5), found.class_ids, NAMES, rles=found.masks, size=SIZE)


def rectangles(*rows, names=NAMES):
    """Detections of (class name, score, x1, y1, x2, y2)."""
    masks = np.zeros((len(rows), *SIZE), bool)
    for mask, (_, _, x1, y1, x2, y2) in zip(masks, rows):
        mask[y1:y2, x1:x2] = True
    boxes = np.array([row[2:] for row in rows], np.float32).reshape(-1, 4)
    return Detections(boxes, [row[1] for row in rows], [names.index(row[0]) for row in rows], names, masks=masks)


def perturbed(dataset, index, seed):
    """The objects moved and found twice or not at all, others that are not there, and wrong classes."""
    random = np.random.default_rng([seed, index])
    exact = truth(dataset, index)
    masks, scores, classes = [], [], []
    for mask, class_id in zip(exact.to_masks(), exact.class_ids.tolist()):
        for _ in range(random.integers(0, 4)):
            masks.append(np.roll(mask, random.integers(-6, 7, 2), axis=(0, 1)))
            scores.append(random.choice([0.3, 0.5, random.uniform()]))
            classes.append(class_id if random.uniform() < 0.8 else int(random.integers(8)))
    for _ in range(random.integers(0, 5)):
        x1, y1 = random.integers(0, 120), random.integers(0, 80)
        masks.append(np.zeros(SIZE, bool))
        masks[-1][y1 : y1 + random.integers(0, 40), x1 : x1 + random.integers(1, 60)] = True
        scores.append(random.uniform())
        classes.append(int(random.integers(8)))
    return Detections(np.zeros((len(masks), 4)), scores, classes, NAMES, masks=np.reshape(masks, (-1, *SIZE)))


# The program needs a numpy that still has in1d and counts in plain integers, which it writes to JSON.
_START = """
import numpy, runpy, sys
count = numpy.count_nonzero
numpy.in1d, numpy.count_nonzero = numpy.isin, lambda values: int(count(values))
runpy.run_path(sys.argv.pop(), run_name="__main__")
"""


def run_program(root, results, folder):
    """What the unchanged program writes when it is started on a result folder: its "averages"."""
    spec = importlib.util.find_spec("cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling")
    folder.mkdir()
    program = shutil.copy(spec.origin, folder)  # it keeps a file of the truth beside itself
    where = {"CITYSCAPES_DATASET": str(root), "CITYSCAPES_RESULTS": str(results)}
    start = [sys.executable, "-c", _START, program]
    child = subprocess.run(start, cwd=folder, env={**os.environ, **where}, capture_output=True, text=True)
    assert child.returncode == 0, child.stdout + child.stderr
    written = root / "evaluationResults" / "resultInstanceLevelSemanticLabeling.json"
    return json.loads(written.read_text())["averages"]


def assert_same(metrics, expected):
    """Equal to the last bit, nan to nan."""
    assert json.dumps(metrics) == json.dumps(expected)


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_program_on_the_same_folder(dataset, root, tmp_path, seed):
    metrics = evaluate_cityscapes(
        Oracle(lambda i: perturbed(dataset, i, seed)), dataset, out=tmp_path / "out", batch_size=2, verbose=False
    )
    expected = run_program(root, tmp_path / "out", tmp_path / "program")
    assert 0 < metrics["AP"] < metrics["AP50"] < 1
    np.testing.assert_array_equal([metrics["AP"], metrics["AP50"]], [expected["allAp"], expected["allAp50%"]])
    assert tuple(metrics["classes"]) == NAMES
    for name, values in metrics["classes"].items():
        assert list(values) == ["AP", "AP50"]
        theirs = expected["classes"][name]
        np.testing.assert_array_equal(list(values.values()), [theirs["ap"], theirs["ap50%"]])
    assert np.isnan(metrics["classes"]["train"]["AP"])


def test_a_temporary_folder_gives_the_same_and_nothing_is_left_behind(dataset, tmp_path, monkeypatch, capfd):
    (tmp_path / "here").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    oracle = Oracle(lambda i: perturbed(dataset, i, 0))
    without = evaluate_cityscapes(oracle, dataset, verbose=False)
    assert_same(without, evaluate_cityscapes(oracle, dataset, out="out", verbose=False))
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["out"]
    assert not list((tmp_path / "temporary").iterdir())
    spec = importlib.util.find_spec("cityscapesscripts.evaluation")
    assert not (pathlib.Path(spec.origin).parent / "gtInstances.json").exists()
    assert capfd.readouterr().out == ""


def test_perfect_detections_score_one_and_absent_classes_nan(dataset):
    metrics = evaluate_cityscapes(Oracle(lambda i: truth(dataset, i)), dataset, verbose=False)
    assert metrics["AP"] == metrics["AP50"] == 1.0
    absent = [name for name, values in metrics["classes"].items() if np.isnan(values["AP"])]
    assert absent == ["train"]


def test_no_detections_score_zero(dataset):
    metrics = evaluate_cityscapes(Oracle(lambda i: rectangles()), dataset, verbose=False)
    assert metrics["AP"] == 0 and metrics["classes"]["car"] == {"AP": 0, "AP50": 0}


def test_detections_in_groups_and_void_do_not_count_but_false_alarms_do(dataset):
    def score(*extra):
        answer = {0: rectangles(("car", 0.9, 30, 30, 70, 70)), 1: rectangles(*extra)}
        metrics = evaluate_cityscapes(Oracle(answer.__getitem__), dataset.subset([0, 1]), verbose=False)
        return metrics["classes"]["car"]["AP50"]

    alone = score()
    assert 0 < alone < 1
    assert score(("car", 0.95, 0, 0, 60, 40)) == alone  # the group
    assert score(("car", 0.95, 0, 92, 161, 97)) == alone  # the ego vehicle
    assert score(("car", 0.95, 10, 50, 40, 90)) < alone  # the rider


def test_where_the_program_fails_a_class_without_counted_detections_scores_zero(dataset, root, tmp_path):
    in_group, bus = rectangles(("car", 0.9, 0, 0, 60, 40)), rectangles(("bus", 0.9, 80, 0, 160, 60))
    answer = [rectangles(), in_group, rectangles(), bus]
    metrics = evaluate_cityscapes(Oracle(answer.__getitem__), dataset, out=tmp_path / "out", verbose=False)
    assert metrics["classes"]["car"] == {"AP": 0, "AP50": 0} and metrics["classes"]["bus"] == {"AP": 1, "AP50": 1}
    assert metrics["AP"] == pytest.approx(1 / 7)
    with pytest.raises(AssertionError, match="IndexError"):
        run_program(root, tmp_path / "out", tmp_path / "program")


def test_truth_from_polygons_scores_as_from_the_instance_image(dataset, root):
    oracle = Oracle([perturbed(dataset, i, 1) for i in range(4)].__getitem__)
    expected = evaluate_cityscapes(oracle, dataset, verbose=False)
    for name in ("frankfurt_000000_000294", "munster_000173_000019"):
        paths(root, "val", name)[1].unlink()
    assert_same(evaluate_cityscapes(oracle, CityscapesDataset(root, "val"), verbose=False), expected)


def test_views_batches_and_the_progress_bar(dataset, tmp_path, capfd):
    view = dataset.subset([1, 2, 3]).subset([2, 0])
    oracle = Oracle(lambda i: truth(dataset, i))
    metrics = evaluate_cityscapes(oracle, view, out=tmp_path / "out", batch_size=2)
    assert oracle.batches == [2] and "1/1" in capfd.readouterr().out
    assert metrics["AP"] == 1 and np.isnan(metrics["classes"]["bicycle"]["AP"])
    assert sorted(path.name for path in (tmp_path / "out").glob("*.txt")) == [
        "frankfurt_000001_002512_leftImg8bit.txt",
        "munster_000173_000019_leftImg8bit.txt",
    ]


def test_broken_images_are_left_out_when_the_dataset_skips_them(dataset, root):
    paths(root, "val", "munster_000173_000019")[1].write_bytes(b"junk")
    oracle = Oracle(lambda i: truth(dataset, i))
    with pytest.raises(ValueError, match="munster_000173_000019"):
        evaluate_cityscapes(oracle, dataset, verbose=False)
    metrics = evaluate_cityscapes(oracle, CityscapesDataset(root, "val", skip_broken=True), verbose=False)
    assert metrics["AP"] == 1 and np.isnan(metrics["classes"]["truck"]["AP"])


def test_no_images_have_nothing_to_score(dataset, recwarn):
    metrics = evaluate_cityscapes(Oracle(None), dataset.subset([]), verbose=False)
    assert np.isnan(metrics["AP"]) and np.isnan(metrics["classes"]["car"]["AP50"]) and not recwarn.list


def test_the_result_folder_lists_masks_labels_and_scores(root, tmp_path):
    found = rectangles(("bicycle", 0.75, 10, 20, 60, 97), ("person", 0.1, 0, 0, 0, 0))
    out = write_cityscapes_results(
        Oracle(lambda i: found), CityscapesDataset(root, "test"), tmp_path / "a" / "b", verbose=False
    )
    assert out == tmp_path / "a" / "b"
    lines = (out / "berlin_000000_000019_leftImg8bit.txt").read_text().splitlines()
    assert [line.split(" ")[1] for line in lines] == ["33", "24"]
    mask, _, score = lines[0].split(" ")
    assert float(score) == 0.75
    np.testing.assert_array_equal(np.array(Image.open(out / mask).convert("L")) > 0, found.masks[0])
    assert not np.array(Image.open(out / lines[1].split(" ")[0])).any()


def test_an_image_without_detections_has_an_empty_list(dataset, tmp_path):
    out = write_cityscapes_results(Oracle(lambda i: rectangles()), dataset, tmp_path / "out", verbose=False)
    assert [path.read_text() for path in out.glob("*.txt")] == [""] * 4


def test_classes_are_found_by_name_among_the_models(dataset):
    own = ("traffic light", *NAMES[::-1])

    def answer(index):
        exact = truth(dataset, index)
        ids = [own.index(name) for name in exact.names]
        return Detections(exact.boxes, exact.scores, ids, own, rles=exact.rles, size=SIZE)

    assert evaluate_cityscapes(Oracle(answer), dataset, verbose=False)["AP"] == 1


def test_old_results_are_not_mixed_in(dataset, tmp_path):
    oracle = Oracle(lambda i: truth(dataset, i))
    evaluate_cityscapes(oracle, dataset, out=tmp_path / "out", verbose=False)
    with pytest.raises(ValueError, match="out=.*is not empty; give a new folder"):
        evaluate_cityscapes(oracle, dataset, out=tmp_path / "out", verbose=False)


def test_a_model_without_masks_is_an_error(dataset):
    boxes = Detections([[1, 1, 5, 5]], [0.9], [0], NAMES, size=SIZE)
    with pytest.raises(ValueError, match="no masks for image 'frankfurt_000000_000294_leftImg8bit.png'"):
        evaluate_cityscapes(Oracle(lambda i: boxes), dataset, verbose=False)


def test_only_labelled_cityscapes_can_be_evaluated(root):
    with pytest.raises(ValueError, match="berlin.*has no labels.*write_cityscapes_results"):
        evaluate_cityscapes(Oracle(None), CityscapesDataset(root, "test"), verbose=False)
    with pytest.raises(ValueError, match="a ShapesDataset has no Cityscapes labels"):
        evaluate_cityscapes(Oracle(None), ShapesDataset(1, seed=0).subset([0]), verbose=False)
    with pytest.raises(ValueError, match="is no label of Cityscapes; those with instances are person, rider"):
        write_cityscapes_results(Oracle(None), ShapesDataset(1, seed=0), root / "out", verbose=False)


def test_a_file_name_with_a_space_cannot_be_written(root, tmp_path):
    for path in paths(root, "val", "lindau_000003_000019"):
        path.rename(path.with_name(path.name.replace("lindau_", "lin dau_")))
    dataset = CityscapesDataset(root, "val").subset([2])
    with pytest.raises(ValueError, match="'lin dau_000003_000019_leftImg8bit.png'.*no space"):
        evaluate_cityscapes(Oracle(lambda i: rectangles()), dataset, verbose=False)


def test_coco_metrics_and_the_table_work_too(dataset, capsys):
    oracle = Oracle(lambda i: truth(dataset, i))
    assert evaluate_coco(oracle, dataset, verbose=False)["segm"]["AP"] == pytest.approx(1.0)
    metrics = evaluate_cityscapes(oracle, dataset, verbose=False)
    format_table(metrics["classes"], title="Cityscapes")
    assert "motorcycle" in (out := capsys.readouterr().out) and "100.0" in out
