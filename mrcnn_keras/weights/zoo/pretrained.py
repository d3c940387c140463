"""PretrainedModel: what is known of a public checkpoint before it is fetched."""

import dataclasses
import urllib.parse
from typing import Any


@dataclasses.dataclass(frozen=True)
class PretrainedModel:
    """A public checkpoint.

    Attributes:
        id: what to call it, such as "detectron2/COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x".
        url: its public address.
        system: whose format it has: "detectron2", "torchvision", "matterport" or "keras".
        size: bytes, to within one percent; None where no source states it.
        digest: the first hexadecimal digits of its hash, or None: of the MD5 for Detectron2, of the SHA-256 for
            torchvision; for Keras the whole MD5.
        ap: published average precisions in percent, by "box", "mask" and "keypoints"; empty for backbones.
        class_names: one name a class, the background left out; empty for backbones, and for LVIS, whose 1230 names
            come with its annotations.
        licence: of the weights.
        settings: fields of MaskRCNNConfig that the file does not tell and that differ from what is usual for its
            system. Usual for "detectron2": `pixel_std` 1, `stride_in_1x1`, aligned RoIAlign with adaptive sampling
            and L1 losses. For "torchvision": RoIAlign that is not
            aligned, with 2x2 samples. For the others: nothing but the defaults of MaskRCNNConfig.
    """

    id: str
    url: str
    system: str
    size: int | None
    digest: str | None
    ap: dict[str, float]
    class_names: tuple[str, ...]
    licence: str
    settings: dict[str, Any]

    @property
    def file_name(self) -> str:
        """The last part of the address."""
        return urllib.parse.unquote(urllib.parse.urlsplit(self.url).path).rpartition("/")[2]
