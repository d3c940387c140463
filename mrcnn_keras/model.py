"""MaskRCNN: a keras.Model that trains with `fit` and answers with `detect`."""

import functools
import os
from typing import Any

import keras
import tensorflow as tf

from .config import MaskRCNNConfig, make_config
from .inference.ahead import background, one_ahead
from .inference.detections import Detections
from .inference.postprocess import check_masks, to_detections
from .inference.preprocess import read_resized, stack_images
from .inference.replicas import ReplicaFunction, local_replicas
from .network import build_graphs, undrawn
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
        self.training_graph = keras.Model(graphs.training_inputs, graphs.losses, name="training")
        self.loss_trackers = {key: keras.metrics.Mean(name=key) for key in ("loss", *graphs.losses)}
        self._detect_function = None
        self.load_report = None

    @classmethod
    def from_preset(cls, preset: str, weights: str | None = None, **overrides: Any) -> "MaskRCNN":
        """A model by the name of its architecture.

        Args:
            preset: a name of `mrcnn_keras.presets.PRESETS`.
            weights: None for random weights; "imagenet" for a ResNet trained on ImageNet; "coco" for the public model
                of this preset; a checkpoint's path or id (see `from_pretrained`) for as much of it as fits; or the
                path of a `.keras` or `.weights.h5` file of the same architecture.
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
        score_threshold: float | None = None,
        masks: str | None = "bitmap",
    ) -> list[Detections]:
        """Find the objects in images.

        While the network works on some, threads read and resize the next, and paste the masks of those before.

        Args:
            images: one image or a list of them: RGB uint8 array (H, W, 3), path or PIL image, of any sizes.
            batch_size: images that go through the network together, padded to a common size; on each replica where the
                model was made under a strategy, and on all `local_replicas` at the same time.
            score_threshold: keep detections above this score; None: the config's. Only higher values have an effect.
            masks: "bitmap" for `Detections.masks`, "rle" for `Detections.rles` (COCO run lengths), None for neither.

        Returns:
            One `Detections` an image, boxes and masks in the frame of the image as given.

        Raises:
            ValueError: an image that cannot be read, by name; or `masks` is none of the three.
        """
        images = list(images) if isinstance(images, (list, tuple)) else [images]
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: expected a whole number from 1 up")
        check_masks(masks)
        if self._detect_function is None:
            self._detect_function = self._make_detect_function()
        chunks = [_parts(chunk, batch_size) for chunk in _parts(images, batch_size * self.local_replicas)]
        with background("detect") as begin:
            network = functools.partial(self._begin_network, begin, score_threshold, masks)
            found = one_ahead(network, one_ahead(functools.partial(self._begin_reading, begin), chunks))
            return [one for chunk in found for one in chunk]

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
        options = {"masks": masks, "score_threshold": score_threshold, "mask_paste": c.mask_paste}
        options |= {"square_side": c.image_max_side * c.square_padding, "inclusive": c.box_inclusive}
        options |= {"keypoint_names": c.keypoint_names, "keypoint_skeleton": c.keypoint_skeleton}
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


def _parts(items: list, size: int) -> list[list]:
    return [items[start : start + size] for start in range(0, len(items), size)]
