"""What each recipe of the paper's tables trains at full scale, against the paper."""

import re

import pytest

from mrcnn_keras.training.named_schedules import SCHEDULES

from .coco_files import write_people

_R50_C4, _R50_FPN, _X101 = "mask_rcnn_resnet50_c4", "mask_rcnn_resnet50_fpn", "mask_rcnn_resnext101_32x8d_fpn"
_X152, _KEYPOINTS = "mask_rcnn_resnext152_32x8d_fpn", "keypoint_rcnn_resnet50_fpn"
_X101_KEYPOINTS, _CITY = "keypoint_rcnn_resnext101_32x8d_fpn", "mask_rcnn_resnet50_fpn_cityscapes"

# The rows that are the paper's own, from top to bottom: preset, schedule, and what the row changes of the preset.
RECIPES = {
    "1": [
        ("mask_rcnn_resnet101_c4", "paper", {}),
        ("mask_rcnn_resnet101_fpn", "paper", {}),
        (_X101, "paper_resnext", {}),
    ],
    "2a": [
        (_R50_C4, "paper", {}),
        ("mask_rcnn_resnet101_c4", "paper", {}),
        (_R50_FPN, "paper", {}),
        ("mask_rcnn_resnet101_fpn", "paper", {}),
        (_X101, "paper_resnext", {}),
    ],
    "2b": [(_R50_C4, "paper", {"mask_loss": loss}) for loss in ("softmax", "sigmoid")],
    "2c": [
        (_R50_C4, "paper", {"roi_op": "pool"}),
        (_R50_C4, "paper", {"roi_op": "warp", "roi_reduce": "max"}),
        (_R50_C4, "paper", {"roi_op": "warp"}),
        (_R50_C4, "paper", {"roi_op": "align", "roi_reduce": "max"}),
        (_R50_C4, "paper", {"roi_op": "align"}),
    ],
    "2d": [("mask_rcnn_resnet50_c5", "paper", {"roi_op": op}) for op in ("pool", "align")],
    "2e": [
        (_R50_FPN, "paper", {"mask_head": "mlp", "mask_head_fcs": 2}),
        (_R50_FPN, "paper", {"mask_head": "mlp", "mask_head_fcs": 3}),
        (_R50_FPN, "paper", {"mask_head": "fcn"}),
    ],
    "3": [
        ("faster_rcnn_resnet101_fpn", "paper", {}),
        ("mask_rcnn_resnet101_fpn", "paper", {}),
        (_X101, "paper_resnext", {}),
    ],
    "4": [(_KEYPOINTS, "keypoint", {}), ("keypoint_mask_rcnn_resnet50_fpn", "keypoint", {})],
    "5": [
        ("person_faster_rcnn_resnet50_fpn", "keypoint", {}),
        ("person_mask_rcnn_resnet50_fpn", "keypoint", {}),
        (_KEYPOINTS, "keypoint", {}),
        ("keypoint_mask_rcnn_resnet50_fpn", "keypoint", {}),
    ],
    "6": [(_KEYPOINTS, "keypoint", {"roi_op": op}) for op in ("pool", "align")],
    "7": [(_CITY, "cityscapes", {}), (_CITY, "cityscapes_from_coco", {})],
    "8": [
        (_X101, "paper_resnext", {}),
        *[(_X101, "updated", {})] * 3,
        (_X101, "augmented", {}),
        (_X152, "augmented", {}),
        *[(f"{_X152}_nl", "augmented", {})] * 2,
    ],
    "9": [
        (_KEYPOINTS, "keypoint", {}),
        (_KEYPOINTS, "keypoint_updated", {}),
        ("keypoint_rcnn_resnet101_fpn", "keypoint_updated", {}),
        *[(_X101_KEYPOINTS, "keypoint_updated_resnext", {})] * 3,
    ],
}
ROWS = [(table, number, *one) for table, rows in RECIPES.items() for number, one in enumerate(rows)]


def full_recipe(load_sample, table, number):
    """Of the paper's own row of a table, counted from 0, the training and the test."""
    recipes, found = load_sample("_recipes"), load_sample("_paper_tables").TABLES[table]
    own = [row for _, row in recipes.all_rows(found)]
    assert len(own) == len(RECIPES[table])
    return recipes.recipe(found, own[number], recipes.Scale("full", imagenet5k="x101.pkl"))


@pytest.mark.parametrize(("table", "number", "preset", "schedule", "changes"), ROWS)
def test_each_row_trains_its_network_on_its_data(load_sample, table, number, preset, schedule, changes):
    training, _ = full_recipe(load_sample, table, number)
    assert (training["preset"], training["schedule"]) == (preset, schedule)
    config = load_sample("_recipes").full_config(training)
    assert {name: getattr(config, name) for name in changes} == changes
    data = "cityscapes" if table == "7" else "persons" if table in "4569" else "coco"
    assert training["data"][0] == data


@pytest.mark.parametrize(("table", "number", "preset", "schedule", "changes"), ROWS)
def test_each_row_has_the_papers_numbers(load_sample, table, number, preset, schedule, changes):
    training, test = full_recipe(load_sample, table, number)
    config = load_sample("_recipes").full_config(training)
    c4 = config.features == "c4"
    assert (config.roi_batch_size, config.rpn_post_nms_topk_test) == ((64, 300) if c4 else (512, 1000))
    assert (config.roi_positive_fraction, config.max_detections) == (0.25, 100)
    rate = config.base_learning_rate * config.batch_size / 16
    assert (rate, config.momentum, config.weight_decay) == (0.02 * SCHEDULES[schedule].images / 16, 0.9, 1e-4)
    sides = (1024, 2048) if table == "7" else (800, 1333)
    assert (config.image_min_side, config.image_max_side) == sides
    jitter = (800, 1024) if table == "7" else (640, 800) if table in "4569" or schedule == "augmented" else ()
    assert (config.train_min_sides, config.min_side_sampling) == (jitter, "range" if jitter else "choice")
    views = [config.image_min_side * scale for scale in config.tta_scales] if test["tta"] else []
    assert views == ([400, 500, 600, 700, 800, 900, 1000, 1100, 1200] if test["tta"] else []) and config.tta_flip


@pytest.mark.shared
def test_the_numbers_beside_the_measured_ones_are_the_papers(load_sample, shared_dir):
    lines = (shared_dir / "paper" / "mask_rcnn.txt").read_text().splitlines()
    lines = [re.sub(r"<[^>]+>|\[\d+\]", "", line) for line in lines if "\t" in line]
    number = re.compile(r"\s*\d+\.\d\s*")
    printed = {tuple(float(cell) for cell in line.split("\t") if number.fullmatch(cell)) for line in lines}
    missing = {(name, row.name) for name, table in load_sample("_paper_tables").TABLES.items()
               for row in table.rows if tuple(row.paper.values()) not in printed}  # fmt: skip
    assert missing <= {("2c", "RoIAlign, max")}  # the text has lost that line


def test_persons_are_trained_on_where_they_have_keypoints(load_sample, tmp_path):
    write_people(tmp_path / "train2017", tmp_path / "annotations" / "person_keypoints_train2017.json")
    training = {"scale": "full", "data": ["persons", str(tmp_path)]}
    images = load_sample("_recipe_data").training_set(training, tmp_path)
    assert len(images) and all(images.load_annotations(i).keypoints[..., 2].any() for i in range(len(images)))
