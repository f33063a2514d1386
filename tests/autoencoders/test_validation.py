"""The loss on validation rows: every row once, what is drawn for it the same in every epoch."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from toolkit.autoencoders import batches, validation
from toolkit.training import loop, plans

VALUES = np.random.default_rng(0).integers(0, 256, (10, 3), np.uint8)


def draw(target: tf.Tensor, seed: tf.Tensor, step: tf.Tensor) -> batches.Batch:
    noise = tf.random.stateless_uniform(tf.shape(target), seed)
    return {"target": target, "input": target + noise, "step": tf.fill([tf.shape(target)[0]], step)}


class Sum(keras.Model):
    """Says of a row the sum of what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")
        self.built = True

    def call(self, batch: batches.Batch, training: bool | None = None) -> tf.Tensor:
        return self.scale * tf.reduce_sum(batch["input"], axis=1)

    def row_losses(self, batch: batches.Batch, found: tf.Tensor) -> tf.Tensor:
        return found

    def compute_loss(self, x: batches.Batch | None = None, y: None = None, y_pred: tf.Tensor | None = None,
                     sample_weight: None = None, training: bool = True) -> tf.Tensor:
        return tf.reduce_mean(y_pred)


def test_every_row_counts_once_and_is_drawn_for_once_and_for_all() -> None:
    held_out, model = validation.held_out(VALUES, draw, batch_size=4, step=7), Sum()
    first, second = ([batch for batch in held_out.batches] for _ in range(2))
    assert [len(batch["input"]) for batch in first] == [4, 4, 2]
    assert all((batch["step"].numpy() == 7).all() for batch in first)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one["input"], other["input"])
    expected = np.concatenate([batch["input"].numpy().sum(axis=1) for batch in first]).mean()
    for _ in range(2):
        assert held_out.scores(model)["validation_loss"] == pytest.approx(expected, rel=1e-6)


def test_it_stands_in_the_history_and_chooses_nothing(tmp_path: Path) -> None:
    model = Sum()
    model.compile(optimizer=keras.optimizers.SGD(-0.01))  # the loss rises
    stream = batches.stream(VALUES, draw, batch_size=5, seed=0)
    held_out = validation.held_out(VALUES, draw, batch_size=4, step=7)
    history = loop.fit(model, stream, plans.Plan(2, 3, keep="last", from_start=False), held_out)
    losses = [row["validation_loss"] for row in history]
    assert losses == sorted(losses) and losses[0] < losses[-1]
    assert [row["chosen"] for row in history] == [False, False, True]


def test_without_validation_rows_there_is_nothing() -> None:
    assert validation.held_out(None, draw, batch_size=4, step=1) is None
    assert validation.held_out(VALUES[:0], draw, batch_size=4, step=1) is None
