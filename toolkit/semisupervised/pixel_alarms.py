"""Alarms while a network is trained on pixels: what goes wrong is said when it does, and kept in the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from toolkit import inputs
from toolkit.models.backbones import Preprocessing
from toolkit.semisupervised import audit, pixel_models
from toolkit.tables import Table
from toolkit.training import loop
from toolkit.training.progress import say

QUIET = 0.2  # of the steps, before which no alarm is raised
MANY_LABELS = 500  # labelled rows that a rule is shown at the end of an epoch


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Validation rows, which stand in for rows of the pool whose labels are known.

    Attributes:
        images: dataset of them as they are.
        labels: (h,) int.
        known: dataset of labelled training rows, whose confidence some rules look at.
        known_labels: (n,) int.
    """

    images: tf.data.Dataset
    labels: np.ndarray
    known: tf.data.Dataset
    known_labels: np.ndarray

    @classmethod
    def of(cls, table: Table, preprocessing: Preprocessing, batch_size: int) -> HeldOut | None:
        """Those of a table; None without validation rows.

        Args:
            table: of images.
            preprocessing: of the backbone.
            batch_size: images a step.
        """
        hidden, train = table.labelled("validation"), table.labelled("train")
        some = train[::max(1, len(train) // MANY_LABELS)]
        if not len(hidden):
            return None
        images, known = (inputs.evaluation_batches(table, rows, preprocessing=preprocessing, batch_size=batch_size)
                         for rows in (hidden, some))
        return cls(images, table.labels[hidden], known, table.labels[some])

    def taught(self, model: pixel_models.PoolModel) -> dict[str, int]:
        """How many rows the model would teach as it is (validation_used), how many of these rightly (validation_right),
        and how many it takes for what they are, used or not (validation_named)."""
        logits, known = (loop.predict(model, images) for images in (self.images, self.known))
        found, weights = model.pseudo_labels(logits, None, known, self.known_labels)
        used, right = weights >= 0.5, found == self.labels
        return {"validation_used": int(used.sum()), "validation_right": int(right[used].sum()),
                "validation_named": int(right.sum())}


def precisions(history: Sequence[Mapping[str, Any]], count: int) -> list[dict[str, Any]]:
    """What ``audit.audit`` is given as its history: coverage, precision and count of each epoch that has them.

    Args:
        history: dicts with coverage and validation_named, as ``Alarms`` leaves them.
        count: validation rows.

    Example:
        >>> precisions([{"loss": 1.0}, {"coverage": 0.5, "validation_named": 9}], 10)
        [{'coverage': 0.5, 'precision': 0.9, 'count': 10}]
    """
    return [{"coverage": row["coverage"], "precision": row["validation_named"] / count, "count": count}
            for row in history if "validation_named" in row]


class Alarms(keras.callbacks.Callback):
    """Says at the end of an epoch, once each: next to no pseudo-label is used, one class takes them all, their
    precision falls.

    Args:
        shares: (C,) of the classes among the labels.
        class_names: C names.
        seen: rows of the pool that the moving average stands for.
        held_out: rows whose pseudo-labels can be checked; what became of them joins the history. None: there are none.
    """

    def __init__(self, shares: np.ndarray, class_names: tuple[str, ...], seen: int, held_out: HeldOut | None = None
                 ) -> None:
        super().__init__()
        self.shares, self.class_names, self.seen, self.held_out = shares, class_names, seen, held_out
        self.raised: list[str] = []
        self.history: list[dict[str, Any]] = []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Looks at the moving average of the pseudo-labels, and at those of the rows that are held out."""
        logs = {} if logs is None else logs
        if self.held_out is not None:
            logs.update(self.held_out.taught(self.model))
            self.history.append(dict(logs))
        if int(self.model.optimizer.iterations.numpy()) < QUIET * self.model.total_steps or self.model.waits:
            return
        mass = self.model.class_mass.numpy()
        number = audit.swallowing(np.round(mass * self.seen).astype(int), self.shares)
        if mass.sum() < audit.LEAST_COVERAGE:
            self._raise("mask rate", f"Mask rate near zero: {100 * mass.sum():.2g} % of the unlabelled rows are used. "
                                     "A rule that adapts its threshold uses more (fix-match --rule adamatch or "
                                     "freematch); or train for more steps.")
        if number is not None:
            self._raise("one class", f"One class swallows the pseudo-labels: {100 * mass[number] / mass.sum():.3g} % "
                                     f"of those used are of the class '{self.class_names[number]}'. Align them with "
                                     "the classes' shares (fix-match --rule adamatch), or label more rows of the "
                                     "others.")
        if self.held_out is not None and (words := audit.falling(precisions(self.history, len(self.held_out.labels)))):
            self._raise("confirmation bias", words)

    def _raise(self, kind: str, words: str) -> None:
        if kind not in self.raised:
            self.raised.append(kind)
            say(f"Alarm: {words}")
