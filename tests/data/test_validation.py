"""Validation of COCO datasets: each planted fault is found, and nothing else."""

import json
import os

import numpy as np
import pytest

from mrcnn_keras.data import CocoDataset, ValidationReport, validate_coco
from mrcnn_keras.data.validation import KINDS, crossing, findings, validate
from mrcnn_keras.utils import processes

from ..validation_faults import FAULTS, NAN, Planted
from ..validation_files import CAT, COUNT, CROWD, PERSON, TREE, write_annotations


def found_in(report):
    return sorted(((one.kind, one.image_id, one.annotation_id) for one in report.findings), key=str)


@pytest.fixture
def dataset(tmp_path):
    return Planted(tmp_path)


def test_a_sound_dataset_has_no_findings_and_trains(dataset):
    report = dataset.check()
    assert report.findings == () and report.counts == {} and report.ok
    coco = CocoDataset(*write_annotations(dataset.folder, dataset.content))
    assert coco.report(check=True).counts == {"repaired": 0, "dropped": 0, "skipped": 0}
    assert len(coco) == COUNT and coco.keypoints is not None


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_and_nothing_else(dataset, name):
    plant, expected = FAULTS[name]
    plant(dataset)
    report = dataset.check(jobs=1)
    assert found_in(report) == sorted(expected, key=str)
    (finding,) = report.findings
    kind = KINDS[finding.kind]
    assert finding.severity == kind.severity and finding.message.endswith(kind.remedy)
    assert report.ok == (kind.severity == "warning")
    named = {image["id"]: image.get("file_name") for image in dataset.content["images"] if "id" in image}
    assert finding.file == (named.get(finding.image_id) or "annotations.json")
    if report.ok:  # then training must not stop
        coco = CocoDataset(*write_annotations(dataset.folder, dataset.content))
        assert all(coco.load(index) is not None for index in range(len(coco)))


def test_all_faults_at_once(dataset):
    expected = []
    for plant, kinds in FAULTS.values():
        plant(dataset)
        expected += kinds
    report = dataset.check()
    assert found_in(report) == sorted(expected, key=str)
    assert sum(report.counts.values()) == len(expected) and not report.ok
    severities = [KINDS[kind].severity for kind in report.counts]
    assert severities == sorted(severities)  # errors first


def test_every_kind_is_planted_somewhere():
    alone = {"broken_file", "only_boxes", "normalised_boxes"}  # they concern the whole file, see below
    assert {kind for _, expected in FAULTS.values() for kind, _, _ in expected} | alone == set(KINDS)


@pytest.mark.parametrize(
    "name, words",
    [
        ("JPEG is cut", ("02.jpg", "truncated")),
        ("image was resized", ("40x30", "103x73")),
        ("annotated without the turn", ("orientation 6", "109x77", "77x109")),
        ("polygon of two points", ("polygon 3 of 3", "4 numbers")),
        ("RLE is turned", ("130", "91")),
        ("box is the corners", ("[58.0, 10.0, 77.0, 31.0]", "[58.0, 10.0, 19.0, 21.0]")),
        ("box partly outside", ("10.0 pixels", "148x103")),
        ("polygon crosses itself", ("polygon 1 of 1", "points 0 and 2", "changes 45")),
        ("unknown category", ("9", "'categories'")),
        ("area of another unit", ("33200", "332")),
        ("keypoint outside", ("3 of 3", "(-40, 8)")),
        ("a keypoint too few", ("6 numbers", "need 9")),
        ("annotated twice", ("1022",)),
    ],
)
def test_messages_name_what_was_found(dataset, name, words):
    FAULTS[name][0](dataset)
    (finding,) = dataset.check(jobs=1).findings
    for word in words:
        assert word in finding.message


def test_what_real_annotations_are_like_is_no_fault(dataset):
    dataset.set(1, TREE, bbox=[31, 4, 20, 47])  # a pixel or two off
    dataset.set(2, TREE, bbox=[28.5, 5, 20, 45], area=290)
    dataset.set(3, TREE, bbox=[30, 5, 20, 45], area=900)  # the box's
    dataset.set(4, TREE, segmentation=[[60.2, 9.2, 62.4, 9.4, 61.9, 11.0]], bbox=[60.2, 9.2, 2.2, 1.8], area=1.9)
    dataset.remove(5, TREE, "bbox", "area", "iscrowd")
    crossing_at_the_seam = [30, 5, 50, 5, 50, 50, 30, 50, 30, 6, 30.4, 4.8]
    dataset.set(6, TREE, segmentation=[crossing_at_the_seam], area=900)
    assert crossing.crossing_edges(np.array(crossing_at_the_seam, float).reshape(-1, 2)) is not None
    dataset.set(7, TREE, segmentation=[[-1, 5, 50, 5, 50, 50, -1, 50]], bbox=[-1, 5, 51, 45], area=2295)
    dataset.set(8, PERSON, keypoints=None)
    dataset.set(2, CROWD, area=9)  # COCO's crowds have areas of their own
    assert dataset.check().findings == ()


def test_objects_without_a_pixel_are_warned_of_where_the_box_says_so_too(dataset):
    flat = {"segmentation": [[60.25, 9.5, 60.25, 9.5, 61.25, 9.5, 61.25, 9.5]], "bbox": [60.25, 9.5, 1, 0], "area": 0}
    dataset.set(1, TREE, **flat)
    dataset.set(2, TREE, **flat | {"bbox": [60.25, 9.5, -1, 0]})
    assert found_in(dataset.check()) == [("empty_box", 102, 1022), ("speck", 101, 1012), ("speck", 102, 1022)]


def test_faults_of_one_annotation_are_all_listed(dataset):
    dataset.set(1, PERSON, bbox=[1, 2, NAN, 4], segmentation=[[1, 2]], keypoints=[1], category_id=PERSON, iscrowd=5)
    kinds = sorted(kind for kind, _, _ in found_in(dataset.check()))
    assert kinds == ["keypoint_count", "malformed_field", "not_finite", "too_few_points"]


def test_without_segmentations_only_boxes_can_be_trained(dataset):
    for annotation in dataset.content["annotations"]:
        annotation["segmentation"] = []
    report = dataset.check()
    assert found_in(report) == [("only_boxes", None, None)] and report.ok
    assert f"none of {len(dataset.content['annotations'])} annotations" in report.findings[0].message


def test_boxes_in_parts_of_the_image_are_no_pixels(dataset):
    for annotation in dataset.content["annotations"]:
        annotation["bbox"] = [0.25, 0.25, 0.5, 0.5]
        del annotation["segmentation"], annotation["area"]
    report = dataset.check()
    assert "normalised_boxes" in report.counts and not report.ok


@pytest.mark.parametrize(
    "text, words",
    [
        ('{"images": [', ("byte",)),
        ('{"images": {}}', ("'images' must be a list",)),
        ('{"categories": [], "images": [{"id": 1, "file_name": "00.jpg"}]}', ("'categories'", "'annotations'")),
    ],
)
def test_a_file_that_is_not_coco_is_a_finding(dataset, text, words):
    path = dataset.folder / "annotations.json"
    path.write_text(text)
    report = validate_coco(dataset.folder / "images", path)
    broken = [finding.message for finding in report.findings if finding.kind == "broken_file"]
    assert not report.ok and len(broken) == len(words)
    for message, word in zip(sorted(broken, reverse=True), words):
        assert word in message


def test_wrong_arguments(dataset):
    images, path = write_annotations(dataset.folder, dataset.content)
    with pytest.raises(ValueError, match="nowhere.*not a folder"):
        validate_coco(images / "nowhere", path)
    with pytest.raises(ValueError, match="absent.json does not exist"):
        validate_coco(images, images / "absent.json")
    with pytest.raises(ValueError, match="jobs must be at least 1, got 0"):
        validate_coco(images, path, jobs=0)


def test_statistics(dataset):
    found = dataset.check().statistics
    crowds = len([number for number in range(100, 100 + COUNT) if number % 6 == 0])
    assert (found.images, found.objects, found.crowds, found.images_with_crowds) == (COUNT, 72, crowds, crowds)
    assert [(one.name, one.objects, one.images, one.crowds) for one in found.classes] == [
        ("person", 24, 24, crowds),
        ("tree", 24, 24, 0),
        ("cat [wild]", 24, 24, 0),
    ]
    assert found.object_sizes == {"small": 72, "medium": 0, "large": 0}
    assert found.image_heights[0.0] == 61 and found.image_heights[1.0] == 61 + 2 * 23
    assert found.image_widths[0.5] == np.median(85 + 3 * np.arange(COUNT))
    # The largest object, seen in the smallest image: 85 x 61 becomes 1115 x 800.
    assert found.object_sides[1.0] == pytest.approx(np.sqrt(578 * (1115 / 85) * (800 / 61)), abs=0.1)
    assert found.common_sizes[0] == ((61, 85), 1)


def test_sizes_of_objects_are_cocos(dataset):
    for slot, area in ((TREE, 32**2 - 1), (CAT, 96**2), (PERSON, 96**2 + 1)):
        dataset.set(1, slot, area=area)
    assert dataset.check().statistics.object_sizes == {"small": 70, "medium": 1, "large": 1}


def test_processes_find_the_same(dataset, monkeypatch):
    FAULTS["JPEG is cut"][0](dataset)
    FAULTS["box of no height"][0](dataset)
    alone = dataset.check(jobs=1)
    monkeypatch.setattr(validate, "_IMAGES_A_PROCESS", 1)
    started = []
    monkeypatch.setattr(
        processes, "_Child", lambda function, made=processes._Child: started.append(1) or made(function)
    )
    assert dataset.check(jobs=2) == alone and len(started) == 2


def test_errors_and_the_end_of_a_process_reach_the_caller():
    assert list(processes.map_in_processes(abs, [-1, 2, -3], 2)) == [1, 2, 3]
    with pytest.raises(ValueError, match="'a'"):
        list(processes.map_in_processes(int, ["1", "a", "2"], 2))
    with pytest.raises(OSError, match="status 3"):
        list(processes.map_in_processes(os._exit, [3], 1))


def test_reports(dataset, tmp_path):
    for name in ("JPEG is cut", "category without annotations"):
        FAULTS[name][0](dataset)
    report = dataset.check()
    report.write(tmp_path / "new" / "report.json")
    read = json.loads((tmp_path / "new" / "report.json").read_text())
    assert (read["ok"], read["errors"], read["warnings"]) == (False, 1, 1)
    assert read["findings"][0]["kind"] == "unreadable_image" and read["findings"][0]["image_id"] == 102
    assert read["statistics"]["classes"][0]["objects"] == 24
    report.write(tmp_path / "report.md")
    text = (tmp_path / "report.md").read_text()
    for line in (
        "- 02.jpg, image 102: cannot read image",
        "| cat [wild] | 24 | 33.3% | 24 | 0 |",
        "1 error, 1 warning: training is not safe.",
    ):
        assert line in text


def test_counts_go_on_beyond_the_findings_that_are_kept(dataset, monkeypatch):
    monkeypatch.setattr(findings, "MAX_FINDINGS", 5)
    for number in range(COUNT):
        dataset.set(number, TREE, bbox=[30, 5, 0, 45])
    report = dataset.check()
    assert isinstance(report, ValidationReport) and report.counts == {"empty_box": COUNT}
    assert [finding.annotation_id for finding in report.findings] == [1002, 1012, 1022, 1032, 1042]
    report.write(dataset.folder / "report.md")
    assert f"and {COUNT - 5} more" in (dataset.folder / "report.md").read_text()


def test_crossings_do_not_depend_on_how_a_polygon_is_cut_up(monkeypatch):
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    circle = 50 + 40 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    star = circle[np.arange(0, 400 * 3, 3) % 400][:133]
    eight = 50 + 40 * np.stack([np.sin(angles), np.sin(2 * angles + 0.1)], axis=1)
    for pairs in (1 << 20, 1000):
        monkeypatch.setattr(crossing, "_MAX_PAIRS", pairs)
        assert crossing.crossing_loss(circle) is None and crossing.crossing_edges(circle) is None
        assert crossing.crossing_edges(star) is None or crossing.crossing_loss(star) is None
        first, second, loss = crossing.crossing_loss(eight)
        assert loss > 1000 and abs(second - first) > 100


@pytest.mark.shared
@pytest.mark.parametrize("part", ["train2017", "val2017"])
def test_real_coco_has_no_findings(shared_dir, part):
    root = shared_dir / "data" / "coco_tiny"
    report = validate_coco(root / part, root / "annotations" / f"instances_{part}.json")
    assert report.findings == () and report.statistics.images == 80
