r"""Standardised features, rotated to fewer dimensions where that loses nothing.

Centred training features of n rows span at most n - 1 dimensions. The solution of a problem with a ridge penalty (or a
covariance shrunk towards the identity) lies in that span, so with n < F the features are first rotated into it by their
singular vectors :math:`V`; every fit then works on (n, r) instead of (n, F) numbers, r < n, and
:math:`V` takes its kernel back. This is exact, see Hastie and Tibshirani.

A feature that hardly varies in training is not blown up: the scale is :math:`\sqrt{(\sigma_j^2 + f m) / (1 + f)}`
with m the median variance of the features that vary at all. With a small floor f nearly every feature has its own
scale; with a large one all share one, as the numbers of a network do, and only those that vary far more than most are
held back. Constant features get no weight.

References:
    Hastie, Tibshirani (2004), Efficient quadratic regularization for expression arrays.
    https://doi.org/10.1093/biostatistics/5.3.329
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, sparse

from toolkit.evaluation.baselines.threads import threads_for

FLOOR = 0.1
ROWS_AT_ONCE = 8192


@dataclass(frozen=True, eq=False)
class Reduction:
    """Reduced training features and the way back.

    Attributes:
        features: (n, r) standardised, and rotated where n < F; sparse ones as they are.
        num_varying: number of the F features that vary.
        mean: (F,).
        scale: (F,), infinite where a feature is constant.
        basis: (F, r) orthonormal columns, or None where nothing was rotated and r = F.
    """

    features: np.ndarray
    num_varying: int
    mean: np.ndarray
    scale: np.ndarray
    basis: np.ndarray | None

    def unfold(self, kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Kernel (F, C) and bias (C,) on raw features, from kernel (r, C) and bias on reduced ones."""
        kernel = (kernel if self.basis is None else self.basis @ kernel) / self.scale[:, None]
        return kernel, bias - self.mean @ kernel


def as_they_are(features: sparse.csr_matrix) -> Reduction:
    """Sparse features, which centring would fill; their makers scale them.

    Args:
        features: (n, F).
    """
    width = features.shape[1]
    varying = len(np.unique(features.indices))
    return Reduction(features.astype(np.float64), varying, np.zeros(width), np.ones(width), None)


def reduction(features: np.ndarray, *, floor: float = FLOOR) -> Reduction:
    """Standardise features and, where there are fewer rows than features, rotate them into their span.

    Args:
        features: (n, F) real numbers.
        floor: f, in units of the median variance.

    Returns:
        a ``Reduction``, its features float64; float32 where n >= F and the input is not float64 (it may be large).

    Raises:
        ValueError: if a feature is not finite.
    """
    found = moments(features, floor=floor)
    mean, scale = found.mean, found.scale
    rows, columns = features.shape
    dtype = np.float64 if rows < columns or features.dtype == np.float64 else np.float32
    standardised = features.astype(dtype)
    standardised -= mean.astype(dtype)
    standardised /= scale.astype(dtype)
    num_varying = int(np.isfinite(scale).sum())
    if rows >= columns:
        return Reduction(standardised, num_varying, mean, scale, None)
    with threads_for(rows ** 2 * columns):
        squares, vectors = linalg.eigh(standardised @ standardised.T)
        kept = squares > max(squares[-1], 0) * rows * np.finfo(np.float64).eps
        lengths = np.sqrt(squares[kept])
        basis = standardised.T @ (vectors[:, kept] / lengths)
    return Reduction(vectors[:, kept] * lengths, num_varying, mean, scale, basis)


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and spread of each feature.

    Attributes:
        mean: (F,) float64.
        variance: (F,) float64.
        varies: (F,) bool.
        scale: (F,) float64, infinite where a feature is constant.
    """

    mean: np.ndarray
    variance: np.ndarray
    varies: np.ndarray
    scale: np.ndarray


def moments(features: np.ndarray, *, floor: float = FLOOR) -> Moments:
    """Mean and spread of each of the (n, F) features; ValueError where one is not finite."""
    mean = features.mean(axis=0, dtype=np.float64)
    if not np.isfinite(mean).all():
        raise ValueError(f"Feature {int(np.flatnonzero(~np.isfinite(mean))[0])} is not finite in every row.")
    variance = np.zeros(features.shape[1])
    for start in range(0, len(features), ROWS_AT_ONCE):
        variance += ((features[start:start + ROWS_AT_ONCE] - mean) ** 2).sum(axis=0)
    variance /= len(features)
    varies = np.sqrt(variance) > 1e-6 * np.abs(mean)
    if not varies.any():
        return Moments(mean, variance, varies, np.full(len(mean), np.inf))
    scale = np.sqrt((variance + floor * np.median(variance[varies])) / (1 + floor))
    return Moments(mean, variance, varies, np.where(varies, scale, np.inf))
