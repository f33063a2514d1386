r"""Logistic regression on soft labels with weights: the inductive classifier of pseudo-labelled rows.

.. math:: \min_{W, b} \sum_i w_i \Bigl(-\sum_c t_{ic} \log \mathrm{softmax}(x_i W + b)_c\Bigr)
          + \frac{1}{2 C} \lVert W \rVert^2

on standardised features x, with targets t that sum to one and weights w. With one-hot targets and weights of one this
is ``evaluation.baselines.logistic_regression`` at its C. All rows are standardised together, so that fits that differ
in targets and weights alone, as those of cross-fitting do, share the features.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize
from scipy.special import logsumexp

from toolkit.evaluation.baselines import LinearClassifier
from toolkit.evaluation.baselines.reduction import Reduction
from toolkit.evaluation.baselines.threads import threads_for

NAME = "logistic regression on soft labels"
TOLERANCE = 1e-6


def fit(reduced: Reduction, targets: np.ndarray, weights: np.ndarray, *, strength: float,
        max_iterations: int = 200) -> LinearClassifier:
    """Fits the classifier.

    Args:
        reduced: of the (n, F) features.
        targets: (n, C) in [0, 1], rows sum to one.
        weights: (n,) not negative; a row of weight 0 has no say.
        strength: C, the larger the less is regularised.
        max_iterations: of L-BFGS.

    Returns:
        a classifier of raw features; details: C, rows, weight, iterations, converged.

    Example:
        >>> from toolkit.evaluation.baselines.reduction import reduction
        >>> features = np.arange(20.0)[:, None]
        >>> head = fit(reduction(features), np.eye(2)[np.arange(20) // 10], np.ones(20), strength=1.0)
        >>> head.probabilities(np.array([[0.0], [19.0]])).argmax(axis=1).tolist()
        [0, 1]
    """
    rows = np.flatnonzero(weights > 0)
    values, goals = reduced.features[rows], targets[rows].astype(reduced.features.dtype)
    own = weights[rows].astype(values.dtype)[:, None]
    scale = 1 / float(own.sum())  # a mean loss, so that one tolerance suits any number of rows
    shape = (values.shape[1], targets.shape[1])

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        kernel, bias = flat[:-shape[1]].reshape(shape), flat[-shape[1]:]
        scores = values @ kernel.astype(values.dtype) + bias.astype(values.dtype)
        logs = scores - logsumexp(scores, axis=1, keepdims=True)
        errors = own * (np.exp(logs) - goals)
        slope = (values.T @ errors).astype(np.float64) * scale + kernel * (scale / strength)
        total = -float((own * goals * logs).sum(dtype=np.float64)) * scale
        return (total + 0.5 * scale / strength * float((kernel**2).sum()),
                np.concatenate([slope.ravel(), errors.sum(axis=0, dtype=np.float64) * scale]))

    with threads_for(values.size * shape[1]):
        found = optimize.minimize(loss, np.zeros(shape[0] * shape[1] + shape[1]), jac=True, method="L-BFGS-B",
                                  options={"maxiter": max_iterations, "gtol": TOLERANCE, "ftol": 1e-9})
    kernel, bias = reduced.unfold(found.x[:-shape[1]].reshape(shape), found.x[-shape[1]:])
    return LinearClassifier(NAME, kernel, bias, {"C": strength, "rows": len(rows), "weight": float(own.sum()),
                                                 "iterations": int(found.nit), "converged": bool(found.success)})
