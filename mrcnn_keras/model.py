"""MaskRCNN: a keras.Model that trains with `fit` and answers with `detect`."""

import os
import sys
from typing import Any

import keras
import tensorflow as tf

from .config import MaskRCNNConfig, make_config
from .data.dataset import Dataset
from .data.tfdata import users_error
from .inference.detections import Detections
from .inference.postprocess import to_detections
from .inference.preprocess import prepare_images
from .network import build_graphs
from .presets import preset_config
from .training.feed import check_dataset, training_feed, validation_feed, with_names
from .training.finite import assert_finite, explain
from .training.optimizer import SGD
from .training.progress import TrainingProgress
from .training.schedules import paper_schedule


@keras.saving.register_keras_serializable("mrcnn_keras")
class MaskRCNN(keras.Model):
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
        self._default_schedule = False
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

    # ---- training ----

    def compile(
        self,
        optimizer: Any = None,
        *,
        learning_rate: Any = None,
        total_steps: int | None = None,
        jit_compile: bool = False,
        **kwargs: Any,
    ) -> None:
        """Choose the optimizer.

        Args:
            optimizer: any Keras optimizer. None: the paper's SGD (momentum 0.9, weight decay 1e-4 but not on norms
                and biases) and schedule (linear warm-up, 0.02 for 16 images a step scaled to the batch, dropped at
                three quarters of the run).
            learning_rate: with `optimizer=None`, a number or schedule to use in place of the paper's schedule.
            total_steps: length of the run that the paper's schedule spans; None: what the first `fit` asks for, and
                until then `config.total_steps`.
            jit_compile: XLA; off, since the number of objects changes the shapes from step to step.
            **kwargs: as `keras.Model.compile`; there is no `loss`, the training graph holds the losses.
        """
        c = self.config
        self._default_schedule = optimizer is None and learning_rate is None and total_steps is None
        if optimizer is None:
            if learning_rate is None:
                learning_rate = self._paper_schedule(c.batch_size, total_steps or c.total_steps)
            clip = c.gradient_clip_norm or None
            optimizer = SGD(learning_rate, c.momentum, c.weight_decay, global_clipnorm=clip)
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)

    def _paper_schedule(self, images_per_step: int, total_steps: int):
        c = self.config
        rate, drops = c.base_learning_rate, c.learning_rate_drops
        return paper_schedule(images_per_step, total_steps, rate, c.warmup_steps, drops)

    def get_compile_config(self) -> dict[str, Any] | None:
        if not self.compiled:
            return None
        return {"optimizer": keras.saving.serialize_keras_object(self.optimizer)}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(keras.saving.deserialize_keras_object(config["optimizer"]))
        self.optimizer.build(self.trainable_variables)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.loss_trackers.values())

    def train_step(self, data: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        inputs, image_index = _split(data)
        variables = self.trainable_variables
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        with tf.GradientTape() as tape:
            losses = self.training_graph(inputs, training=True)
            total = tf.add_n(list(losses.values()))
            scaled = self.optimizer.scale_loss(total / replicas)
        gradients = tape.gradient(scaled, variables)
        with tf.control_dependencies([assert_finite(losses, gradients, image_index)]):
            gradients = [tf.identity(gradient) for gradient in gradients]
        rate = tf.cast(self.optimizer.learning_rate, tf.float32)
        self.optimizer.apply(gradients, variables)
        return {**self._track(total, losses, image_index), "learning_rate": rate}

    def test_step(self, data: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        inputs, image_index = _split(data)
        losses = self.training_graph(inputs, training=False)
        return self._track(tf.add_n(list(losses.values())), losses, image_index)

    def _track(self, total, losses, image_index):
        images = tf.shape(image_index)[0]
        for name, value in {"loss": total, **losses}.items():
            self.loss_trackers[name].update_state(value, sample_weight=images)
        return {name: tracker.result() for name, tracker in self.loss_trackers.items()}

    def fit(
        self,
        train: Any = None,
        *,
        validation_data: Any = None,
        epochs: int = 1,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        batch_size: int | None = None,
        workers: int = 2,
        verbose: str | int = "auto",
        callbacks: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Train; the losses and the learning rate are shown as training goes.

        A compiled model that was saved and loaded goes on where it stopped: the optimizer's step count says how much
        of the data has been seen.

        Args:
            train: an `mrcnn_keras.data.Dataset`, or a `tf.data.Dataset` of the batches `data.training_batches` makes.
            validation_data: the same, for the validation losses of each epoch.
            epochs, initial_epoch, steps_per_epoch: as in Keras; a `Dataset` has as many steps as it has full batches.
            batch_size: images a step for a `Dataset`; None: `config.batch_size`.
            workers: images prepared at the same time.
            verbose: as in Keras; "auto" is a bar that fits the terminal, and Keras' own elsewhere.
            callbacks: Keras callbacks.
            **kwargs: as `keras.Model.fit`: `validation_freq`, `validation_steps`, ...

        Raises:
            ValueError: a dataset that does not fit the model, or a broken image or annotation, by name.
            NonFiniteLossError: the loss became infinite or NaN; it names the images. The weights are as before.
        """
        if not self.compiled:
            self.compile()
        batch_size = batch_size or self.config.batch_size
        name_of_image = str
        if isinstance(train, Dataset):
            check_dataset(train, self.config)
            self.config = with_names(self.config, train)
            name_of_image = train.image_name
            steps_per_epoch = steps_per_epoch or max(1, len(train) // batch_size)
            train = training_feed(train, self.config, batch_size, workers, int(self.optimizer.iterations.numpy()))
        if isinstance(validation_data, Dataset):
            check_dataset(validation_data, self.config)
            validation_data = validation_feed(validation_data, self.config, batch_size, workers)
        self._prepare_optimizer(batch_size, (steps_per_epoch or 0) * epochs)
        if verbose == "auto" and sys.stdout.isatty() and isinstance(callbacks, (list, tuple, type(None))):
            verbose, callbacks = 0, [*(callbacks or ()), TrainingProgress()]
        try:
            return super().fit(
                train,
                validation_data=validation_data,
                epochs=epochs,
                initial_epoch=initial_epoch,
                steps_per_epoch=steps_per_epoch,
                shuffle=False,  # the batches come shuffled
                verbose=verbose,
                callbacks=callbacks,
                **kwargs,
            )
        except tf.errors.InvalidArgumentError as error:
            explained = explain(error.message, name_of_image) or users_error(error.message)
            if explained is None:
                raise
            raise explained from None

    def _prepare_optimizer(self, images_per_step: int, total_steps: int) -> None:
        if self._default_schedule and total_steps and int(self.optimizer.iterations.numpy()) == 0:
            self.optimizer._learning_rate = self._paper_schedule(images_per_step, total_steps)
        if not self.optimizer.built:
            # Outside the traced step: variables made inside it would have it traced twice.
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)

    # ---- inference ----

    def detect(
        self,
        images: Any,
        batch_size: int = 1,
        score_threshold: float | None = None,
        masks: str | None = "bitmap",
    ) -> list[Detections]:
        """Find the objects in images.

        Args:
            images: one image or a list of them: RGB uint8 array (H, W, 3), path or PIL image, of any sizes.
            batch_size: images that go through the network together; they are padded to a common size.
            score_threshold: keep detections above this score; None: the config's. Only higher values have an effect.
            masks: "bitmap" for `Detections.masks`, "rle" for `Detections.rles` (COCO run lengths), None for neither.

        Returns:
            One `Detections` an image, boxes and masks in the frame of the image as given.

        Raises:
            ValueError: an image that cannot be read, by name.
        """
        images = list(images) if isinstance(images, (list, tuple)) else [images]
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: expected a whole number from 1 up")
        if self._detect_function is None:
            self._detect_function = self._make_detect_function()
        c = self.config
        found = []
        for start in range(0, len(images), batch_size):
            chunk = images[start : start + batch_size]
            batch, sizes = prepare_images(
                chunk, c.image_min_side, c.image_max_side, c.size_divisor, c.resize, c.square_padding
            )
            outputs = self._detect_function(batch["images"], batch["image_sizes"])
            options = {"masks": masks, "score_threshold": score_threshold, "images": chunk, "mask_paste": c.mask_paste}
            options |= {"square_side": c.image_max_side * c.square_padding, "inclusive": c.box_inclusive}
            options |= {"keypoint_names": c.keypoint_names, "keypoint_skeleton": c.keypoint_skeleton}
            found += to_detections(outputs, batch["image_sizes"], sizes, c.names, **options)
        return found

    def _make_detect_function(self):
        pixels = tf.float32 if self.config.resize == "torchvision" else tf.uint8
        signature = [tf.TensorSpec([None, None, None, 3], pixels), tf.TensorSpec([None, 2], tf.float32)]

        @tf.function(input_signature=signature, autograph=False)
        def run(images, image_sizes):
            return self({"images": tf.cast(images, tf.float32), "image_sizes": image_sizes}, training=False)

        return run

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
        model = keras.saving.load_model(path)
        if not isinstance(model, cls):
            raise ValueError(f"{os.fspath(path)!r} holds a {type(model).__name__}, not a MaskRCNN")
        return model

    def export(self, path: str | os.PathLike, **kwargs: Any) -> None:
        """Write a SavedModel for TensorFlow Serving; see `mrcnn_keras.serving.export` for the signatures."""
        from .serving.export import export_saved_model

        export_saved_model(self, path, **kwargs)


def _split(data: dict[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """The training graph's inputs, and the batch's image indices for messages."""
    inputs = dict(data)
    images = inputs["images"]
    image_index = inputs.pop("image_index", None)
    return inputs, tf.range(tf.shape(images)[0]) if image_index is None else image_index
