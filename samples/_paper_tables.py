"""Every table of the paper; here tables 4, 5, 6 and 9, about persons and their keypoints."""

from _paper import Row, Table, keypoints
from _paper_masks import MASK_TABLES

_ONLY, _BOTH = "persons, keypoints", "persons, keypoints & masks"
_R101, _X101 = "persons, keypoints, R-101-FPN", "persons, keypoints, X-101-FPN"
_RESNEXT = "keypoint_updated_resnext"

_PERSON_TABLES: dict[str, Table] = {
    "4": Table(
        "keypoints, beside other systems",
        "keypoint",
        "test-dev",
        "stick",
        800,
        (
            Row("CMU-Pose+++", keypoints(61.8, 84.9, 67.5, 57.1, 68.2)),
            Row("G-RMI", keypoints(62.4, 84.0, 68.5, 59.1, 68.1)),
            Row("Mask R-CNN, keypoint-only", keypoints(62.7, 87.0, 68.4, 57.4, 71.1), _ONLY),
            Row("Mask R-CNN, keypoint & mask", keypoints(63.1, 87.3, 68.7, 57.8, 71.4), _BOTH),
        ),
    ),
    "5": Table(
        "boxes, masks and keypoints of persons",
        "keypoint",
        "minival",
        "stick",
        800,
        (
            Row("Faster R-CNN", {"box AP": 52.5}, "persons, boxes"),
            Row("Mask R-CNN, mask-only", {"box AP": 53.6, "mask AP": 45.8}, "persons, masks"),
            Row("Mask R-CNN, keypoint-only", {"box AP": 50.7, "keypoint AP": 64.2}, _ONLY),
            Row("Mask R-CNN, keypoint & mask", {"box AP": 52.0, "mask AP": 45.1, "keypoint AP": 64.7}, _BOTH),
        ),
    ),
    "6": Table(
        "RoI layers for keypoints",
        "keypoint",
        "minival",
        "stick",
        800,
        (
            Row("RoIPool", keypoints(59.8, 86.2, 66.7, 55.1, 67.4), _ONLY, {"roi_op": "pool"}),
            Row("RoIAlign", keypoints(64.2, 86.6, 69.7, 58.7, 73.0), _ONLY, {"roi_op": "align"}),
        ),
    ),
    "9": Table(
        "keypoints, one improvement added to the other",
        "keypoint_updated",
        "minival",
        "stick",
        800,
        (
            Row("original baseline, R-50-FPN", keypoints(64.2, 86.6, 69.7, 58.7, 73.0), _ONLY, schedule="keypoint"),
            Row("+ updated baseline, R-50-FPN", keypoints(65.1, 86.6, 70.9, 59.9, 73.6), _ONLY),
            Row("+ deeper, R-101-FPN", keypoints(66.1, 87.7, 71.7, 60.5, 75.0), _R101),
            Row("+ ResNeXt, X-101-FPN", keypoints(67.3, 88.0, 73.3, 62.2, 75.6), _X101, schedule=_RESNEXT),
            Row(
                "+ data distillation, X-101-FPN",
                keypoints(69.1, 88.9, 75.3, 64.1, 77.1),
                _X101,
                schedule=_RESNEXT,
                distilled=True,
            ),
            Row(
                "+ test-time augm., X-101-FPN",
                keypoints(70.4, 89.3, 76.8, 65.8, 78.1),
                _X101,
                schedule=_RESNEXT,
                distilled=True,
                tta=True,
            ),
        ),
    ),
}

TABLES: dict[str, Table] = dict(sorted({**MASK_TABLES, **_PERSON_TABLES}.items()))
