"""Tables 1, 2, 3, 7 and 8 of the paper: masks and boxes."""

from _paper import Row, Table, boxes, city, masks

_E2E = "end_to_end"
_AUGMENTED = {"schedule": "augmented", "weights": "imagenet5k", "stages": _E2E}

MASK_TABLES: dict[str, Table] = {
    "1": Table(
        "masks, beside other systems",
        "paper",
        "test-dev",
        "thin",
        900,
        (
            Row("MNC, ResNet-101-C4", masks(24.6, 44.3, 24.8, 4.7, 25.9, 43.6)),
            Row("FCIS +OHEM, ResNet-101-C5-dilated", masks(29.2, 49.5, None, 7.1, 31.3, 50.0)),
            Row("FCIS+++ +OHEM, ResNet-101-C5-dilated", masks(33.6, 54.5)),
            Row("Mask R-CNN, ResNet-101-C4", masks(33.1, 54.9, 34.8, 12.1, 35.6, 51.1), "R-101-C4"),
            Row("Mask R-CNN, ResNet-101-FPN", masks(35.7, 58.0, 37.8, 15.5, 38.1, 52.4), "R-101-FPN"),
            Row(
                "Mask R-CNN, ResNeXt-101-FPN",
                masks(37.1, 60.0, 39.4, 16.9, 39.9, 53.5),
                "X-101-FPN",
                schedule="paper_resnext",
            ),
        ),
    ),
    "2a": Table(
        "backbones",
        "paper",
        "minival",
        "thin",
        900,
        (
            Row("ResNet-50-C4", masks(30.3, 51.2, 31.5), "R-50-C4"),
            Row("ResNet-101-C4", masks(32.7, 54.2, 34.3), "R-101-C4"),
            Row("ResNet-50-FPN", masks(33.6, 55.2, 35.3), "R-50-FPN"),
            Row("ResNet-101-FPN", masks(35.4, 57.3, 37.5), "R-101-FPN"),
            Row("ResNeXt-101-FPN", masks(36.7, 59.5, 38.9), "X-101-FPN", schedule="paper_resnext"),
        ),
    ),
    "2b": Table(
        "multinomial or independent masks",
        "paper",
        "minival",
        "thin",
        900,
        (
            Row("softmax", masks(24.8, 44.1, 25.1), "R-50-C4", {"mask_loss": "softmax"}),
            Row("sigmoid", masks(30.3, 51.2, 31.5), "R-50-C4", {"mask_loss": "sigmoid"}),
        ),
    ),
    "2c": Table(
        "RoI layers at stride 16",
        "paper",
        "minival",
        "large",
        600,
        (
            Row("RoIPool, max", masks(26.9, 48.8, 26.4), "R-50-C4", {"roi_op": "pool"}),
            Row("RoIWarp, max", masks(27.2, 49.2, 27.1), "R-50-C4", {"roi_op": "warp", "roi_reduce": "max"}),
            Row("RoIWarp, average", masks(27.1, 48.9, 27.1), "R-50-C4", {"roi_op": "warp"}),
            Row("RoIAlign, max", masks(30.2, 51.0, 31.8), "R-50-C4", {"roi_op": "align", "roi_reduce": "max"}),
            Row("RoIAlign, average", masks(30.3, 51.2, 31.5), "R-50-C4", {"roi_op": "align"}),
        ),
    ),
    "2d": Table(
        "RoI layers at stride 32",
        "paper",
        "minival",
        "large",
        1500,
        (
            Row("RoIPool", {**masks(23.6, 46.5, 21.6), **boxes(28.2, 52.7, 26.9)}, "R-50-C5", {"roi_op": "pool"}),
            Row("RoIAlign", {**masks(30.9, 51.8, 32.1), **boxes(34.0, 55.3, 36.4)}, "R-50-C5", {"roi_op": "align"}),
        ),
    ),
    "2e": Table(
        "mask branches",
        "paper",
        "minival",
        "thin",
        900,
        (
            Row("MLP, 2 hidden", masks(31.5, 53.7, 32.8), "R-50-FPN", {"mask_head": "mlp", "mask_head_fcs": 2}),
            Row("MLP, 3 hidden", masks(31.5, 54.0, 32.6), "R-50-FPN", {"mask_head": "mlp", "mask_head_fcs": 3}),
            Row("FCN", masks(33.6, 55.2, 35.3), "R-50-FPN", {"mask_head": "fcn"}),
        ),
    ),
    "3": Table(
        "boxes, beside other systems",
        "paper",
        "test-dev",
        "thin",
        900,
        (
            Row("Faster R-CNN+++, ResNet-101-C4", boxes(34.9, 55.7, 37.4, 15.6, 38.7, 50.9)),
            Row("Faster R-CNN w FPN, ResNet-101-FPN", boxes(36.2, 59.1, 39.0, 18.2, 39.0, 48.2)),
            Row("Faster R-CNN by G-RMI, Inception-ResNet-v2", boxes(34.7, 55.5, 36.7, 13.5, 38.1, 52.0)),
            Row("Faster R-CNN w TDM, Inception-ResNet-v2-TDM", boxes(36.8, 57.7, 39.2, 16.2, 39.8, 52.1)),
            Row(
                "Faster R-CNN, RoIAlign, ResNet-101-FPN",
                boxes(37.3, 59.6, 40.3, 19.8, 40.2, 48.8),
                "R-101-FPN, boxes",
            ),
            Row("Mask R-CNN, ResNet-101-FPN", boxes(38.2, 60.3, 41.7, 20.1, 41.1, 50.2), "R-101-FPN"),
            Row(
                "Mask R-CNN, ResNeXt-101-FPN",
                boxes(39.8, 62.3, 43.4, 22.1, 43.2, 51.2),
                "X-101-FPN",
                schedule="paper_resnext",
            ),
        ),
    ),
    "7": Table(
        "Cityscapes, beside other systems",
        "cityscapes",
        "cityscapes",
        "city",
        900,
        (
            Row("InstanceCut, fine + coarse", city(15.8, 13.0, 27.9, 10.0, 8.0, 23.7, 14.0, 19.5, 15.2, 9.3, 4.7)),
            Row("DWT, fine", city(19.8, 15.6, 30.0, 15.1, 11.7, 32.9, 17.1, 20.4, 15.0, 7.9, 4.9)),
            Row("SAIS, fine", city(None, 17.4, 36.7, 14.6, 12.9, 35.7, 16.0, 23.2, 19.0, 10.3, 7.8)),
            Row("DIN, fine + coarse", city(None, 20.0, 38.8, 16.5, 16.7, 25.7, 20.6, 30.0, 23.4, 17.1, 10.1)),
            Row("SGN, fine + coarse", city(29.2, 25.0, 44.9, 21.8, 20.1, 39.4, 24.8, 33.2, 30.8, 17.7, 12.4)),
            Row(
                "Mask R-CNN, fine",
                city(31.5, 26.2, 49.9, 30.5, 23.7, 46.9, 22.8, 32.2, 18.6, 19.1, 16.0),
                "R-50-FPN, Cityscapes",
            ),
            Row(
                "Mask R-CNN, fine + COCO",
                city(36.4, 32.0, 58.1, 34.8, 27.0, 49.1, 30.1, 40.9, 30.9, 24.1, 18.7),
                "R-50-FPN, Cityscapes",
                schedule="cityscapes_from_coco",
                weights="coco",
            ),
        ),
    ),
    "8": Table(
        "improvements, one added to the other",
        "updated",
        "minival",
        "thin",
        900,
        (
            Row(
                "original baseline, X-101-FPN",
                {**masks(36.7, 59.5, 38.9), **boxes(39.6, 61.5, 43.2)},
                "X-101-FPN",
                schedule="paper_resnext",
                compares_stages=True,
            ),
            Row(
                "+ updated baseline, X-101-FPN",
                {**masks(37.0, 59.7, 39.0), **boxes(40.5, 63.0, 43.7)},
                "X-101-FPN",
                compares_stages=True,
            ),
            Row(
                "+ e2e training, X-101-FPN",
                {**masks(37.6, 60.4, 39.9), **boxes(41.7, 64.1, 45.2)},
                "X-101-FPN",
                stages=_E2E,
            ),
            Row(
                "+ ImageNet-5k, X-101-FPN",
                {**masks(38.6, 61.7, 40.9), **boxes(42.7, 65.1, 46.6)},
                "X-101-FPN",
                weights="imagenet5k",
                stages=_E2E,
            ),
            Row(
                "+ train-time augm., X-101-FPN",
                {**masks(39.2, 62.5, 41.6), **boxes(43.5, 65.9, 47.2)},
                "X-101-FPN",
                **_AUGMENTED,
            ),
            Row(
                "+ deeper, X-152-FPN",
                {**masks(39.7, 63.2, 42.2), **boxes(44.1, 66.4, 48.4)},
                "X-152-FPN",
                **_AUGMENTED,
            ),
            Row(
                "+ Non-local, X-152-FPN-NL",
                {**masks(40.3, 64.4, 42.8), **boxes(45.0, 67.8, 48.9)},
                "X-152-FPN-NL",
                **_AUGMENTED,
            ),
            Row(
                "+ test-time augm., X-152-FPN-NL",
                {**masks(41.8, 66.0, 44.8), **boxes(47.3, 69.3, 51.5)},
                "X-152-FPN-NL",
                tta=True,
                **_AUGMENTED,
            ),
        ),
    ),
}
