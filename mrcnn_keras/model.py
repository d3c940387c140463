"""MaskRCNN: a keras.Model that trains with `fit` and answers with `detect`."""

import functools
import numbers
import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from .config import MaskRCNNConfig, make_config
from .data.proposals import Proposals
from .inference.ahead import background, one_ahead
from .inference.augmentation import ONE_LOOK, TestTimeAugmentation, as_augmentation
from .inference.detections import Detections
from .inference.merging import Merging, class_thresholds
from .inference.postprocess import check_masks, to_detections
from .inference.preprocess import read_resized, stack_images
from .inference.replicas import ReplicaFunction, local_replicas
from .inference.several_passes import SeveralPasses
from .inference.tiling import Tiles, detect_in_tiles
from .network import build_graphs, undrawn
from .network_passes import NetworkPasses
from .presets import preset_config
from .training.trainer import Trainer


@keras.saving.register_keras_serializable("mrcnn_keras")
class MaskRCNN(Trainer):
    """Mask R-CNN (He et al., ICCV 2017).

    The model itself is the inference graph (see `network.build_graphs` for its inputs and outputs); a training graph
    over the same layers hangs beside it and is what `fit` runs.

    Args:
        config: a `MaskRCNNConfig`; the paper's ResNet-50-FPN by default.

    Raises:
        ValueError: a config field out of range.
    """

    def __init__(self, config: MaskRCNNConfig | None = None, name: str = "mask_rcnn", **kwargs):
        config = config or MaskRCNNConfig()
        if isinstance(config, dict):
            config = make_config(config)
        graphs = build_graphs(config)
        super().__init__(inputs=graphs.inputs, outputs=graphs.outputs, name=name, **kwargs)
        self.config = config
        self._builder, self._training_graphs = graphs.builder, graphs.training
        self.training_graph = graphs.training.graph()
        if config.training_stages == "alternating":  # has weights that no other graph has
            self.first_rpn_graph = graphs.training.graph(heads=False, first=True)
        names = "loss", *self.training_graph.output
        self.loss_trackers = {key: keras.metrics.Mean(name=key) for key in names}
        self._detect_function = None
        self.load_report = None

    @classmethod
    def from_preset(cls, preset: str, weights: str | None = None, **overrides: Any) -> "MaskRCNN":
        """A model by the name of its architecture.

        Args:
            preset: a name of `mrcnn_keras.presets.PRESETS`.
            weights: None for random weights; "imagenet" for a ResNet trained on ImageNet; "imagenet5k" for one trained
                on 5k of its classes (appendix B), where one is public; "coco" for the public model of this preset; a
                checkpoint's path or id (see `from_pretrained`) for as much of it as fits; or the path of a `.keras` or
                `.weights.h5` file of the same architecture.
            **overrides: config fields.

        Raises:
            ValueError: no such preset, field or weights.
        """
        config = preset_config(preset, **overrides)
        if weights is None:
            return cls(config)
        from .weights.loading import from_preset

        return from_preset(cls, preset, config, weights, overrides)

    @classmethod
    def blank(cls, config: MaskRCNNConfig) -> "MaskRCNN":
        """A model without random weights, its kernels zero, for a caller that sets all of them."""
        with undrawn():
            return cls(config)

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str | os.PathLike,
        *,
        class_map: Any = None,
        source_class_names: Any = None,
        strict: bool = True,
        **overrides: Any,
    ) -> "MaskRCNN":
        """A model from a checkpoint of Detectron2, torchvision or matterport, with the architecture read off it.

        Nothing in the file is run. What the file does not say (pixel statistics, thresholds, how the system resizes)
        follows the system's own rules; any config field given by keyword wins. With `num_classes` or other fields that
        change shapes, what fits is copied and the rest is fresh; `model.load_report` says what and why. A file that
        holds a bare ResNet becomes a Mask R-CNN with an FPN around it.

        Args:
            path_or_id: a `.pkl`, `.pth`, `.h5` or `.safetensors` file, a `.keras` file of this package, or an id that
                `mrcnn-keras list-weights` prints.
            class_map: class of the new model -> class of the checkpoint whose weights it takes; or "names" for every
                class that both have. Needs `class_names`.
            source_class_names: names of the checkpoint's classes, where they are not known.
            strict: whether tensors that have no place in the model are an error.
            **overrides: config fields.

        Raises:
            ValueError: no such file or id, a field out of range, a file that is damaged or of a system or architecture
                that is not supported; the message says which.
        """
        from .weights.loading import from_pretrained

        return from_pretrained(cls, path_or_id, class_map, source_class_names, strict, overrides)

    # ---- inference ----

    def detect(
        self,
        images: Any,
        batch_size: int = 1,
        score_threshold: float | Mapping[str, float] | None = None,
        masks: str | None = "bitmap",
        *,
        tta: bool | TestTimeAugmentation | None = None,
        soft_nms_sigma: float = 0.0,
        tiles: bool | int | Tiles | None = None,
        proposals: "MaskRCNN | Sequence | None" = None,
    ) -> list[Detections]:
        """Find the objects in images.

        While the network works on some, threads read and resize the next, and paste the masks of those before. With
        one of the options from `tta` on, or thresholds by class, boxes are put together outside the network, and
        images come one batch after the other.

        Args:
            images: one image or a list of them: RGB uint8 array (H, W, 3), path or PIL image, of any sizes.
            batch_size: images that go through the network together, padded to a common size; on each replica where the
                model was made under a strategy, and on all `local_replicas` at the same time. With `tiles`, tiles.
            score_threshold: keep detections above this score, 0..1; None: the config's. Only higher values have an
                effect, but with one of the options from `tta` on other than `tiles` lower ones too. Or class name ->
                threshold, lower ones too; the config's for the other classes.
            masks: "bitmap" for `Detections.masks`, "rle" for `Detections.rles` (COCO run lengths), None for neither.
            tta: test-time augmentation (appendix B): several views of each image, those of the config if True.
            soft_nms_sigma: of Soft-NMS (Bodla et al., ICCV 2017), such as 0.5: boxes that overlap better ones of their
                class lose score and are not dropped; 0: as usual.
            tiles: cut images into tiles of this side, see `inference.Tiles`; for very large ones. Their objects can be
                more than `max_detections`. With many, take masks="rle".
            proposals: where to look, in place of the RPN: for each image (N, 4) float32 xyxy in its pixels; or another
                model, whose RPN gives them.

        Returns:
            One `Detections` an image, boxes and masks in the frame of the image as given.

        Raises:
            ValueError: an image that cannot be read, by name, or an option out of its range.
        """
        images = list(images) if isinstance(images, (list, tuple)) else [images]
        if not isinstance(batch_size, numbers.Integral) or batch_size < 1:
            raise ValueError(f"batch_size={batch_size!r}: expected a whole number from 1 up")
        check_masks(masks)
        if tiles is not None and tiles is not False:
            if proposals is not None:
                raise ValueError("proposals are of whole images, so there can be no tiles")
            options = {"tta": tta, "soft_nms_sigma": soft_nms_sigma, "score_threshold": score_threshold}
            return self._detect_in_tiles(images, batch_size, masks, Tiles.of(tiles), options)
        several = self._several_passes(score_threshold, tta, soft_nms_sigma, proposals)
        if several is not None:
            given = None if proposals is None or several.rpn else list(proposals)
            return self._detect_in_passes(several, images, batch_size, masks, given)
        if self._detect_function is None:
            self._detect_function = self._make_detect_function()
        chunks = [_parts(chunk, batch_size) for chunk in _parts(images, batch_size * self.local_replicas)]
        with background("detect") as begin:
            network = functools.partial(self._begin_network, begin, score_threshold, masks)
            found = one_ahead(network, one_ahead(functools.partial(self._begin_reading, begin), chunks))
            return [one for chunk in found for one in chunk]

    def propose(self, images: Any, batch_size: int = 1, *, for_training: bool = False) -> list[Proposals]:
        """Boxes in which the RPN suspects objects (Faster R-CNN, section 3.1).

        Args:
            images: as of `detect`.
            batch_size: as of `detect`.
            for_training: as many as the config says for training, not for detection.

        Returns: for each image boxes (N, 4) xyxy float32 in its pixels and scores (N,) float32, logits; best first.

        Raises:
            ValueError: an image that cannot be read, by name, or a model with `box_inclusive`.
        """
        return self._propose(self._passes, images, batch_size, for_training)

    def _propose(self, passes: NetworkPasses, images: Any, batch_size: int, for_training: bool) -> list[Proposals]:
        images = list(images) if isinstance(images, (list, tuple)) else [images]
        looking = SeveralPasses(passes, self.config, ONE_LOOK, merging=None)
        chunks = _parts(images, batch_size * self.local_replicas)
        found = [looking.propose(_parts(chunk, batch_size), for_training) for chunk in chunks]
        return [one for chunk in found for part in chunk for one in part]

    def _detect_in_tiles(self, images, batch_size, masks, tiles, options):
        c = self.config
        inner = functools.partial(self.detect, batch_size=batch_size, masks=masks and "rle", **options)
        together = 4 * batch_size * self.local_replicas  # so that some are read and pasted beside the network
        cut = tiles.filled(c.image_min_side), c.nms_threshold, masks, together
        return [detect_in_tiles(inner, image, *cut) for image in images]

    def _several_passes(self, score_threshold, tta, soft_nms_sigma, proposals) -> SeveralPasses | None:
        """What detects with these options; None where the graph of the model does."""
        c, augmentation = self.config, as_augmentation(tta, self.config)
        thresholds = class_thresholds(score_threshold, c)
        usual = augmentation == ONE_LOOK and not soft_nms_sigma and proposals is None
        if usual and not isinstance(score_threshold, Mapping):
            return None
        merging = Merging(thresholds, c.max_detections, c.nms_threshold, soft_nms_sigma)
        if isinstance(proposals, (str, os.PathLike)):
            raise ValueError(f"proposals={str(proposals)!r}: expected an array of boxes for each image, or a MaskRCNN; "
                             "evaluate_coco and fit take files")  # fmt: skip
        rpn = proposals._passes if isinstance(proposals, MaskRCNN) else None
        if rpn is not None:
            _check_inputs(c, proposals.config)
        return SeveralPasses(self._passes, c, augmentation, merging, rpn)

    def _detect_in_passes(self, several, images, batch_size, masks, proposals):
        if proposals is not None and len(proposals) != len(images):
            raise ValueError(f"proposals of {len(proposals)} images were given for {len(images)} images; expected a "
                             "list of arrays (N, 4), one for each image")  # fmt: skip
        found, step = [], batch_size * self.local_replicas
        for first in range(0, len(images), step):
            parts = _parts(images[first : first + step], batch_size)
            given = None if proposals is None else _parts(proposals[first : first + step], batch_size)
            for part, (outputs, sizes) in zip(parts, several(parts, given), strict=True):
                options = {"masks": masks, "images": part, **self._finishing}
                found += to_detections(outputs, sizes, sizes, self.config.names, **options)
        return found

    @functools.cached_property
    def _passes(self) -> NetworkPasses:
        return NetworkPasses(self._builder, self.distribute_strategy)

    @functools.cached_property
    def _first_passes(self) -> NetworkPasses:
        return NetworkPasses(self._builder, self.distribute_strategy, first_rpn=True)

    @property
    def _finishing(self) -> dict[str, Any]:
        """Arguments of `to_detections` that the config decides about."""
        c = self.config
        keypoints = {"keypoint_names": c.keypoint_names, "keypoint_skeleton": c.keypoint_skeleton}
        return {"mask_paste": c.mask_paste, **keypoints}

    def _begin_reading(self, begin, parts):
        """Threads read and resize the images of a chunk, one part for each replica; the result is what goes in."""
        c = self.config
        shape = c.image_min_side, c.image_max_side, c.resize
        reading = [[begin(read_resized, image, *shape) for image in part] for part in parts]
        frame = c.image_max_side, c.size_divisor, c.square_padding
        return lambda: (parts, [stack_images([resized() for resized in part], *frame) for part in reading])

    def _begin_network(self, begin, score_threshold, masks, prepared):
        """Runs the network on a chunk; threads make `Detections` of the result, in the order of the images."""
        parts, batches = prepared
        c = self.config
        options = {"masks": masks, "score_threshold": score_threshold, **self._finishing}
        options |= {"square_side": c.image_max_side * c.square_padding, "inclusive": c.box_inclusive}
        outputs = self._detect_function([(batch["images"], batch["image_sizes"]) for batch, _ in batches])
        finishing = [
            begin(functools.partial(to_detections, images=part, **options), output, batch["image_sizes"], size, c.names)
            for part, (batch, size), output in zip(parts, batches, outputs, strict=True)
        ]
        return lambda: [one for found in finishing for one in found()]

    @property
    def local_replicas(self) -> int:
        """Devices of this process that `detect` shares images out to: the strategy's that the model was made under."""
        return local_replicas(self.distribute_strategy)

    def _make_detect_function(self):
        pixels = tf.float32 if self.config.resize == "torchvision" else tf.uint8
        signature = [tf.TensorSpec([None, None, None, 3], pixels), tf.TensorSpec([None, 2], tf.float32)]

        def run(images, image_sizes):
            return self({"images": tf.cast(images, tf.float32), "image_sizes": image_sizes}, training=False)

        return ReplicaFunction(run, signature, self.distribute_strategy)

    # ---- files ----

    def get_config(self) -> dict[str, Any]:
        return {"config": self.config.to_dict(), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "MaskRCNN":
        return cls(make_config(config["config"]), name=config.get("name", "mask_rcnn"))

    @classmethod
    def load(cls, path: str | os.PathLike) -> "MaskRCNN":
        """A model from the `.keras` file that `save` wrote, with its optimizer's state if it was compiled.

        Raises:
            ValueError: the file is absent or holds something else.
        """
        if not os.path.isfile(path):
            raise ValueError(f"there is no file {os.fspath(path)!r}")
        with undrawn():
            model = keras.saving.load_model(path)
        if not isinstance(model, cls):
            raise ValueError(f"{os.fspath(path)!r} holds a {type(model).__name__}, not a MaskRCNN")
        return model

    def export(self, path: str | os.PathLike, format: str = "tf_saved_model", **kwargs: Any) -> None:
        """Write the model for use without this package.

        Args:
            path: the folder or file to write.
            format: "tf_saved_model" for TensorFlow Serving, see `serving.export_saved_model` for its signatures and
                options; "onnx", see `serving.export_onnx`; or "stablehlo", see `serving.export_stablehlo`.
            **kwargs: options of that function.

        Raises:
            ValueError: no such format, or what that function raises.
        """
        from . import serving

        exports = {"tf_saved_model": "export_saved_model", "onnx": "export_onnx", "stablehlo": "export_stablehlo"}
        if format not in exports:
            raise ValueError(f"format={format!r}: expected {' or '.join(map(repr, exports))}")
        getattr(serving, exports[format])(self, path, **kwargs)


def _check_inputs(config: MaskRCNNConfig, rpn: MaskRCNNConfig) -> None:
    """ValueError if the model of one config makes inputs that the RPN of another cannot take."""
    for name in ("square_padding", "box_inclusive"):
        ours, theirs = getattr(config, name), getattr(rpn, name)
        if ours != theirs:
            raise ValueError(f"proposals: the other model has {name}={theirs!r}, this one {ours!r}; expected the same")
    if config.size_divisor % rpn.size_divisor:
        raise ValueError(
            f"proposals: the other model needs images padded to multiples of size_divisor={rpn.size_divisor}, this one "
            f"pads to {config.size_divisor}"
        )


def _parts(items: list, size: int) -> list[list]:
    return [items[start : start + size] for start in range(0, len(items), size)]
