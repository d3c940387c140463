"""From detections to an annotation file that others can read."""

import json
import types

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from mrcnn_keras.data import CocoDataset, ShapesDataset, StickFiguresDataset, validate_coco
from mrcnn_keras.distillation import distill
from mrcnn_keras.inference import Detections

# What validation warns of in a file that has few objects.
_LACKING = {"image_without_annotations", "category_without_annotations"}


class Oracle:
    """Finds what was drawn, with scores that fall from image to image; the image's first pixel says which it is."""

    def __init__(self, drawn, class_names=None, seen=None, fails_at=None):
        self.drawn, self.names = drawn, class_names or drawn.class_names
        self.seen, self.fails_at, self.options = [] if seen is None else seen, fails_at, None

    def detect(self, images, batch_size=1, masks="bitmap", **options):
        self.options = {**options, "masks": masks}
        return [self._found(image) for image in images]

    def _found(self, image):
        index = int(image[0, 0, 0])
        if index == self.fails_at:
            raise RuntimeError("stopped")
        self.seen.append(index)
        truth = self.drawn.load_annotations(index)
        count = len(truth)
        scores = 0.9 - 0.01 * index - 0.001 * np.arange(count)
        points = None
        if truth.keypoints is not None:
            points = truth.keypoints.copy()
            points[..., 2] = np.linspace(0.9, 0.1, points.shape[1])
        ids = [self.names.index(self.drawn.class_names[i]) for i in truth.class_ids]
        names = () if points is None else self.drawn.keypoints.names
        return Detections(truth.boxes, scores, np.array(ids, int), self.names, rles=truth.masks, size=truth.size,
                          keypoints=points, keypoint_names=names)  # fmt: skip


def write_photos(folder, drawn):
    folder.mkdir(exist_ok=True)
    for index in range(len(drawn)):
        image = drawn.load_image(index).copy()
        image[0, 0] = index
        Image.fromarray(image).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def shapes(tmp_path):
    drawn = ShapesDataset(6, seed=4, size=(64, 64), max_objects=4)
    return types.SimpleNamespace(drawn=drawn, photos=write_photos(tmp_path / "photos", drawn), out=tmp_path / "d.json")


def test_the_file_loads_and_validates_and_has_the_best_detections(shapes):
    labelled = ShapesDataset(8, seed=5, size=(64, 64), max_objects=2)
    model = Oracle(shapes.drawn)
    done = distill(model, shapes.photos, labelled, shapes.out, verbose=False)
    assert model.options == {"tta": True, "masks": "rle"}
    assert done.num_images == 6 and done.image_dir == shapes.photos and done.report.counts["skipped"] == 0
    for name, drawn in zip(done.thresholds, done.labelled.objects):
        here = sum(np.count_nonzero(shapes.drawn.load_annotations(i).class_ids == labelled.class_names.index(name))
                   for i in range(6))  # fmt: skip
        assert done.num_objects[name] == min(here, int(drawn / 8 * 6 + 0.5)), name
    assert "circle" in str(done)
    coco = COCO(str(shapes.out))
    assert [one["name"] for one in coco.dataset["categories"]] == list(labelled.class_names)
    assert len(coco.anns) == sum(done.num_objects.values())
    report = validate_coco(shapes.photos, shapes.out, jobs=1)
    assert report.ok and set(report.counts) <= _LACKING, report.counts
    dataset = CocoDataset(shapes.photos, shapes.out)
    for index in range(len(dataset)):
        found, truth = dataset.load_annotations(index), shapes.drawn.load_annotations(int(dataset.image_name(index)[0]))
        for row, mask in enumerate(found.masks):
            place = truth.masks.index(mask)
            np.testing.assert_allclose(found.boxes[row], truth.boxes[place], atol=0.01)
            assert found.class_ids[row] == truth.class_ids[place] and not found.is_crowd[row]
    scores = [one["score"] for one in coco.anns.values() if one["category_id"] == 1]
    assert min(scores, default=1) >= done.thresholds["circle"]
    assert not shapes.out.with_name("d.json.partial").exists()


def test_a_stopped_run_goes_on_and_another_model_is_refused(shapes):
    seen = []
    with pytest.raises(RuntimeError, match="stopped"):
        distill(Oracle(shapes.drawn, seen=seen, fails_at=4), shapes.photos, shapes.drawn, shapes.out, verbose=False)
    with open(f"{shapes.out}.partial", "a") as file:
        file.write('{"file_name": "torn')  # a line that was being written
    other = Oracle(shapes.drawn)
    with pytest.raises(ValueError, match="another model, labelled dataset or other options"):
        distill(other, shapes.photos, shapes.drawn, shapes.out, tta=False, verbose=False)
    elsewhere = write_photos(shapes.photos.with_name("elsewhere"), shapes.drawn)
    with pytest.raises(ValueError, match="photos in another folder"):
        distill(other, elsewhere, shapes.drawn, shapes.out, verbose=False)
    seen.remove(2)
    Image.open(shapes.photos / "2.png").save(shapes.photos / "2.png")  # another photo, as far as anybody can tell
    distill(Oracle(shapes.drawn, seen=seen), shapes.photos, shapes.drawn, shapes.out, verbose=False)
    assert sorted(seen) == list(range(6))
    assert sorted(one["file_name"] for one in COCO(str(shapes.out)).dataset["images"]) == [f"{i}.png" for i in range(6)]


def test_broken_photos_are_named_and_left_out(shapes):
    (shapes.photos / "3.png").write_bytes(b"no image")
    done = distill(Oracle(shapes.drawn), shapes.photos, shapes.drawn, shapes.out, tta=None, verbose=False)
    assert done.num_images == 5 and "3.png" in done.report.skipped[0]
    assert len(CocoDataset(shapes.photos, shapes.out)) == 5


def test_one_threshold_and_nothing_found(shapes):
    done = distill(Oracle(shapes.drawn), shapes.photos, shapes.drawn, shapes.out, score_threshold=1.0, verbose=False)
    assert sum(done.num_objects.values()) == 0 and set(done.thresholds.values()) == {1.0}
    dataset = CocoDataset(shapes.photos, shapes.out)
    assert len(dataset) == 6 and len(dataset.load_annotations(0)) == 0


def test_classes_are_found_by_name_and_categories_keep_their_ids(shapes, tmp_path):
    labelled = ShapesDataset(4, seed=5, size=(64, 64))
    labelled.__class__ = type("Renumbered", (ShapesDataset,), {"category_ids": (7, 3, 90)})
    model = Oracle(shapes.drawn, class_names=("other", "triangle", "square", "circle"))
    distill(model, shapes.photos, labelled, shapes.out, score_threshold=0.0, verbose=False)
    found = json.loads(shapes.out.read_text())
    assert [(one["id"], one["name"]) for one in found["categories"]] == [(7, "circle"), (3, "square"), (90, "triangle")]
    first = next(one["id"] for one in found["images"] if one["file_name"] == "0.png")
    ids = [one["category_id"] for one in found["annotations"] if one["image_id"] == first]
    assert sorted(ids) == sorted((7, 3, 90)[i] for i in shapes.drawn.load_annotations(0).class_ids)


def test_keypoints_that_nobody_has_labelled_stay_in_the_categories(tmp_path):
    drawn = StickFiguresDataset(3, seed=3, size=(64, 64), max_objects=1)
    photos = write_photos(tmp_path / "photos", drawn)

    class Unmarked(StickFiguresDataset):
        def load_annotations(self, index):
            found = super().load_annotations(index)
            found.keypoints[:] = 0
            return found

    distill(Oracle(drawn), photos, Unmarked(3, seed=3, size=(64, 64)), tmp_path / "d.json", verbose=False)
    dataset = CocoDataset(photos, tmp_path / "d.json")
    assert dataset.keypoints == drawn.keypoints and not dataset.load_annotations(0).keypoints.any()


def test_keypoints_that_are_sure_are_visible(tmp_path):
    drawn = StickFiguresDataset(4, seed=3, size=(64, 64), max_objects=1)
    photos = write_photos(tmp_path / "photos", drawn)
    done = distill(Oracle(drawn), photos, drawn, tmp_path / "d.json", verbose=False)
    marked = done.labelled.keypoints.sum() / done.labelled.objects.sum()
    dataset = CocoDataset(photos, tmp_path / "d.json")
    assert dataset.keypoints == drawn.keypoints and validate_coco(photos, tmp_path / "d.json", jobs=1).ok
    shown = np.concatenate([dataset.load_annotations(i).keypoints for i in range(4)])[..., 2]
    assert set(np.unique(shown)) <= {0, 2}
    assert abs((shown > 0).sum(axis=1).mean() - marked) < 1.5  # ties, and some lie outside of the image
    done = distill(Oracle(drawn), photos, drawn, tmp_path / "d.json", keypoint_threshold=0.5, verbose=False)
    assert done.keypoint_threshold == 0.5
    for one in json.loads((tmp_path / "d.json").read_text())["annotations"]:
        points = np.reshape(one["keypoints"], (13, 3))
        assert one["num_keypoints"] == np.count_nonzero(points[:, 2]) and not points[7:, 2].any()
        truth = drawn.load_annotations(one["image_id"] - 1).keypoints[0]
        both = (points[:, 2] > 0) & (truth[:, 2] > 0)
        np.testing.assert_allclose(points[both, :2] + 0.5, truth[both, :2], atol=0.01)
