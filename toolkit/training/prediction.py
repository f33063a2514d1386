"""Predictions of a finished classifier for the rows of a table."""

from __future__ import annotations

import keras
import numpy as np

from toolkit import inputs
from toolkit.models import classifiers
from toolkit.tables import Table
from toolkit.training import loop, workers
from toolkit.training.progress import Progress


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
    with Progress("predicting", len(rows)) as progress:
        found = inputs.explained(table, lambda: loop.predict(classifier.get_layer("prediction"), batches, progress))
    return workers.gathered(found)
