"""Faults that tests plant in a COCO dataset, each with the findings it must give."""

import shutil

from mrcnn_keras.data import validate_coco

from .validation_files import CAT, CROWD, PERSON, TREE, write_annotations, write_dataset, write_image

NAN, INFINITY = float("nan"), float("inf")


class Planted:
    """A dataset that faults are planted in."""

    def __init__(self, folder):
        self.folder, self.content = folder, write_dataset(folder)

    def image(self, number):
        return self.content["images"][number]

    def annotation(self, number, slot):
        (found,) = [one for one in self.content["annotations"] if one.get("id") == 10 * (100 + number) + slot]
        return found

    def path(self, number):
        return self.folder / "images" / self.image(number)["file_name"]

    def size(self, number):
        return self.image(number)["height"], self.image(number)["width"]

    def cut(self, number, length):
        data = self.path(number).read_bytes()
        self.path(number).write_bytes(data[: int(length * len(data))])

    def set(self, number, slot, **fields):
        self.annotation(number, slot).update(fields)

    def remove(self, number, slot, *fields):
        for field in fields:
            del self.annotation(number, slot)[field]

    def add_image(self, like, image_id, name):
        """Another image like image `like`, with one annotation if it has an id of its own."""
        shutil.copy(self.path(like), self.folder / "images" / name)
        self.content["images"].append({**self.image(like), "id": image_id, "file_name": name})
        if image_id is None:
            del self.content["images"][-1]["id"]
        elif image_id >= 500:
            self.copy(like, TREE, 10 * image_id, image_id=image_id)

    def copy(self, number, slot, new_id, **fields):
        self.content["annotations"].append({**self.annotation(number, slot), "id": new_id, **fields})

    def add_category(self, **fields):
        self.content["categories"].append(fields)

    def check(self, **arguments):
        return validate_coco(*write_annotations(self.folder, self.content), **arguments)


# Each fault: what it does to the dataset, and the findings: (kind, image id, annotation id). No two touch the same
# annotation, so that they can be planted all at once.
FAULTS = {
    "image file is not there": (lambda d: d.path(0).unlink(), [("missing_image", 100, None)]),
    "JPEG is cut": (lambda d: d.cut(2, 0.6), [("unreadable_image", 102, None)]),
    "PNG is cut": (lambda d: d.cut(3, 0.9), [("unreadable_image", 103, None)]),
    "file is empty": (lambda d: d.cut(4, 0), [("unreadable_image", 104, None)]),
    "file is text": (lambda d: d.path(5).write_text("no image"), [("unreadable_image", 105, None)]),
    "image was resized": (lambda d: write_image(d.path(6), (30, 40)), [("size_mismatch", 106, None)]),
    "annotated without the turn": (
        lambda d: write_image(d.path(8), d.size(8)[::-1], turn=6),
        [("exif_turn_ignored", 108, None)],
    ),
    "turned half way round": (
        lambda d: write_image(d.path(10), d.size(10), turn=3),
        [("exif_turn_ambiguous", 110, None)],
    ),
    "image has no width": (lambda d: d.image(11).pop("width"), [("missing_size", 111, None)]),
    "image has no name": (lambda d: d.image(12).pop("file_name"), [("missing_field", 112, None)]),
    "image has no id": (lambda d: d.add_image(13, None, "no_id.png"), [("missing_field", None, None)]),
    "image id comes twice": (lambda d: d.add_image(14, 114, "again.jpg"), [("duplicate_image_id", 114, None)]),
    "file is listed twice": (
        lambda d: (d.add_image(15, 500, "500.png"), d.add_image(15, 501, "500.png")),
        [("repeated_image_file", 501, None)],
    ),
    "no annotations": (
        lambda d: (d.add_image(16, 502, "502.jpg"), d.content["annotations"].pop()),
        [("image_without_annotations", 502, None)],
    ),
    "unknown image": (lambda d: d.set(0, TREE, image_id=77), [("unknown_image", 77, 1002)]),
    "no image id": (lambda d: d.remove(0, CAT, "image_id"), [("missing_field", None, 1003)]),
    "unknown category": (lambda d: d.set(1, TREE, category_id=9), [("unknown_category", 101, 1012)]),
    "no category": (lambda d: d.remove(1, CAT, "category_id"), [("missing_field", 101, 1013)]),
    "annotation has no id": (lambda d: d.remove(1, PERSON, "id"), [("missing_field", 101, None)]),
    "annotation id comes twice": (lambda d: d.set(2, CAT, id=1032), [("duplicate_annotation_id", 103, 1032)]),
    "annotated twice": (lambda d: d.copy(2, TREE, 7000), [("duplicate_annotation", 102, 7000)]),
    "neither box nor outline": (
        lambda d: d.remove(2, PERSON, "bbox", "segmentation"),
        [("missing_field", 102, 1021)],
    ),
    "crowd flag is text": (lambda d: d.set(3, CAT, iscrowd="0"), [("malformed_field", 103, 1033)]),
    "box of three numbers": (lambda d: d.set(4, TREE, bbox=[30, 5, 20]), [("malformed_field", 104, 1042)]),
    "points in pairs": (
        lambda d: d.set(5, TREE, segmentation=[[[30, 5], [50, 5], [40, 50]]]),
        [("malformed_field", 105, 1052)],
    ),
    "odd number of numbers": (
        lambda d: d.annotation(6, TREE)["segmentation"][1].append(4),
        [("malformed_field", 106, 1062)],
    ),
    "segmentation is text": (lambda d: d.set(7, TREE, segmentation="30 5"), [("malformed_field", 107, 1072)]),
    "keypoint is text": (lambda d: d.set(7, PERSON, keypoints=["1"] * 9), [("malformed_field", 107, 1071)]),
    "number of 400 digits": (lambda d: d.set(7, CAT, area=10**400), [("malformed_field", 107, 1073)]),
    "box is not a number": (lambda d: d.set(8, TREE, bbox=[30, NAN, 20, 45]), [("not_finite", 108, 1082)]),
    "polygon is infinite": (
        lambda d: d.annotation(9, TREE)["segmentation"][0].__setitem__(2, INFINITY),
        [("not_finite", 109, 1092)],
    ),
    "keypoint is not a number": (
        lambda d: d.annotation(9, PERSON)["keypoints"].__setitem__(0, NAN),
        [("not_finite", 109, 1091)],
    ),
    "area is not a number": (lambda d: d.set(10, CAT, area=NAN), [("not_finite", 110, 1103)]),
    "area is text": (lambda d: d.set(10, TREE, area="332"), [("area_off", 110, 1102)]),
    "area of another unit": (lambda d: d.set(11, TREE, area=33200), [("area_off", 111, 1112)]),
    "polygon of two points": (
        lambda d: d.annotation(12, TREE)["segmentation"].append([30, 5, 50, 5]),
        [("too_few_points", 112, 1122)],
    ),
    "polygon of another image": (
        lambda d: d.set(13, TREE, segmentation=[[3000, 500, 5000, 500, 5000, 2000]]),
        [("polygon_outside", 113, 1132)],
    ),
    "polygon just outside": (
        lambda d: d.set(14, TREE, segmentation=[[-20, 5, -5, 5, -5, 50]]),
        [("polygon_outside", 114, 1142)],
    ),
    "polygon crosses itself": (
        lambda d: d.set(15, TREE, segmentation=[[30, 5, 50, 50, 50, 5, 30, 50]], area=450),
        [("self_crossing", 115, 1152)],
    ),
    "crossing in a corner": (
        lambda d: d.set(16, TREE, segmentation=[[30, 5, 40, 27.5, 50, 50, 50, 5, 40, 27.5, 30, 50]], area=450),
        [("self_crossing", 116, 1162)],
    ),
    "RLE is turned": (
        lambda d: d.annotation(15, CAT)["segmentation"].update(size=list(d.size(15)[::-1])),
        [("rle_size", 115, 1153)],
    ),
    "RLE has no size": (lambda d: d.annotation(16, CAT)["segmentation"].pop("size"), [("missing_field", 116, 1163)]),
    "RLE is cut": (
        lambda d: d.annotation(17, CAT)["segmentation"].update(
            counts=d.annotation(17, CAT)["segmentation"]["counts"][:-3]
        ),
        [("rle_damaged", 117, 1173)],
    ),
    "crowd's runs do not fill the image": (
        lambda d: d.annotation(2, CROWD)["segmentation"]["counts"].append(40),
        [("rle_damaged", 102, 1024)],
    ),
    "empty segmentation": (lambda d: d.set(18, TREE, segmentation=[]), [("empty_segmentation", 118, 1182)]),
    "RLE without a pixel": (
        lambda d: d.set(18, CAT, segmentation={"size": list(d.size(18)), "counts": [d.size(18)[0] * d.size(18)[1]]}),
        [("empty_segmentation", 118, 1183)],
    ),
    "box of no height": (lambda d: d.set(19, TREE, bbox=[30, 5, 20, 0]), [("empty_box", 119, 1192)]),
    "box of negative width": (lambda d: d.set(19, CAT, bbox=[77, 10, -19, 21]), [("empty_box", 119, 1193)]),
    "box of another image": (lambda d: d.set(20, TREE, bbox=[300, 50, 200, 450]), [("box_outside", 120, 1202)]),
    "box far too large": (lambda d: d.set(20, CAT, bbox=[58, 10, 1900, 2100]), [("box_outside", 120, 1203)]),
    "box partly outside": (
        lambda d: d.set(21, TREE, bbox=[-10, 5, 60, 45], segmentation=[[-10, 5, 50, 5, 50, 50, -10, 50]], area=2700),
        [("box_clipped", 121, 1212)],
    ),
    "box is the corners": (lambda d: d.set(21, CAT, bbox=[58, 10, 77, 31]), [("box_disagrees", 121, 1213)]),
    "box beside the object": (lambda d: d.set(22, TREE, bbox=[60, 5, 20, 45]), [("mask_outside_box", 122, 1222)]),
    "object is a dot": (
        lambda d: d.set(22, CAT, bbox=[60.1, 9.2, 0.3, 0], segmentation=[[60.1, 9.2, 60.4, 9.2, 60.2, 9.2]], area=0),
        [("speck", 122, 1223)],
    ),
    "a keypoint too few": (lambda d: d.set(10, PERSON, keypoints=[15, 8, 2] * 2), [("keypoint_count", 110, 1101)]),
    "visibility of 3": (lambda d: d.set(11, PERSON, keypoints=[9, 9, 3] * 3), [("keypoint_visibility", 111, 1111)]),
    "keypoint outside": (lambda d: d.set(12, PERSON, keypoints=[-40, 8, 2] * 3), [("keypoint_outside", 112, 1121)]),
    "category without annotations": (
        lambda d: d.add_category(id=40, name="sign"),
        [("category_without_annotations", None, None)],
    ),
    "category id comes twice": (
        lambda d: d.add_category(id=TREE, name="bush"),
        [("duplicate_category_id", None, None)],
    ),
    "category without a name": (lambda d: d.add_category(id=41), [("missing_field", None, None)]),
    "category id is text": (lambda d: d.add_category(id="tree", name="t"), [("malformed_field", None, None)]),
    "category name comes twice": (
        lambda d: (d.add_category(id=42, name="tree"), d.copy(23, TREE, 7001, category_id=42)),
        [("repeated_category_name", None, None)],
    ),
    "limb to no keypoint": (
        lambda d: (
            d.add_category(id=43, name="dog", keypoints=["nose", "tail"], skeleton=[[1, 5]]),
            d.copy(23, PERSON, 7002, category_id=43),
        ),
        [("broken_keypoints", None, None)],
    ),
    "categories with different keypoints": (
        lambda d: (
            d.add_category(id=44, name="fish", keypoints=["fin"]),
            d.copy(23, PERSON, 7003, category_id=44, keypoints=[9, 9, 2]),
        ),
        [("mixed_keypoints", None, None)],
    ),
}
