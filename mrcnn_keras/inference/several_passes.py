"""Detection in which an image is looked at in several views, or its candidates are merged in another way than usual.

First every view gives candidates, which are put together and suppressed in the frame of the image (appendix B); then
every view gives masks and keypoint heat-maps of the detections, which are averaged. The features of one view at a time
are in memory.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from mrcnn_keras.data.images import read_image
from mrcnn_keras.data.keypoints import infer_flip
from mrcnn_keras.data.proposals import Proposals
from mrcnn_keras.data.resizing import resize_like
from mrcnn_keras.inference.augmentation import TestTimeAugmentation, View
from mrcnn_keras.inference.frames import Frame
from mrcnn_keras.inference.merging import Merging
from mrcnn_keras.inference.preprocess import square_offset, stack_images

Parts = Sequence[Sequence[Any]]  # something of each image, those of one replica together


@dataclasses.dataclass(frozen=True)
class SeveralPasses:
    """Detects in the images of a chunk.

    Attributes:
        passes: `network_passes.NetworkPasses` of the model.
        config: `MaskRCNNConfig` of the model.
        augmentation: the views.
        merging: how candidates become detections.
        rpn: `NetworkPasses` of another model that gives the proposals; None: the model itself.

    Raises:
        ValueError: the model counts boxes in whole pixels, or has keypoints without names, which mirroring needs.
    """

    passes: Any
    config: Any
    augmentation: TestTimeAugmentation
    merging: Merging
    rpn: Any = None

    def __post_init__(self):
        if self.config.box_inclusive:
            raise ValueError(
                "tta, soft_nms_sigma, score_threshold by class and proposals are not for models with box_inclusive=True"
            )
        mirrors = any(self.augmentation.flips)
        if mirrors and self.config.num_keypoints and not (self.config.keypoint_flip or self.config.keypoint_names):
            raise ValueError(
                "mirrored views swap left and right keypoints, so the config needs keypoint_names or keypoint_flip"
            )

    def __call__(self, parts: Parts, proposals: Parts | None = None) -> list[tuple[dict[str, np.ndarray], np.ndarray]]:
        """Detections of each part's images, in pixels of the images as given.

        Args:
            parts: images, as `detect` takes them, those of one replica together; no part is empty.
            proposals: of each image (N, 4) float32 xyxy in its pixels; None: the RPN gives them.

        Returns:
            For each part the arrays that `to_detections` takes, and the images' sizes (B, 2).
        """
        pixels = [[read_image(image) for image in part] for part in parts]
        candidates = [[([], []) for _ in part] for part in parts]
        views, look = self.augmentation.views, None
        for view in views:
            look = None  # room for the next one's features
            look = _Look(self, pixels, view)
            look.add_candidates(candidates, proposals)
        found = [[self.merging(*map(np.concatenate, one)) for one in part] for part in candidates]
        objects, frames, nearest = [{} for _ in parts], None, min(views, key=lambda view: abs(view.scale - 1))
        for view in reversed(views):
            if look.view != view:
                look = None
                look = _Look(self, pixels, view)
            look.add_objects(objects, found)
            frames = look.frames if view == nearest else frames
        return [self._outputs(*one) for one in zip(pixels, found, objects, frames)]

    def propose(self, parts: Parts, for_training: bool = False) -> list[list[Proposals]]:
        """Proposals of the RPN in each part's images, in the first of the views, as `MaskRCNN.propose` has them."""
        pixels = [[read_image(image) for image in part] for part in parts]
        look = _Look(self, pixels, self.augmentation.views[0])
        found = look.proposals(for_training)
        return [[_fitted(*one) for one in zip(frames, result["proposals"].numpy(), result["scores"].numpy())]
                for frames, result in zip(look.frames, found)]  # fmt: skip

    def resized(self, pixels: np.ndarray, view: View) -> np.ndarray:
        """The image (H, W, 3) as a view shows it, before padding."""
        turned = np.ascontiguousarray(pixels[:, ::-1]) if view.mirrored else pixels
        return resize_like(self.config.resize, turned, *self.sides(view))

    def sides(self, view: View) -> tuple[int, int]:
        """Least and most pixels of a side of the view."""
        c = self.config
        low, high = (max(1, round(side * view.scale)) for side in (c.image_min_side, c.image_max_side))
        if c.square_padding and view.scale != 1:  # it is the side of the square, too
            high = -(-high // c.size_divisor) * c.size_divisor
        return low, high

    def frame(self, original: Sequence[int], resized: Sequence[int], view: View) -> Frame:
        """Of an image of a size (height, width) in a view's input."""
        offset = square_offset(resized, self.sides(view)[1]) if self.config.square_padding else (0, 0)
        sizes = (np.array(size, np.float32) for size in (resized, original))
        return Frame(*sizes, offset, mirrored=view.mirrored)

    def _outputs(self, pixels, found, objects, frames) -> tuple[dict[str, np.ndarray], np.ndarray]:
        outputs = dict(zip(("boxes", "scores", "class_ids"), (np.stack(column) for column in zip(*found))))
        count = np.float32(len(self.augmentation.views))
        if "mask_probs" in objects:
            outputs["mask_probs"] = objects["mask_probs"] / count
        if "keypoint_logits" in objects:
            logits = objects["keypoint_logits"] / count
            rows = zip(logits, outputs["boxes"], outputs["class_ids"], frames)
            outputs["keypoints"] = np.stack([self._keypoints(*one) for one in rows])
        return outputs, np.array([one.shape[:2] for one in pixels])

    def _keypoints(self, logits: np.ndarray, boxes: np.ndarray, class_ids: np.ndarray, frame: Frame) -> np.ndarray:
        """(D, J, 3) of one image, found at the resolution of the frame."""
        points = np.zeros((len(boxes), logits.shape[-1], 3), np.float32)
        there, frame = class_ids >= 0, dataclasses.replace(frame, mirrored=False)
        placed = self.passes.keypoints(logits[there], frame.place_boxes(boxes[there])).numpy()
        points[there] = frame.fit_points(placed)
        return points


class _Look:
    """The images of a chunk in one view, and their features."""

    def __init__(self, detection: SeveralPasses, pixels: Parts, view: View):
        self.detection, self.view = detection, view
        c, high = detection.config, detection.sides(view)[1]
        resized = [[detection.resized(one, view) for one in part] for part in pixels]
        pairs = [list(zip(small, (one.shape[:2] for one in part))) for small, part in zip(resized, pixels)]
        batches = [stack_images(part, high, c.size_divisor, c.square_padding)[0] for part in pairs]
        self.inputs = [(batch["images"], batch["image_sizes"]) for batch in batches]
        self.frames = [[detection.frame(size, small.shape[:2], view) for small, size in part] for part in pairs]
        self.maps = _in_order(detection.passes.features(self.inputs))

    def add_candidates(self, candidates: Parts, proposals: Parts | None) -> None:
        """Append boxes (N, K, 4) and scores (N, K) of every image, in its own pixels, to its two lists."""
        thresholds = self.detection.merging.thresholds
        if proposals is None:
            given = [result["proposals"] for result in self.proposals()]
        else:
            given = self._placed(proposals)
        arguments = [(*one, rois, *maps) for one, rois, maps in zip(self.inputs, given, self.maps)]
        for result, frames, lists in zip(self.detection.passes.candidates(arguments), self.frames, candidates):
            for boxes, scores, frame, (all_boxes, all_scores) in zip(
                result["boxes"].numpy(), result["scores"].numpy(), frames, lists
            ):
                kept = (scores > thresholds).any(axis=1)
                all_boxes.append(frame.fit_boxes(boxes[kept]))
                all_scores.append(scores[kept])

    def add_objects(self, sums: list[dict[str, np.ndarray]], found: Parts) -> None:
        """Add mask probabilities and heat-maps of the detections, as the image shows them, to those of other views."""
        arguments = []
        for (images, _), frames, part, maps in zip(self.inputs, self.frames, found, self.maps):
            boxes = np.stack([frame.place_boxes(boxes) for frame, (boxes, _, _) in zip(frames, part)])
            class_ids = np.stack([class_ids for _, _, class_ids in part])
            arguments.append((images, np.where(class_ids[..., None] >= 0, boxes, 0), class_ids, *maps))
        for result, total in zip(self.detection.passes.objects(arguments), sums):
            for name, value in result.items():
                total[name] = total.get(name, 0) + self._upright(value.numpy())

    def proposals(self, for_training: bool = False) -> list[Any]:
        """`proposals` (B, P, 4) in the view's input and their `scores` (B, P), of each part."""
        if self.detection.rpn is None:
            passes, maps = self.detection.passes, self.maps
        else:
            passes = self.detection.rpn
            maps = _in_order(passes.features(self.inputs))
        propose = passes.training_proposals if for_training else passes.proposals
        return propose([(*one, *part) for one, part in zip(self.inputs, maps)])

    def _placed(self, proposals: Parts) -> list[np.ndarray]:
        """Given proposals (N, 4) of each image in its input, padded with zeros to (B, P, 4)."""
        placed = []
        for frames, part in zip(self.frames, proposals):
            most = max(1, *map(len, part))
            rows = np.zeros((len(part), most, 4), np.float32)
            for row, frame, boxes in zip(rows, frames, part):
                row[: len(boxes)] = frame.place_boxes(np.asarray(boxes, np.float32).reshape(-1, 4))
            placed.append(rows)
        return placed

    def _upright(self, values: np.ndarray) -> np.ndarray:
        """Maps (B, D, M, M) or (B, D, M, M, J) of a mirrored view turned back."""
        if not self.view.mirrored:
            return values
        values, c = values[:, :, :, ::-1], self.detection.config
        return values[..., list(c.keypoint_flip or infer_flip(c.keypoint_names))] if values.ndim == 5 else values


def _fitted(frame: Frame, boxes: np.ndarray, scores: np.ndarray) -> Proposals:
    """Boxes (P, 4) of an input in the image, without padding."""
    there = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return Proposals(frame.fit_boxes(boxes[there]).astype(np.float32), scores[there])


def _in_order(results: Sequence[dict[str, Any]]) -> list[list[Any]]:
    """The maps of each part, finest first."""
    return [[result[str(number)] for number in range(len(result))] for result in results]
