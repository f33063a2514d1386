"""A linear classifier as two arrays: what a Dense layer with softmax computes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import sparse
from scipy.special import softmax

ROWS_AT_ONCE = 8192
NEVER = -1e9  # score of a class without training rows: finite, and zero after softmax
NOTHING_TO_FIT = "All rows are of one class, or no feature varies: nothing to fit, only class frequencies are given."


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

    @property
    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Kernel and bias of the one layer."""
        return [(self.kernel, self.bias)]

    def softened(self, temperature: float) -> LinearClassifier:
        """The same, its scores divided by a temperature."""
        return replace(self, kernel=self.kernel / temperature, bias=self.bias / temperature)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities.

        Args:
            features: (n, F) real numbers, dense or sparse.

        Returns:
            (n, C) float64, rows sum to one.
        """
        features = features if sparse.issparse(features) else np.asarray(features)
        result = np.empty((features.shape[0], len(self.bias)))
        for start in range(0, len(result), ROWS_AT_ONCE):
            part = features[start:start + ROWS_AT_ONCE, :len(self.kernel)].astype(np.float64)
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
    return constant("majority class", 0, labels, num_classes)


def constant(name: str, num_features: int, labels: np.ndarray, num_classes: int, *notes: str) -> LinearClassifier:
    """A classifier that gives every row the frequencies of the classes."""
    counts = np.bincount(labels, minlength=num_classes)
    bias = np.where(counts > 0, np.log(np.maximum(counts, 1) / len(labels)), NEVER)
    return LinearClassifier(name, np.zeros((num_features, num_classes)), bias,
                            {"rows": len(labels), "notes": list(notes)})


def spread(name: str, kernel: np.ndarray, bias: np.ndarray, classes: np.ndarray, num_classes: int,
           details: dict) -> LinearClassifier:
    """A classifier of all C classes from kernel (F, K) and bias (K,) of the K that have rows."""
    full_kernel, full_bias = np.zeros((len(kernel), num_classes)), np.full(num_classes, NEVER)
    full_kernel[:, classes], full_bias[classes] = kernel, bias
    return LinearClassifier(name, full_kernel, full_bias, details)


def of_two_classes(kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two columns from the one (F, 1) and (1,) of the second class: softmax of (-s/2, s/2) is the sigmoid of s."""
    return np.concatenate([-kernel, kernel], axis=1) / 2, np.concatenate([-bias, bias]) / 2


def checked(features: np.ndarray, labels: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Features as an array, or sparse by rows, and labels as int64, or an error that says what is wrong with them."""
    features = features.tocsr() if sparse.issparse(features) else np.asarray(features)
    labels = np.asarray(labels, dtype=np.int64)
    if features.ndim != 2 or not len(labels) or features.shape[0] != len(labels):
        raise ValueError(f"Expected (n, F) features and n >= 1 labels, got features of shape {features.shape} and "
                         f"{len(labels)} labels.")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"Expected labels in 0..{num_classes - 1}, got {labels.min()}..{labels.max()}.")
    return features, labels
