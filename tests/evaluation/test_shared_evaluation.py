"""Detection and evaluation that devices and processes share give what one device gives."""

import json

import numpy as np
import pytest

from ..processes import finish, free_addresses, start

RUN = "tests.evaluation.evaluate_run"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What one process and each of two workers found, and the folder of their result files."""
    folder = tmp_path_factory.mktemp("found")
    finish(start(RUN, folder))
    addresses = free_addresses(2)
    finish(*[start(RUN, folder, index, *addresses) for index in range(2)])
    names = "alone", "worker0", "worker1"
    return *(json.loads((folder / f"{name}.json").read_text()) for name in names), folder


def assert_same(found, expected):
    """Two lists of the detections of images."""
    assert len(found) == len(expected)
    for image, other in zip(found, expected):
        boxes, scores, classes, areas = image
        assert len(boxes) == len(other[0]) > 0 and classes == other[2]
        np.testing.assert_allclose(boxes, other[0], atol=1e-3)
        np.testing.assert_allclose(scores, other[1], atol=1e-5)
        np.testing.assert_allclose(areas, other[3], atol=2)


def assert_same_metrics(found, expected):
    assert set(found) == set(expected) == {"bbox", "segm"}
    for kind, metrics in expected.items():
        np.testing.assert_allclose([found[kind][name] for name in metrics], list(metrics.values()), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("images", ["1 images, 1 a batch", "7 images, 2 a batch", "3 images, 1 a batch, views"])
def test_two_devices_find_what_one_finds(found, images):
    alone = found[0]
    assert alone["replicas"] == 2
    one, two = alone[images]
    assert len(one) == int(images[0])
    assert_same(two, one)


@pytest.mark.slow
def test_metrics_of_two_devices_are_those_of_one(found):
    one, two = found[0]["one"], found[0]["two"]
    assert one["metrics"]["bbox"]["AR100"] > 0
    assert_same_metrics(two["metrics"], one["metrics"])


@pytest.mark.slow
def test_workers_hand_on_all_images_and_give_the_metrics_of_one_process(found):
    one, *workers, _ = found
    together, expected = workers[0]["together"], one["one"]
    assert workers[1]["together"]["images"] == together["images"]
    assert_same_metrics(workers[1]["together"]["metrics"], together["metrics"])
    assert [image[:2] for image in together["images"]] == [image[:2] for image in expected["images"]]
    assert_same([image[2] for image in together["images"]], [image[2] for image in expected["images"]])
    assert_same_metrics(together["metrics"], expected["metrics"])


@pytest.mark.slow
def test_one_of_the_workers_writes_the_results(found):
    sizes = {}
    for name in ("one", "together"):
        files = sorted((found[-1] / name).iterdir())
        assert [file.name for file in files] == ["bbox.json", "segm.json"]
        sizes[name] = [len(json.loads(file.read_text())) for file in files]
    assert sizes["one"] == sizes["together"]


@pytest.mark.slow
def test_a_worker_detects_alone_on_its_own_devices(found):
    worker = found[2]
    assert worker["replicas"] == 2
    one, _ = found[0]["1 images, 1 a batch"]
    assert_same(worker["one worker's own"], one * 3)


@pytest.mark.slow
def test_a_broken_image_of_one_worker_is_an_error_in_both(found):
    for number, worker in enumerate(found[1:3]):
        for broken, owner, message in zip((1, 6), (0, 1), worker["errors"]):
            where = "" if owner == number else f"worker {owner}: "
            assert message.startswith(f"{where}image '{broken}': no image in this file")


@pytest.mark.slow
def test_broken_images_that_are_skipped_are_left_out_by_all(found):
    first, second = (worker["skipped"] for worker in found[1:3])
    assert first["images"] == second["images"] and [image[0] for image in first["images"]] == [2, 3]
    assert_same_metrics(second["metrics"], first["metrics"])
    whole = {image[0]: image[2] for image in found[0]["one"]["images"]}
    assert_same([image[2] for image in first["images"]], [whole[2], whole[3]])


@pytest.mark.slow
def test_the_callback_logs_in_every_worker_what_evaluation_gives(found):
    first, second = found[1:3]
    for kind in ("bbox", "segm"):
        assert first[f"logged {kind}"] == second[f"logged {kind}"]
        for logged, computed in first[f"logged {kind}"]:
            assert logged == computed
