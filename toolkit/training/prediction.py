"""Predictions of a finished classifier for the rows of a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import keras
import numpy as np

from toolkit import inputs
from toolkit.models import classifiers
from toolkit.tables import Table
from toolkit.training import loop, workers
from toolkit.training.progress import Progress

if TYPE_CHECKING:
    import tensorflow as tf

LENGTH_STEP = 8
ROWS_PER_STEP = 64


def predict(classifier: keras.Model, table: Table, indices: np.ndarray | None = None, *, batch_size: int = 64
            ) -> np.ndarray:
    """Probabilities of rows of a table, images of any size and sequences of any length among them.

    Args:
        classifier: from ``classifiers.assemble`` or ``classifiers.load``.
        table: of the kind that the classifier takes.
        indices: (n,) rows; None: all.
        batch_size: rows a step.

    Returns:
        (n, C) float32, in the order of ``indices``.

    Raises:
        ToolkitError: if an image can no longer be read.
    """
    indices = np.arange(len(table)) if indices is None else indices
    if not len(indices):
        return np.zeros((0, classifier.output_shape[-1]), np.float32)
    rows = workers.own(indices)
    batches = inputs.evaluation_batches(table, rows, preprocessing=classifiers.preprocessing_of(classifier),
                                        batch_size=batch_size)
    run = loop.predict if table.kind == "image" else by_length
    with Progress("predicting", len(rows)) as progress:
        found = inputs.explained(table, lambda: run(classifier.get_layer("prediction"), batches, progress))
    return workers.gathered(found)


def by_length(network: keras.Model, batches: "tf.data.Dataset", progress: Callable[[int], None]) -> np.ndarray:
    """The outputs (n, F) of a network on sequences, those of like length together.

    Each is padded to its own length rounded up to a multiple of eight: that saves most of the padding, and what comes
    out of a sequence does not depend on its neighbours.

    Args:
        network: tokens (B, T) or series (B, T, C) -> (B, F).
        batches: of sequences, padded at their ends.
        progress: called with the number of rows done.

    Returns:
        (n, F) float32, in the order of the batches.
    """
    sequences = [row for batch in batches for row in _trimmed(batch.numpy())]
    result = np.zeros((len(sequences), network.output_shape[-1]), np.float32)
    lengths, done = np.array([len(sequence) for sequence in sequences]), 0
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        groups = (np.stack([sequences[row] for row in rows[start:start + ROWS_PER_STEP]])
                  for start in range(0, len(rows), ROWS_PER_STEP))
        result[rows] = loop.predict(network, groups)
        done += len(rows)
        progress(done)
    return result


def _trimmed(batch: np.ndarray) -> Iterator[np.ndarray]:
    """The rows of a batch of tokens (B, T), 0 = padding, or series (B, T, C), NaN = padding, without most padding."""
    known = batch != 0 if batch.ndim == 2 else np.isfinite(batch).any(axis=2)
    steps = batch.shape[1] - np.argmax(known[:, ::-1], axis=1)
    for row, length in zip(batch, np.where(known.any(axis=1), steps, 1), strict=True):
        yield row[:-(-int(length) // LENGTH_STEP) * LENGTH_STEP]
