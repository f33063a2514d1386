r"""Ridge least squares on functions of the features that are too many to keep for every row.

With activations :math:`z(x)` (R numbers a row), one-hot labels Y and their means,

.. math:: W = (Z^\top Z + \lambda P)^{-1} Z^\top Y, \qquad s(x) = \bar y + (z(x) - \bar z) W

needs only sums over rows, which add up over blocks and folds: the fit without a fold is the fit to all sums less those
of the fold. :math:`\lambda` is a share of the mean activation's variance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg

ROWS_AT_ONCE = 4096
LEAST = 1e-9  # of the penalty, so that the system can always be solved
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over rows.

    Attributes:
        count: number of rows.
        ones: (R,) of the activations.
        squares: (R, R).
        products: (R, K) of the activations with one-hot labels.
        frequencies: (K,) rows of each class.
    """

    count: int
    ones: np.ndarray
    squares: np.ndarray
    products: np.ndarray
    frequencies: np.ndarray

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, name) - getattr(other, name) for name in self.__dataclass_fields__))


def sums(activations: Callable[[np.ndarray], np.ndarray], features: np.ndarray, labels: np.ndarray, num_classes: int
         ) -> Sums:
    """Walk over the rows once.

    Args:
        activations: (m, F) features -> (m, R).
        features: (n, F).
        labels: (n,) int in 0..K-1.
        num_classes: K.
    """
    result = None
    for start in range(0, len(labels), ROWS_AT_ONCE):
        values = activations(features[start:start + ROWS_AT_ONCE]).astype(np.float64)
        classes = np.eye(num_classes)[labels[start:start + ROWS_AT_ONCE]]
        part = Sums(len(values), values.sum(axis=0), values.T @ values, values.T @ classes, classes.sum(axis=0))
        result = part if result is None else result + part
    return result


def solve(known: Sums, penalty: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (R, K) and bias (K,) of the scores.

    Args:
        known: sums over the rows to fit.
        penalty: P, (R, R) positive semidefinite.
        strength: share of the mean variance of an activation, >= 0.

    Example:
        >>> known = sums(lambda x: x, np.array([[0.0], [1.0], [2.0]]), np.array([0, 0, 1]), 2)
        >>> kernel, bias = solve(known, np.eye(1), 0)
        >>> (np.array([[2.0]]) @ kernel + bias).round(4).tolist()
        [[0.1667, 0.8333]]
    """
    mean, shares = known.ones / known.count, known.frequencies / known.count
    gram = known.squares - known.count * np.outer(mean, mean)
    size = float(np.trace(gram)) / len(gram)
    least = LEAST * size + ROUNDING * float(np.trace(known.squares)) / len(gram)
    gram += strength * size / (float(np.trace(penalty)) / len(penalty)) * penalty
    gram.flat[::len(gram) + 1] += least
    kernel = linalg.solve(gram, known.products - np.outer(known.ones, shares), assume_a="pos", overwrite_a=True)
    return kernel, shares - mean @ kernel
