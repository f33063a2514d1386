r"""What the methods in pixel space have in common: a Keras model that is shown labelled and unlabelled images at once.

A method subclasses ``PoolModel`` and writes its loss in ``compute_loss``, from stock Keras losses, which divide by the
number of replicas. Where an earlier stage hands over pseudo-labels h with weights u, they are learnt first,

.. math:: L_u(t) = a(t) \frac1b \sum_j u_j \mathrm{CE}(h_j, p_j) + (1 - a(t)) L_{method},
          \qquad a(t) = \max(0, 1 - t / 0.3)

with t in [0, 1] the progress of the training.

Views that only give targets pass by themselves, without a gradient: nothing is computed backwards for them. Where a
BatchNorm moves, every view is then normalised by its own batch, as prediction normalises images by images like them,
and the moving averages are those of the views that are asked: these look as the images of prediction do, strong views
do not. Dropout is off for them. A method that learns from no view as it stands (MixMatch) asks as prediction does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from toolkit.models import blocks
from toolkit.training import loop

HANDOVER = 0.3  # of the steps, after which pseudo-labels of an earlier stage count no more
MASS_MOMENTUM = 0.98  # of the moving average of what each class is given

Hints = tuple[np.ndarray, np.ndarray]


class PoolModel(keras.Model):
    """A classifier that learns from batches of ``pixel_views.batches``; methods override ``compute_loss``.

    Called with images it gives logits, as ``loop.fit`` wants for validation; with a batch, logits of each view.

    Attributes:
        on_labels: the loss of labelled images, as smooth as the control's; ``cross_entropy`` is never smoothed.
        learnt: views that pass through the network with a gradient.
        asked: views whose logits serve as targets: no gradient, no dropout; a BatchNorm that moves normalises them by
            their batch and moves by them alone.
        align: whether the pool is taken to have the classes in the shares of the labels.
        class_mass: (C,) moving average of the weight that the pseudo-labels of each class have, a row of the pool.
    """

    learnt: tuple[str, ...] = ("labelled", "strong")
    asked: tuple[str, ...] = ("weak",)

    def __init__(self, classifier: keras.Model, *, total_steps: int, num_unlabelled: int, hints: Hints | None = None,
                 align: bool = True, label_smoothing: float = 0.0) -> None:
        super().__init__(name="pool_model")
        self.align = align
        self.classifier, self.total_steps, self.num_unlabelled = classifier, total_steps, num_unlabelled
        self.num_classes, self.hints = classifier.output_shape[-1], hints
        self.cross_entropy = keras.losses.CategoricalCrossentropy(from_logits=True)
        self.on_labels = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)
        self.answering = without_dropout(classifier) if self.asked and self.moving_averages() else classifier
        self.class_mass = self.remembered("class_mass", np.zeros(self.num_classes, np.float32))
        self.built = True

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Of the images."""
        return self.classifier.input_shape

    @property
    def inputs(self) -> list[keras.KerasTensor]:
        """The images, as symbols."""
        return self.classifier.inputs

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Of their logits."""
        return self.classifier.output_shape

    def remembered(self, name: str, value: np.ndarray) -> keras.Variable:
        """A variable that no gradient moves and that checkpoints hold; equal on all replicas."""
        value = np.asarray(value)
        return self.add_weight(shape=value.shape, dtype=str(value.dtype), trainable=False, name=name,
                               initializer=lambda shape, dtype: ops.convert_to_tensor(value, dtype),
                               aggregation="only_first_replica")

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Logits: (n, C) of images (n, S, S, 3), or a dict of them by view, the U images of a label in a row."""
        if not isinstance(inputs, dict):
            return self.classifier(inputs, training=training)
        asked = {name: flat(inputs[name]) for name in self.asked}
        learnt = {name: flat(inputs[name]) for name in self.learnt}
        averages = self.moving_averages()
        if training and averages and learnt and asked:
            before = [ops.copy(average) for average in averages]
            logits = {name: self.classifier(images, training=True) for name, images in learnt.items()}
            for average, value in zip(averages, before, strict=True):
                average.assign(value)
            answers = {name: self.answering(images, training=True) for name, images in asked.items()}
        else:
            logits = self.in_one_pass(learnt, training=training) if learnt else {}
            answers = {name: self.classifier(images, training=False) for name, images in asked.items()}
        return {**logits, **{name: ops.stop_gradient(values) for name, values in answers.items()}}

    def moving_averages(self) -> list[keras.Variable]:
        """Those of every BatchNorm that moves."""
        return [average for layer in blocks.batch_normalisations(self.classifier) if layer.trainable
                for average in (layer.moving_mean, layer.moving_variance)]

    def in_one_pass(self, views: dict[str, Any], *, training: bool) -> dict[str, Any]:
        """Logits of several sets of images, which share one pass through the network."""
        sizes = np.cumsum([images.shape[0] for images in views.values()])[:-1]
        logits = self.classifier(ops.concatenate(list(views.values())), training=training)
        return dict(zip(views, ops.split(logits, [int(size) for size in sizes]), strict=True))

    @property
    def waits(self) -> bool:
        """Whether no pseudo-label has been given yet, as is meant to be."""
        return False

    @property
    def progress(self) -> Any:
        """Share of the steps that are done, () in [0, 1]."""
        return ops.cast(self.optimizer.iterations, "float32") / self.total_steps

    def handed_over(self, own: Any, logits: Any, rows: Any) -> Any:
        """The loss of the unlabelled images: a method's own, and at first that of the earlier stage's pseudo-labels."""
        if self.hints is None:
            return own
        labels, weights = (ops.take(ops.convert_to_tensor(values), flat(rows)) for values in self.hints)
        share = ops.maximum(1 - self.progress / HANDOVER, 0.0)
        told = self.cross_entropy(ops.one_hot(labels, self.num_classes), logits, ops.cast(weights, "float32"))
        return share * told + (1 - share) * own

    def blended(self, targets: Any, rows: Any) -> Any:
        """Targets (b, C), and at first those of the earlier stage in their place; for losses on mixtures of images."""
        if self.hints is None:
            return targets
        labels, weights = (ops.take(ops.convert_to_tensor(values), flat(rows)) for values in self.hints)
        share = (ops.maximum(1 - self.progress / HANDOVER, 0.0) * ops.cast(weights, "float32"))[:, None]
        return share * ops.one_hot(labels, self.num_classes, dtype="float32") + (1 - share) * targets

    def note(self, targets: Any, weights: Any = None) -> None:
        """Keeps ``class_mass`` up to date.

        Args:
            targets: (b, C) of this replica.
            weights: (b,) likewise; None: all 1.
        """
        classes = ops.one_hot(ops.argmax(targets, axis=1), self.num_classes, dtype="float32")
        mass = ops.mean(gathered(classes if weights is None else classes * weights[:, None]), axis=0)
        known = ops.cast(self.optimizer.iterations > 0, "float32") * MASS_MOMENTUM
        self.class_mass.assign(known * self.class_mass + (1 - known) * mass)

    def get_metrics_result(self) -> dict[str, Any]:
        """The loss, and of the pool: coverage, and the share of the class with most pseudo-labels."""
        mass = ops.convert_to_tensor(self.class_mass)
        coverage = ops.sum(mass)
        return {**super().get_metrics_result(), "coverage": coverage,
                "largest_share": ops.max(mass) / ops.maximum(coverage, 1e-12)}

    def pseudo_labels(self, logits: np.ndarray, rows: np.ndarray | None, labelled: np.ndarray, labels: np.ndarray
                      ) -> tuple[np.ndarray, np.ndarray]:
        """What the trained model would teach: classes (m,) int and weights (m,) in [0, 1]; here: all of it.

        Args:
            logits: (m, C) of images as they are.
            rows: (m,) their positions in the pool; None: they are no rows of it, but hidden labelled ones.
            labelled: (n, C) logits of the labelled rows.
            labels: (n,) int.
        """
        return logits.argmax(axis=1), np.ones(len(logits))

    def rounds(self, weights: np.ndarray) -> np.ndarray:
        """The round that took each row of the pool, (p,) int from 1; 0: it is not taught. Here there is one round.

        Args:
            weights: (p,) from ``pseudo_labels``, of all rows of the pool.
        """
        return (weights >= 0.5).astype(int)


def without_dropout(model: keras.Model) -> keras.Model:
    """The same layers with the same weights, but no Dropout; a functional model, as those within it are.

    Args:
        model: of one input.
    """
    def kept(layer: Any) -> Any:
        if isinstance(layer, keras.layers.Dropout):
            return keras.layers.Identity(dtype=layer.dtype_policy)
        return without_dropout(layer) if isinstance(layer, keras.Model) else layer

    images = keras.Input(batch_shape=model.input_shape, dtype=model.inputs[0].dtype)
    return keras.Model(images, model._run_through_graph(images, operation_fn=kept), name=model.name)


def flat(values: Any) -> Any:
    """(B, U, ...) as (B * U, ...); labelled images (B, S, S, 3), which have no U, and rows (b,) as they are."""
    shape = values.shape
    return values if len(shape) in (1, 4) else ops.reshape(values, (shape[0] * shape[1], *shape[2:]))


def gathered(values: Any) -> Any:
    """The rows (b, ...) of all replicas, in the order of the batch; outside of training those at hand."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    whole = (values.shape[0] * context.num_replicas_in_sync, *values.shape[1:])
    return tf.ensure_shape(context.all_gather(values, axis=0), whole)


def own(values: Any) -> Any:
    """Of the rows of all replicas, those of this one."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    count = values.shape[0] // context.num_replicas_in_sync
    return tf.slice(values, [context.replica_id_in_sync_group * count] + [0] * (len(values.shape) - 1),
                    [count, *values.shape[1:]])


@dataclass(frozen=True, eq=False)
class Start:
    """What the callbacks of a method may want to know when training begins.

    Attributes:
        from_scratch: whether the head says nothing yet.
        steps_per_epoch: of the plan.
        epochs: of the plan.
        prior: (C,) shares of the classes among the labels.
        pool: dataset of the pool's images as they are, in order.
    """

    from_scratch: bool
    steps_per_epoch: int
    epochs: int
    prior: np.ndarray
    pool: tf.data.Dataset

    def pool_probabilities(self, model: PoolModel) -> np.ndarray:
        """(p, C), by the model as it is."""
        return loop.softmax(loop.predict(model, self.pool))
