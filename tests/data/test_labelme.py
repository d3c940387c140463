"""Folders of LabelMe: every shape, images in files and embedded, every kind of fault."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras.data import LabelMeDataset, training_batches

from .mask_pixels import block, masks_of

_SIZE = (40, 60)
_SQUARE = [[5, 10], [15, 10], [15, 20], [5, 20]]


def _shape(label="cat", points=_SQUARE, shape_type="polygon", group_id=None, **fields):
    return {"label": label, "points": points, "shape_type": shape_type, "group_id": group_id, "flags": {}, **fields}


def _png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _photo(value=90):
    return np.full((*_SIZE, 3), value, np.uint8)


def _write(folder, name, shapes, image=True, **fields):
    """`name`.json and, unless told otherwise, `name`.png."""
    folder.mkdir(parents=True, exist_ok=True)
    if image:
        Image.fromarray(_photo()).save(folder / f"{name}.png")
    content = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": f"{name}.png", "imageData": None}
    content |= {"imageHeight": _SIZE[0], "imageWidth": _SIZE[1], **fields}
    (folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return folder


def test_files_labels_and_negatives(tmp_path):
    _write(tmp_path, "b", [_shape("dog"), _shape("ärmel", [[30, 5], [50, 5], [50, 25]])])
    _write(tmp_path, "a", [])
    _write(tmp_path, "c", [_shape("cat")])
    Image.fromarray(_photo()).save(tmp_path / "unmarked.png")
    dataset = LabelMeDataset(tmp_path)
    assert [dataset.image_name(index) for index in range(len(dataset))] == ["a.png", "b.png", "c.png"]
    assert dataset.class_names == ("cat", "dog", "ärmel") and dataset.image_size(0) == _SIZE
    assert len(dataset.load(0)[1]) == 0
    image, found = dataset.load(1)
    assert (image == 90).all() and found.ids == [0, 1] and found.class_ids.tolist() == [1, 2]
    np.testing.assert_array_equal(masks_of(found)[0], block(_SIZE, 5, 10, 15, 20))
    assert found.areas[1] == pytest.approx(200, abs=20)


def test_unmarked_images_are_negatives_where_asked_for(tmp_path):
    _write(tmp_path / "json", "a", [_shape()], image=False)
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.png", "unmarked.png", "broken.png"):
        Image.fromarray(_photo()).save(photos / name)
    (tmp_path / "json" / "broken.json").write_text("{")
    dataset = LabelMeDataset(tmp_path / "json", photos, skip_broken=True, negatives=True)
    assert [dataset.image_name(index) for index in range(len(dataset))] == ["a.png", "unmarked.png"]
    image, found = dataset.load(1)
    assert image.shape == (*_SIZE, 3) and len(found) == 0 and dataset.report().counts["skipped"] == 1


def test_every_kind_of_shape_with_corners(tmp_path):
    shapes = [
        _shape(points=[[30.0, 20.0], [20.0, 4.0]], shape_type="rectangle"),
        _shape(points=_SQUARE, shape_type="rectangle"),
        _shape(points=_SQUARE, shape_type="oriented_rectangle"),
        _shape(points=[[20, 15], [26, 23]], shape_type="circle"),
        {"label": "cat", "points": _SQUARE},  # files of old versions say nothing else
    ]
    masks = masks_of(LabelMeDataset(_write(tmp_path, "a", shapes)).load_annotations(0))
    y, x = np.mgrid[: _SIZE[0], : _SIZE[1]] + 0.5
    square = block(_SIZE, 5, 10, 15, 20)
    for mask, expected in zip(
        masks,
        [block(_SIZE, 20, 4, 30, 20), square, square, np.hypot(x - 20, y - 15) <= 10, square],
        strict=True,
    ):
        np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("last", [0, 1])
def test_a_mask_lies_in_its_box_whether_or_not_that_counts_the_last_pixel_in(tmp_path, last):
    small = np.random.default_rng(0).random((7, 9)) < 0.5
    points = [[12.0, 30.0], [12.0 + 9 - last, 30.0 + 7 - last]]
    shapes = [_shape(points=points, shape_type="mask", mask=_png(small))]
    (mask,) = masks_of(LabelMeDataset(_write(tmp_path, "a", shapes)).load_annotations(0))
    expected = block(_SIZE, 0, 0, 0, 0)
    expected[30:37, 12:21] = small
    np.testing.assert_array_equal(mask, expected)


def test_shapes_of_one_label_and_group_are_one_object(tmp_path):
    left, right = [[0, 0], [4, 4]], [[10, 0], [14, 4]]
    shapes = [
        _shape("cat", left, "rectangle", group_id=1),
        _shape("dog", left, "rectangle", group_id=1),
        _shape("cat", right, "rectangle", group_id=1),
        _shape("cat", right, "rectangle", group_id=2),
        _shape("cat", right, "rectangle"),
        _shape("cat", left, "rectangle"),
    ]
    found = LabelMeDataset(_write(tmp_path, "a", shapes)).load_annotations(0)
    assert found.ids == [0, 1, 3, 4, 5] and found.class_ids.tolist() == [0, 1, 0, 0, 0]
    assert found.areas.tolist() == [32, 16, 16, 16, 16]
    np.testing.assert_array_equal(masks_of(found)[0], block(_SIZE, 0, 0, 4, 4) | block(_SIZE, 10, 0, 14, 4))


def test_labels_that_mean_no_object_are_passed_over(tmp_path):
    shapes = [_shape("__ignore__", [[1, 1]], "point"), _shape("_background_"), _shape("cat")]
    dataset = LabelMeDataset(_write(tmp_path, "a", shapes))
    assert dataset.class_names == ("cat",) and dataset.load_annotations(0).ids == [2]
    assert dataset.report().counts["skipped"] == 0


def test_classes_are_kept_in_the_order_given(tmp_path):
    dataset = LabelMeDataset(
        _write(tmp_path, "a", [_shape("cat"), _shape("dog"), _shape("eel")]), classes=("eel", "cat")
    )
    assert dataset.class_names == ("eel", "cat")
    assert dataset.load_annotations(0).ids == [0, 2] and dataset.load_annotations(0).class_ids.tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"has no object of classes=\['cow'\]; it has 'cat', 'dog', 'eel'"):
        LabelMeDataset(tmp_path, classes=["cow"])


@pytest.mark.parametrize("path", ["..\\photos\\a.png", "../photos/a.png", "D:\\work\\a.png"])
def test_the_image_is_where_the_file_says_or_of_that_name(tmp_path, path):
    folder = _write(tmp_path / "json", "a", [_shape()], image=False, imagePath=path)
    place = tmp_path / ("photos" if path.startswith("..") else "json")
    place.mkdir(exist_ok=True)
    Image.fromarray(_photo(7)).save(place / "a.png")
    dataset = LabelMeDataset(folder)
    assert dataset.image_name(0) == "a.png" and (dataset.load(0)[0] == 7).all()


def test_the_embedded_image_serves_where_the_file_is_absent(tmp_path):
    fields = {"imageData": _png(_photo(33)), "imageHeight": None, "imageWidth": None}
    folder = _write(tmp_path, "a", [_shape()], image=False, **fields)
    dataset = LabelMeDataset(folder)
    assert dataset.image_size(0) == _SIZE and (dataset.load(0)[0] == 33).all() and len(dataset.load(0)[1]) == 1
    Image.fromarray(_photo(7)).save(folder / "a.png")
    assert (LabelMeDataset(folder).load(0)[0] == 7).all()


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    folder = _write(tmp_path, "a", [_shape()], image=False, imagePath="a.jpg")
    Image.new("RGB", _SIZE).save(folder / "a.jpg", exif=exif)  # stored 40 wide, 60 high
    assert LabelMeDataset(folder).load(0)[1].size == _SIZE


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shape_type": "point", "points": [[1, 2]]}, "a point has no area; draw"),
        ({"shape_type": "line", "points": [[1, 2], [3, 4]]}, "a line has no area"),
        ({"shape_type": "linestrip"}, "a linestrip has no area"),
        ({"shape_type": "star"}, "unknown shape_type 'star'"),
        ({"points": [[1, 2], [3, 4]]}, "2 points; an object needs three"),
        ({"shape_type": "circle", "points": [[1, 2]]}, "a circle has two points, got 1"),
        ({"shape_type": "circle", "points": [[1, 2], [1, 2]]}, "radius must be above 0"),
        ({"shape_type": "rectangle", "points": [[1, 2], [1, 9]]}, "0 wide and 7 high"),
        ({"points": [[1, 2], [3, 4], [5, "6"]]}, "y must be a finite number, got '6'"),
        ({"points": [1, 2, 3]}, r"list of \[x, y\]"),
        ({"label": ""}, "its label must be a text, got ''"),
        ({"label": None}, "its label must be a text, got None"),
        ({"shape_type": "mask", "points": [[1, 2], [3, 4]]}, "needs the field 'mask'"),
        ({"shape_type": "mask", "points": [[1, 2], [3, 4]], "mask": "?"}, "'mask' is not base64"),
        ({"shape_type": "mask", "points": [[1, 2], [3, 4]], "mask": "AAAA"}, "'mask' is not an image"),
        (
            {"shape_type": "mask", "points": [[1, 2], [9, 9]], "mask": _png(np.ones((5, 5), bool))},
            r"\(5, 5\), which does not fit its points \[1, 2, 9, 9\]",
        ),
    ],
)
def test_a_shape_that_is_no_object_is_named_or_skipped(tmp_path, fields, message):
    _write(tmp_path, "a", [_shape(), {**_shape(), **fields}])
    with pytest.raises(ValueError, match=f"a.json: shape 1: .*{message}.*skip_broken"):
        LabelMeDataset(tmp_path)
    dataset = LabelMeDataset(tmp_path, skip_broken=True)
    assert dataset.load(0)[1].ids == [0] and dataset.report().counts["skipped"] == 1


def test_a_shape_outside_is_named_or_skipped_and_one_without_a_pixel_dropped(tmp_path):
    outside = _shape(points=[[70, 5], [80, 15]], shape_type="rectangle")
    colour = _shape(points=[[2, 2], [7, 7]], shape_type="mask", mask=_png(np.ones((5, 5, 3), np.uint8)))
    empty = _shape(points=[[2, 2], [7, 7]], shape_type="mask", mask=_png(np.zeros((5, 5), np.uint8)))
    _write(tmp_path, "a", [_shape(), outside, empty, colour])
    with pytest.raises(ValueError, match="shape 1 of image 'a.png' in .*a.json: .*wholly outside the 60x40 image"):
        LabelMeDataset(tmp_path).load(0)
    dataset = LabelMeDataset(tmp_path, skip_broken=True)
    assert dataset.load(0)[1].ids == [0]
    report = dataset.report()
    assert report.counts == {"repaired": 0, "dropped": 1, "skipped": 2}
    assert "shape 2" in report.dropped[0] and "one channel" in report.skipped[1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"imageHeight": 60, "imageWidth": 40}, r"\(60, 40\), but .*bad.png is \(40, 60\); .*EXIF"),
        ({"imageWidth": 61}, r"\(40, 61\), but"),
        ({"imagePath": "gone.png"}, "its image 'gone.png' is not in .*, nor can imageData be used: it is empty"),
        ({"imagePath": None}, "its image None is not in"),
        (
            {"imagePath": "gone.png", "imageData": "!!!"},
            "'gone.png' is not in .*, nor can imageData be used: it is not base64",
        ),
        ({"imagePath": "gone.png", "imageData": "AAAA"}, "'gone.png' is not in .*cannot read image"),
        (
            {"imagePath": "good.png"},
            "bad.json is for the same image as .*good.json|good.json .* same image as .*bad.json",
        ),
        ({"imagePath": "empty.png"}, "empty.png: the file is empty"),
        ({"shapes": None}, "not of LabelMe: it has no list 'shapes'"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_or_skipped(tmp_path, fields, message):
    _write(tmp_path, "good", [_shape()])
    _write(tmp_path, "bad", **{"shapes": [_shape("dog")], **fields})
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(ValueError, match=f"{message}.*skip_broken"):
        LabelMeDataset(tmp_path)
    dataset = LabelMeDataset(tmp_path, skip_broken=True)
    assert len(dataset) == 1 and dataset.report().counts["skipped"] == 1


def test_broken_json_and_empty_folders(tmp_path):
    with pytest.raises(ValueError, match="folder=.*nowhere"):
        LabelMeDataset(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="has no JSON file"):
        LabelMeDataset(tmp_path)
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match="a.json is not valid JSON at line 1"):
        LabelMeDataset(tmp_path)
    with pytest.raises(ValueError, match="no image that can be used: .*a.json"):
        LabelMeDataset(tmp_path, skip_broken=True)
    _write(tmp_path, "a", [])
    with pytest.raises(ValueError, match="no object that names a class; pass classes="):
        LabelMeDataset(tmp_path)
    assert LabelMeDataset(tmp_path, classes=["cat"]).class_names == ("cat",)
    with pytest.raises(ValueError, match="image_dir=.*nowhere"):
        LabelMeDataset(tmp_path, tmp_path / "nowhere")


def test_training_batches_havemasks_of(tmp_path):
    _write(tmp_path, "a", [_shape("dog"), _shape("cat", [[40, 20], [40, 29]], "circle")])
    small = np.tri(12, dtype=bool)
    embedded = {"imageData": _png(_photo(200)), "imagePath": "gone.png"}
    _write(tmp_path, "b", [_shape("cat", [[20, 20], [31, 31]], "mask", mask=_png(small))], image=False, **embedded)
    options = {"batch_size": 2, "min_side": 40, "max_side": 60, "mask_size": 12, "flip": False, "shuffle": False}
    batch = next(iter(training_batches(LabelMeDataset(tmp_path), repeat=False, **options)))
    classes, masks = batch["gt_class_ids"].numpy(), batch["gt_masks"].numpy()
    assert [row[row >= 0].tolist() for row in classes] == [[1, 0], [0]]
    assert (masks[0, 0] == 255).all() and masks[0, 1].mean() / 255 == pytest.approx(np.pi / 4, abs=0.03)
    np.testing.assert_array_equal(masks[1, 0], small * 255)
    assert (batch["images"].numpy()[1, :40, :60] == 200).all()
