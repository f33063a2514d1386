r"""Logistic regression on binary n-grams, each weighted by its naive Bayes log-count ratio.

With :math:`p_j` the number of texts of a class that hold the n-gram j, plus one, and :math:`q_j` that of the others,

.. math:: r_j = \log \frac{p_j / \sum_k p_k}{q_j / \sum_k q_k}, \qquad
          s(x) = b + \sum_j w_j r_j x_j, \qquad p(x) = \mathrm{softmax}(s(x) / T),

the weights fitted by logistic regression, of two classes once, of more each against the rest. C and the temperature T
are chosen by cross-validation. An n-gram that says much of the classes needs a small weight only, and so is
regularised least.

References:
    Wang, Manning (2012), Baselines and bigrams: simple, good sentiment and topic classification.
    https://aclanthology.org/P12-2018
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from toolkit.evaluation.baselines import choosing
from toolkit.evaluation.baselines.linear import (NOTHING_TO_FIT, LinearClassifier, checked, constant, of_two_classes,
                                                spread)
from toolkit.evaluation.baselines.logistic import Model
from toolkit.evaluation.baselines.threads import threads_for

NAME = "naive Bayes logistic regression"
GRID = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
FIXED_C = 0.3  # where too few rows are left to choose it
NUM_FOLDS = 3
MAX_ITERATIONS = 100
ROWS_TO_CHOOSE = {True: choosing.MAX_ROWS_TO_CHOOSE, False: 2000}  # of two classes, of more


def naive_bayes_logistic_regression(features: sparse.csr_matrix, labels: np.ndarray, num_classes: int, *,
                                    groups: np.ndarray | None = None, seed: int = 0) -> LinearClassifier:
    """Fit it, C chosen by held-out accuracy.

    Args:
        features: (n, F) zeros and ones, such as ``ngrams.binary_words`` gives.
        labels: (n,) int in 0..C-1, n >= 1. A class without rows is never predicted.
        num_classes: C.
        groups: (n,) names; rows of one group are held out together.
        seed: of the folds.

    Returns:
        a classifier; details: C, rows, temperature, folds, rows_to_choose, cross_validated_log_loss and _accuracy (None
        where nothing is chosen), notes.

    Example:
        >>> features = sparse.csr_matrix(np.eye(2)[[0, 0, 0, 1, 1, 1]])
        >>> classifier = naive_bayes_logistic_regression(features, np.array([0, 0, 0, 1, 1, 1]), 2)
        >>> classifier.probabilities(features[[0, 5]]).argmax(axis=1).tolist()
        [0, 1]
    """
    features, labels = checked(features, labels, num_classes)
    features = sparse.csr_matrix(features, dtype=np.float64)
    present = np.unique(labels)
    if len(present) == 1 or not features.nnz:
        return constant(NAME, features.shape[1], labels, num_classes, NOTHING_TO_FIT)
    strength, temperature, details = FIXED_C, 1.0, choosing.nothing()
    held_out = choosing.on_a_sample(labels, groups, seed, size=ROWS_TO_CHOOSE[len(present) == 2], num_folds=NUM_FOLDS)
    with threads_for(features.nnz):
        if held_out is not None:
            found = choosing.best(GRID, lambda candidate: _judged(features, labels, num_classes, held_out, candidate))
            strength, temperature, details = found.candidate, found.temperature, found.details(held_out)
        kernel, bias = _fitted(features, labels, strength)
    return spread(NAME, kernel / temperature, bias / temperature, present, num_classes,
                  {"C": strength, "rows": len(labels), "temperature": temperature, **details})


def _judged(features: sparse.csr_matrix, labels: np.ndarray, num_classes: int, held_out: choosing.HeldOut,
            strength: float) -> choosing.Trial[float]:
    """What a strength reaches on held-out rows."""

    def fit(fitted: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        kernel, bias = _fitted(features[fitted], labels[fitted], strength)
        return np.unique(labels[fitted]), features[out] @ kernel + bias

    return choosing.trial(strength, held_out.scores(fit, num_classes), labels[held_out.rows])


def _fitted(features: sparse.csr_matrix, labels: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (F, K) and bias (K,) of the scores of the K classes that have rows."""
    present = np.unique(labels)
    columns = [_against_the_rest(features, labels == one, strength)
               for one in (present[1:] if len(present) == 2 else present)]
    kernel, bias = (np.stack(parts, axis=-1) for parts in zip(*columns))
    return of_two_classes(kernel, bias) if len(present) == 2 else (kernel, bias)


def _against_the_rest(features: sparse.csr_matrix, is_own: np.ndarray, strength: float) -> tuple[np.ndarray, float]:
    """Weights (F,) and bias of the log odds of a class."""
    counts = [1 + np.asarray(features[rows].sum(axis=0)).ravel() for rows in (is_own, ~is_own)]
    ratio = np.log(counts[0] / counts[0].sum()) - np.log(counts[1] / counts[1].sum())
    model = Model(tolerance=1e-3, max_iterations=MAX_ITERATIONS)
    kernel, bias = model.fit(features @ sparse.diags_array(ratio), is_own, strength)
    return (kernel[:, 1] - kernel[:, 0]) * ratio, bias[1] - bias[0]
