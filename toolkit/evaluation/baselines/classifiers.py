"""What every baseline returns."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.special import softmax

from toolkit.evaluation.baselines.linear import NEVER


class Classifier(Protocol):
    """A fitted baseline.

    Attributes:
        name: in words, for tables and verdicts.
        details: how it was fitted, JSON-serialisable. ``approximation`` and ``reason`` stand there where something else
            than the exact method was done.
    """

    name: str
    details: dict

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities.

        Args:
            features: (n, F) real numbers.

        Returns:
            (n, C) float64, rows sum to one.
        """


def softmax_of_all(scores: np.ndarray, classes: np.ndarray, num_classes: int) -> np.ndarray:
    """Probabilities (n, C) from the scores (n, K) of the K classes that have rows; the others get 0.

    Example:
        >>> softmax_of_all(np.zeros((1, 2)), np.array([0, 2]), 3).tolist()
        [[0.5, 0.0, 0.5]]
    """
    every = np.full((len(scores), num_classes), NEVER)
    every[:, classes] = scores
    return softmax(every, axis=1)
