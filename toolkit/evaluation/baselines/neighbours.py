r"""k-nearest neighbours by Euclidean distance.

With the weights :math:`w_i` of the k neighbours (all one, or one over the distance; scaled to sum to k) and the class
frequencies :math:`\pi`,

.. math:: p_c = \frac{\pi_c + \sum_i w_i [y_i = c]}{1 + k} ,

so that one neighbour never makes a class certain. k, the weights and the scale of the features are chosen on held-out
training rows. The search is scikit-learn's exact one, in blocks of bounded memory.

References:
    Cover, Hart (1967), Nearest neighbor pattern classification. https://doi.org/10.1109/TIT.1967.1053964
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from sklearn.neighbors import NearestNeighbors

from toolkit.evaluation.baselines import choosing
from toolkit.evaluation.baselines.linear import NOTHING_TO_FIT, LinearClassifier, checked, constant
from toolkit.evaluation.baselines.reduction import moments
from toolkit.evaluation.baselines.scales import ONE, WAYS, Scale, scale
from toolkit.evaluation.baselines.threads import threads_for

NAME = "nearest neighbours"
GRID = (1, 3, 5, 7, 9, 15, 25, 51)
WEIGHTS = ("equal", "by distance")
ROWS_AT_ONCE = 2048
FIXED = (1, "equal", ONE)


@dataclass(frozen=True, eq=False)
class NeighbourClassifier:
    """The training rows and how to ask them.

    Attributes:
        name: in words.
        details: how k, weights and scale were chosen.
        scale: of the features.
        search: fitted to the scaled training rows.
        labels: (n,) of these rows.
        frequencies: (C,) of the classes.
        count: k.
        weights: one of ``WEIGHTS``.
    """

    name: str
    details: dict
    scale: Scale
    search: NearestNeighbors
    labels: np.ndarray
    frequencies: np.ndarray
    count: int
    weights: str

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities.

        Args:
            features: (n, F) real numbers.

        Returns:
            (n, C) float64, rows sum to one.
        """
        features = np.asarray(features)
        result = np.empty((len(features), len(self.frequencies)))
        for part, distances, labels in _searched(self.search, self.scale, features, self.labels, self.count):
            result[part] = _shares(distances, labels, self.frequencies, self.count, self.weights)
        return result


def nearest_neighbours(features: np.ndarray, labels: np.ndarray, num_classes: int, *,
                       groups: np.ndarray | None = None, seed: int = 0) -> NeighbourClassifier | LinearClassifier:
    """Keep the rows; choose k, weights and scale by held-out accuracy, equal ones by log loss.

    Args:
        features: (n, F) real numbers.
        labels: (n,) int in 0..C-1, n >= 1. A class without rows is never predicted.
        num_classes: C.
        groups: (n,) names; rows of one group are held out together.
        seed: of the folds.

    Returns:
        a classifier; details: k, weights, scale, rows, folds, rows_to_choose, cross_validated_log_loss,
        cross_validated_accuracy (None where nothing is chosen), notes.

    Raises:
        ValueError: if shapes do not fit, a label is out of range or a feature is not finite.

    Example:
        >>> classifier = nearest_neighbours(np.arange(20.0)[:, None], np.arange(20) // 10, 2)
        >>> classifier.probabilities(np.array([[0.0], [19.0]])).argmax(axis=1).tolist()
        [0, 1]
    """
    features, labels = checked(features, labels, num_classes)
    if (labels == labels[0]).all() or not moments(features).varies.any():
        return constant(NAME, features.shape[1], labels, num_classes, NOTHING_TO_FIT)
    frequencies = np.bincount(labels, minlength=num_classes) / len(labels)
    (count, weights, way), details = _chosen(features, labels, frequencies, groups, seed)
    known = scale(features, way)
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(known(features))
    details = {"k": count, "weights": weights, "scale": way, "rows": len(labels), **details}
    return NeighbourClassifier(NAME, details, known, search, labels, frequencies, count, weights)


def _chosen(features: np.ndarray, labels: np.ndarray, frequencies: np.ndarray, groups: np.ndarray | None,
            seed: int) -> tuple[tuple[int, str, str], dict]:
    """k, weights and scale, and how they were chosen."""
    held_out = choosing.on_all_rows(labels, groups, seed)
    if held_out is None:
        return FIXED, choosing.nothing()
    least = min(len(fitted) for fitted, _ in held_out.pairs)
    counts = [count for count in GRID if count <= least]
    trials = []
    for way in WAYS:
        near = _held_out_neighbours(features, labels, held_out, scale(features, way), max(counts))
        for count, weights in product(counts, WEIGHTS):
            shares = _shares(*near, frequencies, count, weights)
            trials.append(choosing.trial((count, weights, way), np.log(np.maximum(shares, 1e-300)),
                                         labels[held_out.rows], calibrate=False))
    found = choosing.best((), lambda candidate: candidate, *trials)
    return found.candidate, found.details(held_out)


def _held_out_neighbours(features: np.ndarray, labels: np.ndarray, held_out: choosing.HeldOut, known: Scale,
                         count: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and labels (h, k) of the nearest fitted rows."""
    distances, near = np.empty((len(held_out.rows), count)), np.empty((len(held_out.rows), count), dtype=np.int64)
    start = 0
    for fitted, out in held_out.pairs:
        search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(known(features[fitted]))
        for part, part_distances, part_labels in _searched(search, known, features[out], labels[fitted], count):
            rows = slice(start + part.start, start + part.start + len(part_labels))
            distances[rows], near[rows] = part_distances, part_labels
        start += len(out)
    return distances, near


def _searched(search: NearestNeighbors, known: Scale, features: np.ndarray, labels: np.ndarray,
              count: int) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Block by block: its rows, the distances (m, k) of their neighbours, nearest first, and these rows' labels."""
    for start in range(0, len(features), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        scaled = known(features[part])
        with threads_for(len(scaled) * scaled.shape[1] * len(labels)):
            distances, rows = search.kneighbors(scaled, count)
        yield part, distances, labels[rows]


def _shares(distances: np.ndarray, labels: np.ndarray, frequencies: np.ndarray, count: int,
            weights: str) -> np.ndarray:
    """Probabilities (m, C) from the first k neighbours."""
    distances, labels = distances[:, :count], labels[:, :count]
    if weights == "equal":
        votes = np.ones(distances.shape)
    else:
        farthest = distances[:, -1:]
        votes = 1 / (distances + 1e-6 * np.where(farthest > 0, farthest, 1))
        votes *= count / votes.sum(axis=1, keepdims=True)
    result = np.tile(frequencies, (len(labels), 1))
    np.add.at(result, (np.arange(len(labels))[:, None], labels), votes)
    return result / (1 + count)
