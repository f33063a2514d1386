r"""Ridge regression on one-hot labels, its penalty chosen by leaving each row out, in closed form.

With standardised features of Gram matrix :math:`K = U \Lambda U^\top`, centred one-hot labels Y and
:math:`A = (K + \lambda I)^{-1}`, the fit without row i misses it by

.. math:: e_i = \frac{(A Y)_i}{A_{ii}} ,

so that all penalties cost one eigendecomposition. The penalty with the smallest squared error is taken; its left-out
scores :math:`y_i - e_i` give the temperature. Made for features that are many more than the rows, such as MiniRocket's.

References:
    Hastie, Tibshirani, Friedman (2009), The elements of statistical learning, section 7.10.
    https://hastie.su.domains/ElemStatLearn/
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

from toolkit.evaluation.baselines.choosing import CALIBRATION, DOUBT, LEAST_TEMPERATURE, TOO_FEW, UNCALIBRATED
from toolkit.evaluation.baselines.folds import sample
from toolkit.evaluation.baselines.linear import NOTHING_TO_FIT, LinearClassifier, checked, constant, spread
from toolkit.evaluation.baselines.reduction import moments
from toolkit.evaluation.baselines.temperatures import temperature
from toolkit.evaluation.baselines.threads import threads_for

NAME = "ridge regression"
GRID = tuple(10.0 ** (exponent / 3) for exponent in range(-9, 10, 2))
MAX_ROWS = 6000
FEWEST = 3  # rows of a class, so that it is still there with one of them left out


def ridge_regression(features: np.ndarray, labels: np.ndarray, num_classes: int, *, groups: np.ndarray | None = None,
                     seed: int = 0) -> LinearClassifier:
    """Fit it, the penalty chosen.

    Args:
        features: (n, F) real numbers.
        labels: (n,) int in 0..C-1, n >= 1. A class without rows is never predicted.
        num_classes: C.
        groups: are not looked at: single rows are left out.
        seed: of the sample that tables of more than 6,000 rows are cut to.

    Returns:
        a classifier; details: penalty (per feature), rows, temperature, calibration, cross_validated_accuracy (None
        where nothing is chosen), notes; approximation and reason where rows were left out.

    Example:
        >>> classifier = ridge_regression(np.arange(20.0)[:, None], np.arange(20) // 10, 2)
        >>> classifier.probabilities(np.array([[0.0], [19.0]])).argmax(axis=1).tolist()
        [0, 1]
    """
    features, labels = checked(features, labels, num_classes)
    rows = sample(labels, MAX_ROWS, seed)
    about = {} if len(rows) == len(labels) else {
        "approximation": f"fitted on a stratified sample of {len(rows):,} of the {len(labels):,} rows",
        "reason": "the method's time grows with the cube of the rows"}
    values, labels = np.asarray(features[rows], np.float64), labels[rows]
    found = moments(values)
    mean, deviation = found.mean, np.sqrt(found.variance * found.varies.sum())
    present, numbers = np.unique(labels, return_inverse=True)
    if len(present) == 1 or not found.varies.any():
        return constant(NAME, values.shape[1], labels, num_classes, NOTHING_TO_FIT)
    scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=found.varies)
    values = (values - mean) * scale
    targets = np.eye(len(present))[numbers]
    with threads_for(len(values) ** 2 * values.shape[1]):
        weights, choice = _fitted(values @ values.T, targets, numbers)
        kernel = scale[:, None] * (values.T @ weights)
    bias = targets.mean(axis=0) - mean @ kernel
    details = {"rows": len(labels), **choice, **about}
    return spread(NAME, kernel / choice["temperature"], bias / choice["temperature"], present, num_classes, details)


def _fitted(gram: np.ndarray, targets: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, dict]:
    """Weights (n, K) of the rows, and how the penalty was chosen."""
    eigenvalues, vectors = linalg.eigh(gram)
    eigenvalues = np.maximum(eigenvalues, 0)
    centred = targets - targets.mean(axis=0)
    rotated = vectors.T @ centred
    trials = []
    for penalty in GRID:
        shrunk = 1 / (eigenvalues + penalty)
        inverse = (vectors ** 2) @ shrunk - 1 / (penalty * len(gram))  # without the constant, which is not penalised
        weights = vectors @ (shrunk[:, None] * rotated)
        errors = weights / np.maximum(inverse, 1e-12)[:, None]
        trials.append((float((errors ** 2).mean()), penalty, weights, targets - errors))
    _, penalty, weights, scores = min(trials, key=lambda one: one[0])
    if np.bincount(numbers).min() < FEWEST:
        return weights, {"penalty": penalty, "temperature": 1.0, "calibration": UNCALIBRATED,
                         "cross_validated_accuracy": None, "notes": [TOO_FEW]}
    _, found = temperature(scores, numbers, least=LEAST_TEMPERATURE, doubt=DOUBT)
    return weights, {"penalty": penalty, "temperature": found, "calibration": CALIBRATION,
                     "cross_validated_accuracy": float((scores.argmax(axis=1) == numbers).mean()), "notes": []}
