"""The loss of an autoencoder on validation rows, epoch by epoch; nothing is chosen by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

from toolkit.autoencoders import batches
from toolkit.training import loop

SEED = 1  # of what is drawn for these rows, in every epoch the same


@dataclass
class HeldOut(loop.Validation):
    """What ``loop.fit`` asks for the loss on validation rows at the end of every epoch.

    Attributes:
        batches: of what a step is given, each time the same.
        labels: none are needed.
        monitor: without meaning.
        patience: none.
    """

    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    _compute: Callable[[batches.Batch], tf.Tensor] | None = field(default=None, repr=False)

    def scores(self, model: keras.Model) -> dict[str, float]:
        """The mean loss of a row; ``model`` has ``row_losses``, from a batch and what it makes of it to (B,)."""
        if self._compute is None:
            self._compute = tf.function(lambda batch: model.row_losses(batch, model(batch, training=False)))
        return {"validation_loss": float(np.concatenate([self._compute(batch) for batch in self.batches]).mean())}


def held_out(values: np.ndarray | None, draw: batches.Draw, *, batch_size: int, step: int) -> HeldOut | None:
    """The validation rows as steps would be given them, in their order.

    Args:
        values: (m, ...) uint8, which stands for [0, 1], or float32; None: there are none.
        draw: makes a batch of clean rows.
        batch_size: rows a batch; the last one may be smaller.
        step: that it would be, for what changes in the course of the training: the last one.
    """
    if values is None or not len(values):
        return None

    def made(number: tf.Tensor, rows: tf.Tensor) -> batches.Batch:
        seed = tf.stack([tf.constant(SEED, tf.int64), number])
        return draw(batches.scaled(rows), seed, tf.constant(step, tf.int64))

    with tf.device("CPU:0"):
        rows = tf.data.Dataset.from_tensor_slices(values)
    return HeldOut(rows.batch(batch_size).enumerate().map(made, num_parallel_calls=1, deterministic=True))
