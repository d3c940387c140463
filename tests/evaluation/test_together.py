"""Processes that evaluate together, stood in for by threads."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mrcnn_keras.data import ShapesDataset
from mrcnn_keras.evaluation import evaluate_coco, write_cityscapes_results, write_coco_results
from mrcnn_keras.evaluation.passes import detect_each
from mrcnn_keras.evaluation.together import pack, unpack
from mrcnn_keras.inference import Detections


class Group:
    """One of several threads that exchange messages."""

    def __init__(self, index, count, shared):
        self.index, self.count, self.is_chief = index, count, index == 0
        self.board, self.barrier = shared

    def gather(self, message):
        self.board[self.index] = message
        self.barrier.wait(20)
        messages = [self.board[index] for index in range(self.count)]
        self.barrier.wait(20)
        return messages


class Shared(ShapesDataset):
    """Images with their number in the first pixel, some of them broken."""

    broken = ()

    def load_image(self, index):
        if index in self.broken:
            raise ValueError("no image")
        image = super().load_image(index).copy()
        image[0, 0] = index
        return image


class Truthful:
    """Finds every second object of an image."""

    def __init__(self, dataset, group=None, local_replicas=1):
        self.dataset, self.worker_group, self.local_replicas = dataset, group, local_replicas
        self.asked = []

    def detect(self, images, batch_size=1, masks="rle"):
        indices = [int(image[0, 0, 0]) for image in images]
        self.asked.append(indices)
        return [self._found(self.dataset.load_annotations(index)) for index in indices]

    def _found(self, truth):
        truth = truth.take(np.arange(0, len(truth), 2))
        scores = np.linspace(0.9, 0.3, len(truth))
        names = self.dataset.class_names
        return Detections(truth.boxes, scores, truth.class_ids, names, rles=truth.masks, size=truth.size)


def dataset(count=7, **attributes):
    made = Shared(count, seed=1, size=(64, 48))
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def together(call, workers=2, **options):
    """What a call of a model gives in each worker, or its error; and the models."""
    shared = {}, threading.Barrier(workers)
    models = [Truthful(dataset(), Group(index, workers, shared), **options) for index in range(workers)]

    def caught(model):
        try:
            return call(model)
        except Exception as error:
            return error

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(caught, models)), models


def passed(model, images, **options):
    calls = []
    detect_each(model, images, lambda *call: calls.append(call), verbose=False, **options)
    return [(index, len(annotations), found.boxes.tolist(), found.to_rles()) for index, annotations, found in calls]


def test_each_detects_its_share_and_all_hand_on_everything_in_order():
    (first, second), models = together(lambda model: passed(model, dataset(), batch_size=2))
    assert [model.asked for model in models] == [[[0, 1], [4, 5]], [[2, 3], [6]]]
    assert first == second == passed(Truthful(dataset()), dataset())
    assert [call[0] for call in first] == list(range(7))


def test_a_worker_may_go_without_images_in_the_last_round():
    results, models = together(lambda model: passed(model, dataset(), max_images=4), workers=3)
    assert [model.asked for model in models] == [[[0], [3]], [[1]], [[2]]]
    assert results[0] == results[1] == results[2] and len(results[0]) == 4


def test_replicas_get_a_batch_each():
    alone = Truthful(dataset(), local_replicas=3)
    assert len(passed(alone, dataset(), batch_size=2)) == 7 and alone.asked == [[0, 1, 2, 3, 4, 5], [6]]
    _, models = together(lambda model: passed(model, dataset()), local_replicas=2)
    assert [model.asked for model in models] == [[[0, 1], [4, 5]], [[2, 3], [6]]]


def test_broken_images_that_one_skips_are_left_out_by_all():
    (first, second), _ = together(lambda model: passed(model, dataset(broken=(2, 3, 6), skip_broken=True)))
    assert first == second and [call[0] for call in first] == [0, 1, 4, 5]


def test_a_broken_image_is_an_error_in_all():
    (first, second), _ = together(lambda model: passed(model, dataset(broken=(5,))))
    assert isinstance(first, ValueError) and isinstance(second, ValueError)
    assert str(first).startswith("worker 1: image '5': no image")
    assert str(second).startswith("image '5': no image")


def test_what_fails_in_one_after_the_last_image_is_an_error_in_all():
    def use(model):
        def fail(index, annotations, found):
            if index == 6 and model.worker_group.is_chief:
                raise OSError("the disk is full")

        detect_each(model, dataset(), fail, verbose=False)

    (first, second), _ = together(use)
    assert isinstance(first, OSError)
    assert isinstance(second, ValueError) and str(second) == "worker 0: the disk is full"


def test_classes_that_do_not_fit_are_the_same_error_in_all():
    errors, _ = together(lambda model: passed(model, dataset(class_names=("a", "b", "c", "d"))))
    assert all("the model has 3 classes, but the dataset 4" in str(error) for error in errors)


def test_metrics_are_those_of_one_and_the_chief_writes(tmp_path):
    expected = evaluate_coco(Truthful(dataset()), dataset(), results_folder=tmp_path / "alone", verbose=False)
    assert 0 < expected["segm"]["AP"] < 1
    options = {"results_folder": tmp_path / "all", "verbose": False}
    results, _ = together(lambda model: evaluate_coco(model, dataset(), **options))
    for metrics in results:
        for kind in ("bbox", "segm"):
            np.testing.assert_equal(metrics[kind], expected[kind])
    for name in ("bbox.json", "segm.json"):
        assert (tmp_path / "all" / name).read_text() == (tmp_path / "alone" / name).read_text()
    (first, second), _ = together(lambda model: write_coco_results(model, dataset(), tmp_path / "written"))
    assert first == [tmp_path / "written" / name for name in ("bbox.json", "segm.json")] and second == []
    assert first[0].read_text() == (tmp_path / "alone" / "bbox.json").read_text()


def test_the_chief_alone_shows_the_bar(capsys):
    together(lambda model: passed(model, dataset()))
    assert capsys.readouterr().out == ""
    together(lambda model: detect_each(model, dataset(), lambda *_: None, verbose=model.worker_group.is_chief))
    alone = capsys.readouterr().out
    together(lambda model: detect_each(model, dataset(), lambda *_: None, verbose=True))
    assert capsys.readouterr().out.count("evaluating") == alone.count("evaluating") == 1


def test_a_folder_that_the_chief_cannot_write_to_is_an_error_in_all(tmp_path):
    (tmp_path / "file").write_text("")
    (first, second), _ = together(lambda model: write_coco_results(model, dataset(), tmp_path / "file"))
    assert isinstance(first, FileExistsError) and str(second).startswith("worker 0: ") and "file" in str(second)


def test_a_cityscapes_folder_with_files_is_an_error_in_all(tmp_path):
    pytest.importorskip("cityscapesscripts")
    (tmp_path / "old").write_text("")
    named = {"class_names": ("person", "rider", "car")}
    (first, second), _ = together(lambda model: write_cityscapes_results(model, dataset(**named), tmp_path))
    assert "is not empty" in str(first) and str(second).startswith("worker 0: out=")


def test_messages_keep_detections():
    rng = np.random.default_rng(0)
    boxes = np.sort(rng.uniform(0, 30, (2, 4)).astype(np.float32), axis=1)
    masks, points = rng.random((2, 30, 40)) > 0.5, rng.random((2, 3, 3)).astype(np.float32)
    names = {"keypoint_names": ("a", "b", "c"), "keypoint_skeleton": ((0, 1), (1, 2))}
    given = Detections(boxes, [0.9, np.float32(0.1)], [1, 0], ("cat", "dog"), masks, points, **names)
    for found in (given, given[:0]):
        back = unpack(pack(found))
        for name in ("boxes", "scores", "class_ids", "keypoints"):
            np.testing.assert_array_equal(getattr(back, name), getattr(found, name))
            assert getattr(back, name).shape == getattr(found, name).shape
        np.testing.assert_array_equal(back.to_masks(), found.masks)
        assert (back.size, back.class_names, back.keypoint_names) == (found.size, found.class_names, ("a", "b", "c"))
        assert back.keypoint_skeleton == ((0, 1), (1, 2))
    plain = unpack(pack(Detections(boxes, [0.9, 0.1], [1, 0], ("cat", "dog"))))
    assert (plain.has_masks, plain.keypoints, plain.size) == (False, None, None)
