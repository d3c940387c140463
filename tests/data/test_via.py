"""Files of the VGG Image Annotator: both versions, every shape, every kind of fault."""

import json

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras.data import ViaDataset, training_batches

from .mask_pixels import block, masks_of

_SIZE = (40, 60)
_SQUARE = {"name": "polygon", "all_points_x": [5, 15, 15, 5], "all_points_y": [10, 10, 20, 20]}


def _region(shape=_SQUARE, **attributes):
    return {"shape_attributes": shape, "region_attributes": attributes}


def _images(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        Image.new("RGB", _SIZE[::-1], (90, 60, 30)).save(folder / name)


def _write(tmp_path, regions, attributes=None, **project):
    """Three images: a.jpg with the regions, b.png with one square, c.jpg without a region."""
    _images(tmp_path / "images", "a.jpg", "b.png", "c.jpg")
    squares = [_region(**{key: value for key, value in _attributes(regions).items()})]
    parts = {"a.jpg": regions, "b.png": squares, "c.jpg": []}
    entries = {
        f"{name}{-1 if name == 'b.png' else 1234}": {
            "filename": name,
            "size": -1 if name == "b.png" else 1234,
            "regions": found,
            "file_attributes": {},
        }
        for name, found in parts.items()
    }
    content = entries
    if attributes is not None:
        content = {
            "_via_settings": {"core": {"default_filepath": ""}},
            "_via_img_metadata": entries,
            "_via_attributes": {"region": attributes, "file": {"quality": {"type": "text"}}},
            "_via_data_format_version": "2.0.10",
            "_via_image_id_list": list(entries),
            **project,
        }
    path = tmp_path / "via.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return tmp_path / "images", path


def _attributes(regions):
    regions = list(regions.values()) if isinstance(regions, dict) else regions
    return regions[0]["region_attributes"] if regions else {}


def test_version_1_has_regions_in_an_object(tmp_path):
    regions = {
        "0": _region(kind="dog"),
        "1": _region({"name": "rect", "x": 30, "y": 4, "width": 8, "height": 6}, kind="cat"),
    }
    dataset = ViaDataset(*_write(tmp_path, regions))
    assert len(dataset) == 3 and dataset.class_names == ("cat", "dog") and dataset.class_attribute == "kind"
    assert [dataset.image_name(index) for index in range(3)] == ["a.jpg", "b.png", "c.jpg"]
    assert dataset.image_size(1) == _SIZE
    found = dataset.load(0)[1]
    assert found.ids == [0, 1] and found.class_ids.tolist() == [1, 0] and not found.is_crowd.any()
    np.testing.assert_array_equal(found.boxes, [[5, 10, 15, 20], [30, 4, 38, 10]])
    for mask, expected in zip(masks_of(found), (block(_SIZE, 5, 10, 15, 20), block(_SIZE, 30, 4, 38, 10)), strict=True):
        np.testing.assert_array_equal(mask, expected)
    assert len(dataset.load(2)[1]) == 0  # a negative


def test_version_2_has_regions_in_a_list_and_projects_options_in_order(tmp_path):
    options = {"zebra": "", "cat": "a house cat", "dog": ""}
    attributes = {"kind": {"type": "dropdown", "options": options, "default_options": {}}}
    regions = [_region(kind="dog"), _region(kind="zebra")]
    exported = ViaDataset(*_write(tmp_path, regions))
    assert exported.class_names == ("dog", "zebra") and exported.load_annotations(0).class_ids.tolist() == [0, 1]
    project = ViaDataset(*_write(tmp_path, regions, attributes))
    assert project.class_names == ("zebra", "cat", "dog")
    assert project.load_annotations(0).class_ids.tolist() == [2, 0]


def test_without_an_attribute_all_objects_are_of_one_class(tmp_path):
    files = _write(tmp_path, [_region(), _region()])
    assert ViaDataset(*files).class_names == ("object",)
    balloons = ViaDataset(*files, classes=["balloon"])
    assert balloons.class_names == ("balloon",) and balloons.load_annotations(0).class_ids.tolist() == [0, 0]


def test_a_checkbox_names_the_class_by_its_one_tick(tmp_path):
    files = _write(tmp_path, [_region(kind={"cat": True}), _region(kind={"cat": False, "dog": True})])
    dataset = ViaDataset(*files)
    assert dataset.class_names == ("cat", "dog") and dataset.load_annotations(0).class_ids.tolist() == [0, 1]


def test_one_of_several_attributes_is_chosen_by_name(tmp_path):
    files = _write(tmp_path, [_region(kind="cat", colour="red"), _region(kind="dog", colour="red")])
    with pytest.raises(ValueError, match="via.json.*several attributes, 'kind', 'colour'; .*class_attribute="):
        ViaDataset(*files)
    assert ViaDataset(*files, class_attribute="kind").class_names == ("cat", "dog")
    assert ViaDataset(*files, class_attribute="colour").class_names == ("red",)
    with pytest.raises(ValueError, match="no region has the attribute 'size'; there are 'kind', 'colour'"):
        ViaDataset(*files, class_attribute="size")


def test_classes_are_kept_in_the_order_given(tmp_path):
    files = _write(tmp_path, [_region(kind="cat"), _region(kind="dog"), _region(kind="eel")])
    dataset = ViaDataset(*files, classes=["eel", "bird", "cat"])
    assert dataset.class_names == ("eel", "bird", "cat") and len(dataset) == 3
    assert dataset.load_annotations(0).ids == [0, 2] and dataset.load_annotations(0).class_ids.tolist() == [2, 0]
    with pytest.raises(ValueError, match=r"via.json has no object of classes=\['cow'\]; it has 'cat', 'dog', 'eel'"):
        ViaDataset(*files, classes=["cow"])
    with pytest.raises(ValueError, match="classes must be a list"):
        ViaDataset(*files, classes="cat")


def test_circles_and_turned_ellipses_cover_the_pixels_whose_centre_they_hold(tmp_path):
    circle = {"name": "circle", "cx": 20, "cy": 15, "r": 7.5}
    turned = {"name": "ellipse", "cx": 30, "cy": 20, "rx": 14, "ry": 5, "theta": 0.5}
    straight = {"name": "ellipse", "cx": 30, "cy": 20, "rx": 14, "ry": 5}
    masks = masks_of(
        ViaDataset(*_write(tmp_path, [_region(circle), _region(turned), _region(straight)])).load_annotations(0)
    )
    y, x = np.mgrid[: _SIZE[0], : _SIZE[1]] + 0.5
    np.testing.assert_array_equal(masks[0], np.hypot(x - 20, y - 15) <= 7.5)
    along, across = (x - 30) * np.cos(0.5) + (y - 20) * np.sin(0.5), (y - 20) * np.cos(0.5) - (x - 30) * np.sin(0.5)
    np.testing.assert_array_equal(masks[1], np.hypot(along / 14, across / 5) <= 1)
    assert masks[1][25, 40] and not masks[1][15, 40]  # a positive angle turns clockwise: the right end goes down
    np.testing.assert_array_equal(masks[2], np.hypot((x - 30) / 14, (y - 20) / 5) <= 1)


def test_a_polyline_that_ends_where_it_began_is_a_polygon(tmp_path):
    closed = {"name": "polyline", "all_points_x": [5, 15, 15, 5, 5], "all_points_y": [10, 10, 20, 20, 11]}
    found = ViaDataset(*_write(tmp_path, [_region(closed)])).load_annotations(0)
    np.testing.assert_array_equal(masks_of(found)[0], block(_SIZE, 5, 10, 15, 20))


def test_regions_are_cut_off_at_the_images_edge(tmp_path):
    over = {"name": "rect", "x": 50, "y": -10, "width": 30, "height": 20}
    found = ViaDataset(*_write(tmp_path, [_region(over)])).load_annotations(0)
    np.testing.assert_array_equal(found.boxes, [[50, 0, 60, 10]])
    assert found.areas.tolist() == [100]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"name": "point", "cx": 3, "cy": 4}, "a point, which has no area"),
        ({**_SQUARE, "name": "polyline"}, "open polyline: its ends are 10.0 pixels apart"),
        ({"name": "polyline", "all_points_x": [], "all_points_y": []}, "0 points"),
        ({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [3, 4]}, "2 points"),
        ({"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [3, 4]}, "same length"),
        ({"name": "polygon", "all_points_x": [1, 2, None], "all_points_y": [3, 4, 5]}, "finite number, got None"),
        ({"name": "rect", "x": 1, "y": 2, "width": 0, "height": 5}, "above 0, got 0 and 5"),
        ({"name": "rect", "x": 1, "y": 2, "width": 4}, "height of rect must be a finite number"),
        ({"name": "circle", "cx": 1, "cy": 2, "r": -1}, "radius must be above 0"),
        ({"name": "ellipse", "cx": 1, "cy": 2, "rx": 3, "ry": "4"}, "ry of ellipse"),
        ({"name": "star"}, "unknown shape 'star'"),
        (None, "no 'shape_attributes'"),
    ],
)
def test_a_shape_that_is_no_object_is_named_or_skipped(tmp_path, shape, message):
    files = _write(tmp_path, [_region(), _region(shape)])
    with pytest.raises(ValueError, match=f"via.json: region 1 of image 'a.jpg': .*{message}.*skip_broken"):
        ViaDataset(*files)
    dataset = ViaDataset(*files, skip_broken=True)
    assert dataset.load(0)[1].ids == [0] and dataset.report().counts == {"repaired": 0, "dropped": 0, "skipped": 1}
    assert "region 1 of image 'a.jpg'" in dataset.report().skipped[0]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "'kind' must name its class, got None"),
        (" ", "must name its class"),
        ({}, r"exactly one box ticked, it has \[\]"),
        ({"cat": True, "dog": True}, r"exactly one box ticked, it has \['cat', 'dog'\]"),
        ("cow", "'cow', which is not among its options 'cat', 'dog'"),
    ],
)
def test_a_region_without_a_class_is_named_or_skipped(tmp_path, value, message):
    attributes = {"kind": {"type": "checkbox", "options": {"cat": "", "dog": ""}}}
    files = _write(tmp_path, [_region(kind="cat"), _region(kind=value)], attributes)
    with pytest.raises(ValueError, match=f"region 1 of image 'a.jpg': attribute .*{message}"):
        ViaDataset(*files)
    assert ViaDataset(*files, skip_broken=True).load_annotations(0).ids == [0]


def test_a_region_wholly_outside_is_named_or_skipped_and_one_without_a_pixel_dropped(tmp_path):
    outside = {"name": "circle", "cx": 80, "cy": 20, "r": 15}
    files = _write(tmp_path, [_region(), _region(outside), _region({"name": "circle", "cx": 9, "cy": 9, "r": 0.2})])
    with pytest.raises(ValueError, match="region 1 of image 'a.jpg' in .*via.json: .*wholly outside the 60x40 image"):
        ViaDataset(*files).load(0)
    dataset = ViaDataset(*files, skip_broken=True)
    assert dataset.load(0)[1].ids == [0] and dataset.load(1) and dataset.load(0)
    assert dataset.report().counts == {"repaired": 0, "dropped": 1, "skipped": 1}
    assert "region 2 of image 'a.jpg'" in dataset.report().dropped[0]


def _rename(path, name, old="a.jpg"):
    content = json.loads(path.read_text())
    for entry in content.values():
        if entry["filename"] == old:
            entry["filename"] = name
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.jpg", "image file .*gone.jpg does not exist"),
        ("https://example.org/photos/gone.jpg?size=1", "is a URL.*download it into .*images"),
        ("data:image/png;base64,AAAA", "embedded as a data: URL"),
        ("b.png", "'b.png' comes twice"),
        ("", "entry 'a.jpg1234' has no 'filename'"),
        ("broken.jpg", "broken.jpg.*empty"),
    ],
)
def test_an_image_that_cannot_be_used_is_named_or_skipped(tmp_path, name, message):
    folder, path = _write(tmp_path, [_region()])
    (folder / "broken.jpg").write_bytes(b"")
    _rename(path, name)
    with pytest.raises(ValueError, match=f"via.json: .*{message}.*skip_broken"):
        ViaDataset(folder, path)
    dataset = ViaDataset(folder, path, skip_broken=True)
    assert len(dataset) == 2 and dataset.report().counts["skipped"] == 1


@pytest.mark.parametrize(
    "name", ["http://example.org/photos/a.jpg?x=1", "elsewhere\\a.jpg", "C:\\photos\\a.jpg", "/no/a.jpg"]
)
def test_an_image_is_found_by_the_last_part_of_its_path(tmp_path, name):
    folder, path = _write(tmp_path, [_region()])
    _rename(path, name)
    dataset = ViaDataset(folder, path)
    assert dataset.image_name(0) == name and dataset.load(0)[0].shape == (*_SIZE, 3)


def test_folders_below_are_found_with_back_slashes_too(tmp_path):
    folder, path = _write(tmp_path, [_region()])
    _images(folder / "below", "z.png")
    _rename(path, "below\\z.png")
    assert ViaDataset(folder, path).load(0)[0].shape == (*_SIZE, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n  "a": nope}', "not valid JSON at line 2, column 8"),
        ("", "not valid JSON"),
        ("[1, 2]", r"must hold a JSON object.*\[1, 2\]"),
        ("{}", "not of VIA 1 or 2: it has no image"),
        ('{"images": [], "annotations": []}', "COCO file, which CocoDataset reads"),
        ('{"shapes": [], "imagePath": "a.jpg"}', "LabelMeDataset"),
        ('{"project": {}, "file": {}, "metadata": {}, "view": {}}', "VIA 3"),
        ('{"a": {"filename": "a.jpg", "regions": 5}}', "'regions' of image 'a.jpg' must be a list or an object, got 5"),
    ],
)
def test_files_that_are_not_via_say_why(tmp_path, text, message):
    folder, path = _write(tmp_path, [_region()])
    path.write_text(text)
    with pytest.raises(ValueError, match=f"via.json.*{message}"):
        ViaDataset(folder, path)


def test_folder_and_file_must_exist_and_hold_something(tmp_path):
    folder, path = _write(tmp_path, [_region()])
    with pytest.raises(ValueError, match="image_dir=.*nowhere"):
        ViaDataset(tmp_path / "nowhere", path)
    with pytest.raises(ValueError, match="nothing.json does not exist"):
        ViaDataset(folder, tmp_path / "nothing.json")
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ValueError, match="via.json is not UTF-8 text at byte 7"):
        ViaDataset(folder, path)
    _, path = _write(tmp_path, [_region()])
    with pytest.raises(ValueError, match="no image that can be used"):
        ViaDataset(tmp_path, path, skip_broken=True)


def test_only_negatives_need_their_classes_named(tmp_path):
    files = _write(tmp_path, [], {"kind": {"type": "text"}})
    content = json.loads(files[1].read_text())
    content["_via_img_metadata"]["b.png-1"]["regions"] = None
    files[1].write_text(json.dumps(content))
    with pytest.raises(ValueError, match="via.json has no object that names a class; pass classes="):
        ViaDataset(*files)
    dataset = ViaDataset(*files, classes=["cat"])
    assert dataset.class_names == ("cat",) and all(len(dataset.load(index)[1]) == 0 for index in range(3))


def test_exif_orientation_is_applied(tmp_path):
    folder, path = _write(tmp_path, [_region()])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", _SIZE).save(folder / "a.jpg", exif=exif)  # stored 40 wide, 60 high
    dataset = ViaDataset(folder, path)
    assert dataset.image_size(0) == _SIZE and dataset.load(0)[1].size == _SIZE


def test_training_batches_havemasks_of(tmp_path):
    dataset = ViaDataset(
        *_write(tmp_path, [_region(kind="dog"), _region({"name": "circle", "cx": 40, "cy": 20, "r": 9}, kind="cat")])
    )
    options = {"batch_size": 3, "min_side": 40, "max_side": 60, "mask_size": 14, "flip": False, "shuffle": False}
    batch = next(iter(training_batches(dataset, repeat=False, **options)))
    classes, masks = batch["gt_class_ids"].numpy(), batch["gt_masks"].numpy()
    assert [row[row >= 0].tolist() for row in classes] == [[1, 0], [1], []]
    assert (masks[0, 0] == 255).all() and masks[0, 1].mean() / 255 == pytest.approx(np.pi / 4, abs=0.03)
    np.testing.assert_array_equal(batch["gt_boxes"].numpy()[0, :2], [[5, 10, 15, 20], [31, 11, 49, 29]])
