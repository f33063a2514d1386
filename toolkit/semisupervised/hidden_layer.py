r"""A network with one hidden layer on soft labels: the inductive classifier where no line parts the classes.

.. math:: p(x) = \mathrm{softmax}\bigl(\max(x V + a, 0)\, W + b\bigr)

learnt by steps of gradient on batches of rows drawn as often as they weigh, with dropout on the hidden units. Codes of
an autoencoder and pixels need it, where neighbours agree and classes lie folded into one another; on the features of a
pretrained network logistic regression (``soft_labels``) does as well.

References:
    Srivastava et al. (2014), Dropout. https://jmlr.org/papers/v15/srivastava14a.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import tensorflow as tf
from scipy import linalg

from toolkit.evaluation.baselines import LinearClassifier
from toolkit.evaluation.baselines.reduction import Reduction

NAME = "network with a hidden layer on soft labels"
DIMENSIONS = 256  # leading principal directions that the network sees
UNITS, DROPOUT = 256, 0.5
STEPS, BATCH = 600, 256
RATE, MOMENTUM = 0.2, 0.9  # the rate falls to nothing, as a cosine


@dataclass(frozen=True, eq=False)
class HiddenLayerClassifier:
    """A rectified layer and a linear classifier of its units.

    Attributes:
        name: in words, for tables and verdicts.
        hidden: kernel (F, H) and bias (H,) of the layer.
        head: classifier of the (n, H) units.
        details: how it was fitted, JSON-serialisable.
    """

    name: str
    hidden: tuple[np.ndarray, np.ndarray]
    head: LinearClassifier
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Kernel and bias of each layer."""
        return [self.hidden, *self.head.layers]

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities (n, C) of rows (n, F)."""
        kernel, bias = (values.astype(np.float32) for values in self.hidden)
        return self.head.probabilities(np.maximum(features.astype(np.float32, copy=False) @ kernel + bias, 0))

    def softened(self, temperature: float) -> HiddenLayerClassifier:
        """The same, its scores divided by a temperature."""
        return HiddenLayerClassifier(self.name, self.hidden, self.head.softened(temperature), self.details)


def fit(reduced: Reduction, targets: np.ndarray, weights: np.ndarray, *, seed: int) -> HiddenLayerClassifier:
    """Fits the classifier.

    Args:
        reduced: of the (n, F) features, from ``leading``.
        targets: (n, C) in [0, 1], rows sum to one.
        weights: (n,) not negative; a row of weight 0 has no say.
        seed: of first weights, batches and dropout.

    Returns:
        a classifier of raw features; details: units, dimensions, steps, batch, rows.

    Example:
        >>> from toolkit.evaluation.baselines.reduction import reduction
        >>> circle = np.stack([np.cos(np.arange(40)), np.sin(np.arange(40))], axis=1)
        >>> rows = np.concatenate([circle, 3 * circle]).astype(np.float32)   # no line parts the inner from the outer
        >>> inner = np.arange(80) < 40
        >>> targets = np.stack([inner, ~inner], axis=1).astype(float)
        >>> found = fit(leading(reduction(rows)), targets, np.ones(80), seed=0)
        >>> bool(((found.probabilities(rows)[:, 0] > 0.5) == inner).all())
        True
    """
    width, num_classes = reduced.features.shape[1], targets.shape[1]
    drawn = np.random.default_rng(seed).choice(len(weights), (STEPS, BATCH), p=weights / weights.sum())
    kernels = [value.numpy() for value in _graph(width, num_classes)(
        tf.constant(reduced.features, tf.float32), tf.constant(targets, tf.float32), tf.constant(drawn),
        tf.constant(seed))]
    facts = {"units": UNITS, "dimensions": width, "steps": STEPS, "batch_size": BATCH, "rows": int((weights > 0).sum())}
    return HiddenLayerClassifier(NAME, reduced.unfold(*kernels[:2]), LinearClassifier(NAME, *kernels[2:]), facts)


@cache
def _graph(width: int, num_classes: int) -> tf.types.experimental.PolymorphicFunction:
    """``_train`` for one width and number of classes: other numbers of rows need no new graph."""
    return tf.function(partial(_train, width, num_classes), reduce_retracing=True)


def _train(width: int, num_classes: int, rows: tf.Tensor, targets: tf.Tensor, drawn: tf.Tensor, seed: tf.Tensor
           ) -> list[tf.Tensor]:
    """All steps in one graph: V, a, W and b."""
    first = [tf.random.stateless_uniform(shape, (seed, -number), -limit, limit) for number, shape in (
        (1, (width, UNITS)), (2, (UNITS, num_classes))) for limit in [(6 / sum(shape))**0.5]]  # Glorot's
    weights = [first[0], tf.zeros(UNITS), first[1], tf.zeros(num_classes)]

    def step_(step: tf.Tensor, weights: list[tf.Tensor], velocities: list[tf.Tensor]) -> tuple:
        known, goals = (tf.gather(values, drawn[step]) for values in (rows, targets))
        kept = tf.random.stateless_uniform((BATCH, UNITS), (seed, step)) >= DROPOUT
        with tf.GradientTape() as tape:
            tape.watch(weights)
            units = tf.nn.relu(known @ weights[0] + weights[1])
            logits = tf.where(kept, units / (1 - DROPOUT), 0) @ weights[2] + weights[3]
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(goals, logits))
        rate = RATE * 0.5 * (1 + tf.cos(np.pi * tf.cast(step, tf.float32) / STEPS))
        velocities = [MOMENTUM * velocity - rate * slope
                      for velocity, slope in zip(velocities, tape.gradient(loss, weights), strict=True)]
        return step + 1, [weight + velocity for weight, velocity in zip(weights, velocities, strict=True)], velocities

    still = [tf.zeros_like(weight) for weight in weights]
    return tf.while_loop(lambda step, *_: step < STEPS, step_, (tf.constant(0), weights, still))[1]


def leading(reduced: Reduction) -> Reduction:
    """What the network sees of standardised features: their leading principal directions, of mean variance one.

    Args:
        reduced: from ``reduction``.
    """
    values, basis = reduced.features, reduced.basis
    if values.shape[1] > DIMENSIONS:
        vectors = linalg.eigh(values.T @ values)[1][:, -DIMENSIONS:]
        values, basis = values @ vectors, vectors if basis is None else basis @ vectors
    length = float(np.sqrt(np.square(values, dtype=np.float64).mean())) if values.size else 1.0
    return Reduction((values / (length or 1.0)).astype(np.float32), reduced.num_varying, reduced.mean,
                     reduced.scale * (length or 1.0), basis)
