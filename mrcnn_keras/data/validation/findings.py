"""What can be wrong with a dataset, and how bad it is."""

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

# Findings of a kind that are kept; counts go on beyond them, so that memory stays bounded on a broken dataset.
MAX_FINDINGS = 10_000


class Kind(NamedTuple):
    """A kind of finding: "error" where training would stop or learn nonsense, else "warning"; what to do about it."""

    severity: str
    title: str
    remedy: str


KINDS = {
    "broken_file": Kind("error", "annotation file that cannot be read", "write the file anew"),
    "missing_field": Kind("error", "missing field", "add it, or remove the entry"),
    "malformed_field": Kind("error", "field that is not what COCO says", "correct it, or remove the entry"),
    "not_finite": Kind("error", "number that is not finite", "correct it, or remove the entry"),
    "duplicate_image_id": Kind("error", "image id that comes twice", "give each image an id of its own"),
    "duplicate_annotation_id": Kind("error", "annotation id that comes twice", "give each annotation an id of its own"),
    "duplicate_category_id": Kind("error", "category id that comes twice", "give each category an id of its own"),
    "broken_keypoints": Kind("error", "category whose keypoints cannot be used", "correct the category"),
    "unknown_image": Kind("error", "annotation of an unknown image", "add the image, or remove the annotation"),
    "unknown_category": Kind(
        "error", "annotation of an unknown category", "add the category, or correct the annotation"
    ),
    "missing_image": Kind("error", "image file that is not there", "correct file_name or the image folder"),
    "unreadable_image": Kind("error", "image file that cannot be read", "replace the file, or remove the image"),
    "size_mismatch": Kind(
        "error", "image of another size than stated", "annotate this very file, or scale the annotations to it"
    ),
    "exif_turn_ignored": Kind(
        "error", "image annotated without its EXIF turn", "remove the EXIF orientation from the file"
    ),
    "empty_segmentation": Kind("error", "empty segmentation", "outline the object, or remove the annotation"),
    "too_few_points": Kind("error", "polygon of fewer than three points", "outline the object, or remove the polygon"),
    "polygon_outside": Kind("error", "polygon far outside the image", "correct the coordinates: pixels of this image"),
    "rle_size": Kind("error", "RLE of another size than the image", "encode the mask at the image's size"),
    "rle_damaged": Kind("error", "damaged RLE", "encode the mask anew, or remove the annotation"),
    "empty_box": Kind("error", "box of no area", "correct it: [x, y, width, height], both sides above 0"),
    "box_outside": Kind("error", "box far outside the image", "correct the coordinates: pixels of this image"),
    "mask_outside_box": Kind("error", "segmentation outside its box", "make the box from the segmentation"),
    "normalised_boxes": Kind(
        "error", "boxes in parts of the image", "multiply coordinates by the image's width and height: COCO uses pixels"
    ),
    "keypoint_count": Kind("error", "wrong number of keypoints", "give x, y, visibility for each of the category's"),
    "keypoint_visibility": Kind(
        "error", "keypoint of unknown visibility", "use 0 not labelled, 1 labelled but hidden, 2 visible"
    ),
    "box_clipped": Kind("warning", "box partly outside the image", "training clips it; look whether it was meant so"),
    "box_disagrees": Kind("warning", "box that is not the segmentation's", "look which of the two is right"),
    "self_crossing": Kind("warning", "polygon that crosses itself", "order its points along the outline"),
    "speck": Kind("warning", "object too thin for a pixel", "training leaves it out; outline or remove it"),
    "duplicate_annotation": Kind("warning", "object annotated twice", "remove one of the two"),
    "area_off": Kind("warning", "area that is not the object's", "write the segmentation's area in pixels"),
    "keypoint_outside": Kind("warning", "keypoint outside the image", "correct it, or mark it as not labelled"),
    "exif_turn_ambiguous": Kind(
        "warning",
        "EXIF turn that the stated size cannot confirm",
        "look whether the annotations fit the photo as viewers show it; if not, remove the tag",
    ),
    "missing_size": Kind("warning", "image of no stated size", "training takes the file's; add height and width"),
    "repeated_image_file": Kind("warning", "image file listed twice", "list it once, with all of its annotations"),
    "image_without_annotations": Kind("warning", "image without annotations", "look whether it really shows no object"),
    "category_without_annotations": Kind(
        "warning", "category without annotations", "remove it unless other files share the categories"
    ),
    "repeated_category_name": Kind("warning", "category name that comes twice", "rename one, or merge the two"),
    "mixed_keypoints": Kind(
        "warning", "categories with different keypoints", "training reads none; choose categories with --classes"
    ),
    "only_boxes": Kind(
        "warning", "no segmentation in the whole file", "masks cannot be learned; train boxes only (mask_size=0)"
    ),
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One fault of a dataset.

    Attributes:
        kind: one of `KINDS`.
        severity: "error" or "warning".
        file: name of the image file as the annotation file has it, else the name of the annotation file.
        image_id: id of the image, or None.
        annotation_id: id of the annotation, or None.
        message: the value found and the remedy.
    """

    kind: str
    severity: str
    file: str
    image_id: Any
    annotation_id: Any
    message: str

    def __str__(self) -> str:
        image = "" if self.image_id is None else f", image {self.image_id}"
        annotation = "" if self.annotation_id is None else f", annotation {self.annotation_id}"
        return f"{self.file}{image}{annotation}: {self.message}"


class Note(NamedTuple):
    """A finding whose place is known to the caller: its kind and what was found."""

    kind: str
    found: str


def make_finding(note: Note, file: str, image_id: Any = None, annotation_id: Any = None) -> Finding:
    """A note with its place, severity and remedy."""
    severity, _, remedy = KINDS[note.kind]
    return Finding(note.kind, severity, file, image_id, annotation_id, f"{note.found}; {remedy}")


class FindingLog:
    """Gathers findings: all are counted, the first of each kind are kept."""

    def __init__(self):
        self.counts: Counter[str] = Counter()
        self.kept: list[Finding] = []

    def add(self, findings: Iterable[Finding]) -> None:
        """Count findings, and keep them while there is room."""
        for finding in findings:
            self.counts[finding.kind] += 1
            if self.counts[finding.kind] <= MAX_FINDINGS:
                self.kept.append(finding)

    def drop(self, kind: str) -> int:
        """Forget the findings of a kind; how many there were."""
        self.kept = [finding for finding in self.kept if finding.kind != kind]
        return self.counts.pop(kind, 0)
