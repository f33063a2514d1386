r"""Linear heads on cached features, fitted on hard or soft labels.

Features are standardised and rotated to their leading principal directions, on labelled and unlabelled rows together:
the pool shows in which directions images differ long before labels do. The discriminant with soft targets t and weights
w has a closed form,

.. math:: \mu_c = \frac{\sum_i w_i t_{ic} x_i}{\sum_i w_i t_{ic}}, \qquad
          \Sigma = \frac{1}{\sum_i w_i} \sum_{ic} w_i t_{ic} (x_i - \mu_c)(x_i - \mu_c)^\top, \qquad
          W_c = \Sigma_s^{-1} \mu_c, \quad b_c = \log \pi_c - \tfrac12 \mu_c^\top \Sigma_s^{-1} \mu_c

with :math:`\Sigma_s = (1 - s) \Sigma + s \, \mathrm{tr}(\Sigma) / F \cdot I`, so that a round of self-training takes a
few hundredths of a second.

References:
    Hastie, Tibshirani, Friedman (2009), The elements of statistical learning, section 4.3.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

from toolkit.evaluation.baselines import LinearClassifier
from toolkit.evaluation.baselines.linear import NEVER
from toolkit.evaluation.baselines.reduction import Reduction, moments
from toolkit.semisupervised import soft_labels

MAX_DIMENSIONS = 512
SMALLEST = 1e-12


def space(features: np.ndarray, *, max_dimensions: int = MAX_DIMENSIONS) -> Reduction:
    """The leading principal directions of standardised features, scaled to a mean squared length of one.

    Args:
        features: (n, F) real numbers, of labelled and unlabelled rows.
        max_dimensions: of what remains.

    Returns:
        a ``Reduction``: features (n, r) float32, r <= min(n, F, max_dimensions), and the way back.

    Raises:
        ValueError: if a feature is not finite.
    """
    found = moments(features)
    standardised = ((features - found.mean) / found.scale).astype(np.float32)
    squares, vectors = linalg.eigh(standardised.T.astype(np.float64) @ standardised)
    kept = np.flatnonzero(squares > max(squares[-1], SMALLEST) * 1e-9)[::-1][:min(max_dimensions, len(features))]
    basis = vectors[:, kept]
    length = np.sqrt(squares[kept].sum() / len(features)) or 1.0
    reduced = Reduction(standardised, int(np.isfinite(found.scale).sum()), found.mean, found.scale * length, basis)
    return Reduction(projected(reduced, features), reduced.num_varying, reduced.mean, reduced.scale, basis)


def projected(reduced: Reduction, features: np.ndarray) -> np.ndarray:
    """Other rows (..., F) in the same space, (..., r) float32."""
    standardised = (features - reduced.mean.astype(np.float32)) / reduced.scale.astype(np.float32)
    return standardised @ reduced.basis.astype(np.float32)


def discriminant(values: np.ndarray, targets: np.ndarray, weights: np.ndarray, prior: np.ndarray, *,
                 shrinkage: float) -> LinearClassifier:
    """The linear discriminant of softly labelled rows.

    Args:
        values: (n, r) float32, from ``space``.
        targets: (n, C) rows sum to one.
        weights: (n,) not negative.
        prior: (C,) shares of the classes.
        shrinkage: s in (0, 1].

    Returns:
        a classifier of values; a class without weight is never predicted.

    Example:
        >>> values = np.array([[-1.0], [-0.8], [0.9], [1.1]], np.float32)
        >>> head = discriminant(values, np.eye(2)[[0, 0, 1, 1]], np.ones(4), np.full(2, 0.5), shrinkage=0.1)
        >>> head.probabilities(values).argmax(axis=1).tolist()
        [0, 0, 1, 1]
    """
    shares = (targets * weights[:, None]).astype(values.dtype)
    mass = shares.sum(axis=0, dtype=np.float64)
    present = mass > SMALLEST
    means = (shares.T @ values).astype(np.float64)[present] / mass[present, None]
    weighted = (values * weights[:, None].astype(values.dtype)).T @ values
    scatter = (weighted - (means * mass[present, None]).T @ means) / mass.sum()
    level = max(float(np.trace(scatter)) / len(scatter), SMALLEST)
    scatter = (1 - shrinkage) * scatter + shrinkage * level * np.eye(len(scatter))
    kernel = np.zeros((values.shape[1], targets.shape[1]))
    kernel[:, present] = linalg.solve(scatter, means.T, assume_a="pos")
    bias = np.full(targets.shape[1], NEVER)
    bias[present] = np.log(np.maximum(prior[present], SMALLEST)) - 0.5 * (means.T * kernel[:, present]).sum(axis=0)
    return LinearClassifier("linear discriminant", kernel, bias)


def logistic(values: np.ndarray, targets: np.ndarray, weights: np.ndarray, *, strength: float) -> LinearClassifier:
    """Logistic regression of softly labelled rows, as ``soft_labels.fit``, but on values that are scaled already.

    Args:
        values: (n, r) float32, from ``space``.
        targets: (n, C) rows sum to one.
        weights: (n,) not negative.
        strength: the larger the less is regularised.

    Returns:
        a classifier of values.
    """
    width = values.shape[1]
    plain = Reduction(values, width, np.zeros(width), np.ones(width), None)
    return soft_labels.fit(plain, targets, weights, strength=strength)
