"""Photos beside instance masks."""

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras.data import MaskFolderDataset
from mrcnn_keras.data.rle import columns


def _save(path, array):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def folder(tmp_path):
    photo = np.zeros((16, 24, 3), np.uint8)
    mask = np.zeros((16, 24), np.uint8)
    mask[2:6, 3:9] = 1
    mask[4:16, 20:24] = 255
    _save(tmp_path / "images" / "a.jpg", photo)
    _save(tmp_path / "masks" / "a_mask.png", mask)
    _save(tmp_path / "images" / "b.PNG", photo)
    _save(tmp_path / "masks" / "b.png", np.zeros((16, 24), np.uint16))
    (tmp_path / "images" / "Thumbs.db").write_text("not a photo")
    return tmp_path


def test_every_value_is_an_instance(folder):
    dataset = MaskFolderDataset(folder / "images", folder / "masks", "person")
    assert len(dataset) == 2 and dataset.class_names == ("person",) and dataset.image_name(0) == "a.jpg"
    image, annotations = dataset.load(0)
    assert image.shape == (16, 24, 3) and dataset.image_size(0) == (16, 24)
    assert annotations.ids == [1, 255] and annotations.class_ids.tolist() == [0, 0]
    np.testing.assert_array_equal(annotations.boxes, [[3, 2, 9, 6], [20, 4, 24, 16]])
    assert [columns(mask, 0, 24).sum() for mask in annotations.masks] == [24, 48]
    assert len(dataset.load(1)[1]) == 0  # a negative


def test_photos_and_masks_may_share_a_folder(tmp_path):
    _save(tmp_path / "x.png", np.zeros((8, 8, 3), np.uint8))
    _save(tmp_path / "x_mask.png", np.eye(8, dtype=np.uint8))
    dataset = MaskFolderDataset(tmp_path, tmp_path)
    assert len(dataset) == 1 and len(dataset.load_annotations(0)) == 1


def test_a_photo_without_a_mask_is_named(folder):
    _save(folder / "images" / "c.jpg", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="c.jpg has no mask.*skip_broken"):
        MaskFolderDataset(folder / "images", folder / "masks")
    dataset = MaskFolderDataset(folder / "images", folder / "masks", skip_broken=True)
    assert len(dataset) == 2 and "c.jpg" in dataset.report().skipped[0]


def test_two_masks_for_a_photo_are_an_error(folder):
    _save(folder / "masks" / "a.png", np.zeros((16, 24), np.uint8))
    with pytest.raises(ValueError, match="a.jpg has several masks"):
        MaskFolderDataset(folder / "images", folder / "masks")


def test_a_mask_of_another_size_names_both_files(folder):
    _save(folder / "masks" / "b.png", np.zeros((24, 16), np.uint8))
    with pytest.raises(ValueError, match=r"b.PNG.*b.png.*\(24, 16\)"):
        MaskFolderDataset(folder / "images", folder / "masks").load(1)


def test_broken_files_are_named_or_skipped(folder):
    (folder / "images" / "a.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="a.jpg.*empty"):
        MaskFolderDataset(folder / "images", folder / "masks")
    (folder / "masks" / "b.png").write_bytes(b"junk")
    dataset = MaskFolderDataset(folder / "images", folder / "masks", skip_broken=True)
    assert len(dataset) == 1 and dataset.load(0) is None
    assert dataset.report().counts["skipped"] == 2 and "b.png" in str(dataset.report())


def test_folders_must_exist_and_hold_something(folder):
    with pytest.raises(ValueError, match="mask_dir=.*nowhere"):
        MaskFolderDataset(folder / "images", folder / "nowhere")
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="no photo with a mask"):
        MaskFolderDataset(folder / "empty", folder / "masks")


@pytest.mark.shared
def test_penn_fudan(shared_dir):
    root = shared_dir / "data" / "pennfudan"
    dataset = MaskFolderDataset(root / "PNGImages", root / "PedMasks", "person")
    assert len(dataset) == 120
    for index in (0, 60, 119):
        image, annotations = dataset.load(index)
        labels = np.asarray(Image.open(root / "PedMasks" / f"{dataset.image_name(index)[:-4]}_mask.png"))
        assert len(annotations) == labels.max() >= 1
        for mask, value in zip(annotations.masks, annotations.ids, strict=True):
            np.testing.assert_array_equal(columns(mask, 0, labels.shape[1]).T, labels == value)
    assert dataset.report().counts == {"repaired": 0, "dropped": 0, "skipped": 0}
