"""A linear classifier as two arrays: what a Dense layer with softmax computes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.special import softmax

ROWS_AT_ONCE = 8192
NEVER = -1e4  # score of a class without training rows: finite, and zero after softmax


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """``softmax(features @ kernel + bias)``; any scaling of the features is folded into the two arrays.

    Attributes:
        name: in words, for tables and verdicts.
        kernel: (F, C) float64; F = 0: looks at no feature.
        bias: (C,) float64, finite.
        details: how it was fitted, JSON-serialisable.
    """

    name: str
    kernel: np.ndarray
    bias: np.ndarray
    details: dict = field(default_factory=dict)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities.

        Args:
            features: (n, F) real numbers.

        Returns:
            (n, C) float64, rows sum to one.
        """
        result = np.empty((len(features), len(self.bias)))
        for start in range(0, len(features), ROWS_AT_ONCE):
            part = np.asarray(features[start:start + ROWS_AT_ONCE, :len(self.kernel)], dtype=np.float64)
            result[start:start + ROWS_AT_ONCE] = softmax(part @ self.kernel + self.bias, axis=1)
        return result


def majority_class(labels: np.ndarray, num_classes: int) -> LinearClassifier:
    """Predict the most frequent class always, with the frequencies of the classes as probabilities.

    Args:
        labels: (n,) int in 0..C-1, n >= 1.
        num_classes: C.

    Example:
        >>> majority_class([0, 1, 1, 1], 2).probabilities(np.zeros((1, 7))).round(3).tolist()
        [[0.25, 0.75]]
    """
    return LinearClassifier("majority class", np.zeros((0, num_classes)), class_biases(labels, num_classes),
                            {"rows": len(labels)})


def class_biases(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """(C,) logarithms of the frequencies of the classes, ``NEVER`` for a class without rows."""
    counts = np.bincount(labels, minlength=num_classes)
    return np.where(counts > 0, np.log(np.maximum(counts, 1) / len(labels)), NEVER)


def checked(features: np.ndarray, labels: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Features as an array and labels as int64, or an error that says what is wrong with them."""
    features, labels = np.asarray(features), np.asarray(labels, dtype=np.int64)
    if features.ndim != 2 or not len(labels) or len(features) != len(labels):
        raise ValueError(f"Expected (n, F) features and n >= 1 labels, got features of shape {features.shape} and "
                         f"{len(labels)} labels.")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"Expected labels in 0..{num_classes - 1}, got {labels.min()}..{labels.max()}.")
    return features, labels
