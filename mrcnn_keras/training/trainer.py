"""Training of a model whose losses are the outputs of a graph of their own."""

import contextlib
import dataclasses
import functools
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from ..data.dataset import Dataset
from ..data.tfdata import users_error
from .checkpoints import Checkpoints
from .feed import check_dataset, training_feed, validation_feed, with_names
from .finite import assert_finite, explain
from .gradients import clip_whole_batch, summed_if_shared
from .optimizer import SGD, anew
from .progress import TrainingProgress
from .replicas import lost_worker, over_replicas, run_on_batches, spans_workers
from .schedules import paper_schedule
from .staged import fit_in_stages
from .stages import Stage, stages_of
from .worker_group import WorkerGroup


class Trainer(keras.Model):
    """What a `MaskRCNN` can do about training: `compile` and `fit`.

    Attributes, made by the model:
        config: `MaskRCNNConfig`.
        training_graph: from the batches of `data.training_batches` without `image_index` to losses by name.
        loss_trackers: name -> mean of each loss and of "loss", their sum.
    """

    _default_schedule = False
    _stage: Stage | None = None

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
                and biases) and schedule (0.02 for 16 images a step scaled to the batch, dropped at three quarters of
                the run), after Detectron2's linear warm-up.
            learning_rate: with `optimizer=None`, a number or schedule to use in place of the paper's schedule.
            total_steps: length of the run that the paper's schedule spans; None: what the first `fit` asks for, and
                until then `config.total_steps`.
            jit_compile: compile losses and gradients with XLA, on one replica. XLA compiles every shape of batches
                anew, for minutes with a real network, so `fit` pads the images of a `Dataset` to fixed sizes.
            **kwargs: as `keras.Model.compile`; there is no `loss`, the training graph holds the losses.

        Raises:
            ValueError: `jit_compile` where XLA cannot be used.
        """
        c = self.config
        self.uses_xla = jit_compile is True
        if self.uses_xla:
            self._check_xla()
        self._default_schedule = optimizer is None and learning_rate is None and total_steps is None
        given = {"learning_rate": learning_rate, "total_steps": total_steps, "jit_compile": jit_compile, **kwargs}
        self._compile_again = functools.partial(self._compile_stage, anew(optimizer), given)
        if optimizer is None:
            if learning_rate is None:
                learning_rate = self._paper_schedule(c.batch_size, total_steps or c.total_steps)
            clip = c.gradient_clip_norm or None
            optimizer = SGD(learning_rate, c.momentum, c.weight_decay, global_clipnorm=clip)
        compute = self._compute_gradients
        self._gradients = tf.function(compute, jit_compile=True, autograph=False) if self.uses_xla else compute
        super().compile(optimizer=optimizer, jit_compile=False, **kwargs)

    @property
    def stage(self) -> Stage | None:
        """What the next steps train; None: everything."""
        return self._stage

    def enter_stage(self, stage: Stage) -> None:
        """Have the next steps train what a stage learns, with an optimizer like the one compiled with, but fresh."""
        with self.distribute_strategy.scope():
            self._set_stage(stage)
            self._compile_again()

    def _compile_stage(self, optimizer, given) -> None:
        default = self._default_schedule
        self.compile(optimizer(), **given)
        self._default_schedule = default
        self.train_function = self.test_function = None

    def _set_stage(self, stage: Stage) -> None:
        self._builder.train_only(stage.learns)
        self._stage = stage
        self._stage_graph()  # made here and not while a step is traced

    def _stage_graph(self, stored: bool = True) -> keras.Model:
        """From batches to the losses that count now; `stored`: with proposals where the stage has them from a file."""
        stage = self._stage
        if stage is None or (stage.rpn and stage.heads):
            return self.training_graph
        return self._training_graphs.graph(stage.rpn, stage.heads, stage.first, stage.stored and stored)

    def _check_xla(self) -> None:
        replicas = self.distribute_strategy.num_replicas_in_sync
        if replicas > 1:
            raise ValueError(f"jit_compile=True works on one replica, and there are {replicas}")
        if self.config.roi_op == "crop_and_resize":
            raise ValueError("jit_compile=True: XLA has no roi_op='crop_and_resize'; take 'align'")

    def _paper_schedule(self, images_per_step: int, total_steps: int):
        c = self.config
        rate, drops = c.base_learning_rate, c.learning_rate_drops
        return paper_schedule(images_per_step, total_steps, rate, c.warmup_steps, drops)

    def get_compile_config(self) -> dict[str, Any] | None:
        if not self.compiled:
            return None
        optimizer = keras.saving.serialize_keras_object(self.optimizer)
        stage = None if self._stage is None else dataclasses.asdict(self._stage)
        return {"optimizer": optimizer, "jit_compile": self.uses_xla, "stage": stage}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        optimizer = keras.saving.deserialize_keras_object(config["optimizer"])
        stage = config.get("stage")
        if stage is not None:  # the optimizer's state is of what that stage learns
            self._set_stage(Stage(**{**stage, "learns": tuple(stage["learns"])}))
        self.compile(optimizer, jit_compile=config.get("jit_compile", False))
        self.optimizer.build(self.trainable_variables)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.loss_trackers.values())

    @functools.cached_property
    def worker_group(self) -> WorkerGroup | None:
        """The processes that train together; None for one alone."""
        return WorkerGroup(self.distribute_strategy) if spans_workers(self.distribute_strategy) else None

    def train_step(self, data: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        inputs, image_index = _split(data)
        losses, gradients = self._gradients(inputs)
        gradients = clip_whole_batch(self.optimizer, gradients)
        # A loss scale finds out by overflowing gradients that it is too large.
        scales = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        with tf.control_dependencies([assert_finite(losses, [] if scales else gradients, image_index)]):
            gradients = [tf.identity(gradient) for gradient in gradients]
        rate = tf.cast(self.optimizer.learning_rate, tf.float32)
        with summed_if_shared(self.optimizer):
            self.optimizer.apply(gradients, self.trainable_variables)
        return {**self._track(losses, image_index), "learning_rate": rate}

    def _compute_gradients(self, inputs):
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        with tf.GradientTape() as tape:
            losses = self._stage_graph()(inputs, training=True)
            scaled = self.optimizer.scale_loss(tf.add_n(list(losses.values())) / replicas)
        return losses, tape.gradient(scaled, self.trainable_variables)

    def test_step(self, data: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        inputs, image_index = _split(data)
        losses = self._stage_graph("proposals" in inputs)(inputs, training=False)
        return self._track(losses, image_index)

    def _track(self, losses, image_index):
        images = tf.reduce_sum(tf.cast(image_index >= 0, tf.float32))
        values, images = over_replicas({"loss": tf.add_n(list(losses.values())), **losses}, images)
        for name, value in values.items():
            self.loss_trackers[name].update_state(value, sample_weight=images)
        return {name: self.loss_trackers[name].result() for name in values}

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
        input_hosts: Sequence[str] = (),
        proposals: str | os.PathLike | None = None,
        validation_proposals: str | os.PathLike | None = None,
        verbose: str | int = "auto",
        callbacks: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Train; the losses and the learning rate are shown as training goes.

        With `training.Checkpoints` among the callbacks a training that was stopped or killed goes on from its newest
        state. Without, a compiled model that was saved and loaded goes on, too, as far as the data is concerned: the
        optimizer's step count says how much of it has been seen. Where `config.training_stages` says so there are
        several stages, all of which are gone through, each for `epochs` epochs and with the optimizer as compiled.

        Args:
            train: an `mrcnn_keras.data.Dataset`, or a `tf.data.Dataset` of the batches `data.training_batches` makes.
            validation_data: the same, for the validation losses of each epoch.
            epochs, initial_epoch, steps_per_epoch: as in Keras; a `Dataset` has as many steps as it has full batches.
            batch_size: images a step for a `Dataset`; None: `config.batch_size`.
            workers: batches prepared at the same time.
            input_hosts: addresses of machines that prepare the batches of `train`, see `data.service`; each with so
                many workers.
            proposals: file with proposals of the images of `train`, see `data.ProposalFile`, on which the heads learn;
                the RPN then does not, or only in later stages.
            validation_proposals: the same for `validation_data`.
            verbose: as in Keras; "auto" is a bar that fits the terminal, and Keras' own elsewhere.
            callbacks: Keras callbacks, in a list.
            **kwargs: as `keras.Model.fit`: `validation_freq`, `validation_steps`, ...

        Raises:
            ValueError: a dataset that does not fit the model, a broken image or annotation, by name, or images without
                proposals.
            NonFiniteLossError: the loss became infinite or NaN; it names the images. The weights are as before.
            WorkerLostError: another worker of the training has gone.
        """
        if not self.compiled:
            self.compile()
        batch_size = batch_size or self.config.batch_size
        if isinstance(train, Dataset):
            check_dataset(train, self.config)
            self.config = with_names(self.config, train)
            steps_per_epoch = steps_per_epoch or max(1, len(train) // batch_size)
        if isinstance(validation_data, Dataset):
            check_dataset(validation_data, self.config)
        fit_stage = functools.partial(
            self._fit_stage, train, validation_data, epochs, initial_epoch, steps_per_epoch, batch_size, workers,
            input_hosts, verbose, kwargs,
        )  # fmt: skip
        callbacks, given = list(callbacks or ()), {"train": proposals, "validation": validation_proposals}
        stages = stages_of(self.config.training_stages, self.config.stage_proposals, proposals is not None)
        if validation_proposals is not None and proposals is None:
            raise ValueError("validation_proposals goes with proposals")
        if len(stages) == 1 and proposals is None:
            if self._stage not in (None, stages[0]):  # of an earlier training, on given proposals
                self.enter_stage(stages[0])
            return fit_stage(callbacks=callbacks)
        if initial_epoch and len(stages) > 1:
            raise ValueError(f"initial_epoch={initial_epoch} does not say of which of the {len(stages)} stages; add "
                             "training.Checkpoints to the callbacks to go on with a training in stages")  # fmt: skip
        data = {"train": train, "validation": validation_data}
        self.history = fit_in_stages(self, stages, fit_stage, data, given, epochs, callbacks)
        return self.history

    def _fit_stage(
        self, train, validation, epochs, initial_epoch, steps, batch_size, workers, input_hosts, verbose, kwargs,
        *, callbacks, first_epoch=0, proposals=None,
    ) -> keras.callbacks.History:  # fmt: skip
        """`fit` of one stage, its epochs counted on from `first_epoch`; `proposals()`: the files of both datasets."""
        strategy = self.distribute_strategy
        guard = next((one for one in callbacks if isinstance(one, Checkpoints)), None)
        step = int(self.optimizer.iterations.numpy())
        anew = step == 0 or (guard is not None and guard.has_states)
        self._prepare_optimizer(batch_size, (steps or 0) * epochs, anew)
        if guard is not None:
            images = len(train) if isinstance(train, Dataset) else None
            stage = "end_to_end" if self._stage is None else self._stage.name
            step = guard.restore(self, {"images a step": batch_size, "images": images, "stage": stage})
            initial_epoch = epochs if guard.is_over else max(initial_epoch, guard.epochs_done(steps))
        files = proposals() if proposals else {"train": None, "validation": None}  # with the weights restored
        if isinstance(validation, Dataset):
            if strategy.num_replicas_in_sync > 1:  # Keras cannot see where distributed data ends
                kwargs.setdefault("validation_steps", -(-len(validation) // batch_size))
            validation = validation_feed(validation, self.config, batch_size, workers, strategy, files["validation"])
        if verbose == "auto" and sys.stdout.isatty():
            verbose, callbacks = 0, [*callbacks, TrainingProgress()]
        explaining = _explaining(train, strategy)
        if isinstance(train, Dataset):
            train = training_feed(
                train, self.config, batch_size, workers, step, strategy, input_hosts, self.uses_xla, files["train"]
            )
        with explaining, guard.guarding() if guard else contextlib.nullcontext():
            return super().fit(
                train,
                validation_data=validation,
                epochs=first_epoch + epochs,
                initial_epoch=first_epoch + initial_epoch,
                steps_per_epoch=steps,
                shuffle=False,  # the batches come shuffled
                verbose=verbose,
                callbacks=callbacks,
                **kwargs,
            )

    def _prepare_optimizer(self, images_per_step: int, total_steps: int, anew: bool) -> None:
        if self._default_schedule and total_steps and anew:
            schedule = self._paper_schedule(images_per_step, total_steps)
            optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)  # in the one that scales losses
            if schedule.get_config() != optimizer._learning_rate.get_config():
                optimizer._learning_rate = schedule
                self.train_function = None  # it would go on with the schedule that it was made with
        if not self.optimizer.built:
            # Outside the traced step: variables made inside it would have it traced twice.
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)

    # Keras would take a batch to build the model from, which is built, and adds up values of other workers that it
    # cannot see (keras issue 20585).

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        self.epoch_iterator = iterator
        if self.distribute_strategy.num_replicas_in_sync == 1:
            super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)

    def make_train_function(self, force: bool = False) -> None:
        if not (self.uses_xla or spans_workers(self.distribute_strategy)):
            super().make_train_function(force)
        elif self.train_function is None or force:
            self.train_function = run_on_batches(self.distribute_strategy, self.train_step, every_shape=self.uses_xla)

    def make_test_function(self, force: bool = False) -> None:
        if not spans_workers(self.distribute_strategy):
            super().make_test_function(force)
        elif self.test_function is None or force:
            self.test_function = run_on_batches(self.distribute_strategy, self.test_step)


@contextlib.contextmanager
def _explaining(train: Any, strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Says what TensorFlow's errors mean: images, workers."""
    name_of_image = train.image_name if isinstance(train, Dataset) else str
    try:
        yield
    except tf.errors.OpError as error:
        explained = explain(error.message, name_of_image) or users_error(error.message)
        if explained is None and spans_workers(strategy):
            explained = lost_worker(error)
        if explained is None:
            raise
        raise explained from None


def _split(data: dict[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """The training graph's inputs, and the batch's image indices for messages."""
    inputs = dict(data)
    images = inputs["images"]
    image_index = inputs.pop("image_index", None)
    return inputs, tf.range(tf.shape(images)[0]) if image_index is None else image_index
