"""Self-training in rounds in pixel space: the network labels the pool at the beginning of each part of its training.

What it says then holds for the part: targets, which rows are learnt, and in which round each was first, all of which
checkpoints hold.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from scipy.special import softmax

from toolkit.semisupervised import class_shares, pixel_models
from toolkit.semisupervised.selection import balanced, most_confident, share_of_round


class Rounds(pixel_models.PoolModel):
    """``L = CE(y, p) + lambda mean(1[j in T(r)] CE(q_j, p(strong_j)))``: q and T(r) stay as they are for a round."""

    asked = ()

    def __init__(self, classifier: keras.Model, *, full_weight: float, **facts: Any) -> None:
        super().__init__(classifier, **facts)
        self.full_weight = full_weight
        self.targets = self.remembered("targets", np.zeros((self.num_unlabelled, self.num_classes), np.float32))
        self.taken = self.remembered("taken", np.zeros(self.num_unlabelled, np.float32))
        self.first = self.remembered("first", np.zeros(self.num_unlabelled, np.int32))
        self.least = self.remembered("least", np.full(self.num_classes, 2, np.float32))

    def take(self, number: int, probabilities: np.ndarray, shares: np.ndarray, taken: np.ndarray, *, soft: bool
             ) -> None:
        """Begins a round.

        Args:
            number: of the round, from 1.
            probabilities: (p, C) by the network.
            shares: (p, C), these balanced.
            taken: (p,) bool, which rows are learnt.
            soft: whether they are taught shares, not classes.
        """
        labels, first = shares.argmax(axis=1), self.first.numpy()
        sure = np.where(taken, probabilities[np.arange(len(labels)), labels], 2)
        self.least.assign([sure[labels == one].min(initial=2) for one in range(self.num_classes)])
        self.targets.assign(shares if soft else np.eye(self.num_classes)[labels])
        self.taken.assign(taken.astype(np.float32))
        self.first.assign(np.where(taken & (first == 0), number, first))

    def pseudo_labels(self, logits: np.ndarray, rows: np.ndarray | None, labelled: np.ndarray, labels: np.ndarray
                      ) -> tuple[np.ndarray, np.ndarray]:
        """What the last round taught of rows of the pool; of others, those that are as sure as one of their class that
        it took."""
        found = logits.argmax(axis=1)
        if rows is None:
            return found, (softmax(logits, axis=1).max(axis=1) >= self.least.numpy()[found]).astype(float)
        targets = self.targets.numpy()[rows]
        return np.where(targets.any(axis=1), targets.argmax(axis=1), found), self.taken.numpy()[rows]

    def rounds(self, weights: np.ndarray) -> np.ndarray:
        """The first round that took each row that the last one did."""
        return np.where(self.taken.numpy() > 0, self.first.numpy(), 0)

    @property
    def waits(self) -> bool:
        """Whether the first round is still to come."""
        return not self.targets.numpy().any()

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
                     training: bool = True) -> Any:
        """The loss of a batch."""
        rows = pixel_models.flat(x["rows"])
        targets, weights = (ops.take(ops.convert_to_tensor(values), rows, axis=0) for values in
                            (self.targets, self.taken))
        self.note(targets, weights)
        return self.on_labels(y, y_pred["labelled"], sample_weight) + self.handed_over(
            self.full_weight * self.cross_entropy(targets, y_pred["strong"], weights), y_pred["strong"], rows)


class Relabel(keras.callbacks.Callback):
    """At the beginning of a round, labels the pool and says which rows are learnt. A network without a head to begin
    with is given its first round on labels alone."""

    def __init__(self, start: pixel_models.Start, *, targets: str) -> None:
        super().__init__()
        self.start, self.soft = start, targets == "soft"

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Does so, unless the round was begun before the run was stopped."""
        number = epoch if self.start.from_scratch else epoch + 1
        if int(self.model.optimizer.iterations.numpy()) % self.start.steps_per_epoch or not number:
            return
        probabilities, prior = self.start.pool_probabilities(self.model), self.start.prior
        if class_shares.differ(probabilities.argmax(axis=1), prior):
            prior = class_shares.of_labels(probabilities.argmax(axis=1), len(prior))
        shares = balanced(probabilities, prior)
        taken = most_confident(shares, share_of_round(number, self.start.epochs), prior)
        self.model.take(number, probabilities, shares, taken, soft=self.soft)
