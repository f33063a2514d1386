r"""Linear discriminant analysis with a shrunk covariance.

With class means :math:`m_c`, frequencies :math:`\pi_c` and the covariance S within classes of standardised features,

.. math:: \Sigma = (1 - \alpha) S + \alpha \frac{\operatorname{tr} S}{F} I, \qquad
          s_c(x) = x^\top \Sigma^{-1} m_c - \tfrac12 m_c^\top \Sigma^{-1} m_c + \log \pi_c .

For a given shrinkage :math:`\alpha` the probabilities softmax(s) equal those of scikit-learn's
``LinearDiscriminantAnalysis(solver="lsqr", shrinkage=alpha)`` on the same features; written out here because the
covariance is needed once, not once a class and a candidate, and because rotated features (see ``reduction``) keep F in
the target. The candidates for :math:`\alpha` are Ledoit and Wolf's estimate, from all residuals together, and a grid.

References:
    Ledoit, Wolf (2004), A well-conditioned estimator for large-dimensional covariance matrices.
    https://doi.org/10.1016/S0047-259X(03)00096-4
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.special import log_softmax

from toolkit.evaluation.baselines.folds import folds, sample
from toolkit.evaluation.baselines.linear import NEVER, LinearClassifier, checked
from toolkit.evaluation.baselines.reduction import reduction

NAME = "linear discriminant analysis"
GRID = (0.001, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.97)
NUM_FOLDS = 5
MAX_ROWS_TO_CHOOSE = 5000
ROWS_AT_ONCE = 8192


def linear_discriminant_analysis(features: np.ndarray, labels: np.ndarray, num_classes: int, *,
                                 groups: np.ndarray | None = None, seed: int = 0,
                                 shrinkage: float | None = None) -> LinearClassifier:
    """Fit LDA, its shrinkage chosen by stratified cross-validated log loss on the given rows.

    Args:
        features: (n, F) real numbers.
        labels: (n,) int in 0..C-1, n >= 1. A class without rows is never predicted.
        num_classes: C.
        groups: (n,) names; rows of one group are held out together.
        seed: of the folds, and of the sample that the shrinkage is chosen on above 5,000 rows.
        shrinkage: in (0, 1]; None: chosen.

    Returns:
        a classifier; details: shrinkage, shrinkage_rule ("cross-validation", "Ledoit-Wolf" or "given"), rows, folds,
        rows_to_choose, cross_validated_log_loss, cross_validated_accuracy (None where not chosen), notes.

    Raises:
        ValueError: if shapes do not fit, a label or the shrinkage is out of range or a feature is not finite.

    Example:
        >>> classifier = linear_discriminant_analysis(np.arange(20.0)[:, None], np.arange(20) // 10, 2)
        >>> classifier.probabilities(np.array([[0.0], [19.0]])).argmax(axis=1).tolist()
        [0, 1]
    """
    features, labels = checked(features, labels, num_classes)
    if shrinkage is not None and not 0 < shrinkage <= 1:
        raise ValueError(f"Expected a shrinkage above 0 and at most 1, got {shrinkage}.")
    reduced = reduction(features)
    moments = _moments(reduced.features, labels, reduced.num_varying)
    if shrinkage is None:
        shrinkage, details = _choose(reduced.features, labels, groups, seed, moments)
    else:
        details = {"shrinkage_rule": "given", **NOT_CHOSEN, "notes": []}
    if moments.target == 0:
        details["notes"].append("The classes show no spread around their means: Euclidean distances of standardised "
                                "features are used.")
    kernel, bias = reduced.unfold(*_solve(moments, shrinkage))
    full_kernel, full_bias = np.zeros((len(kernel), num_classes)), np.full(num_classes, NEVER)
    full_kernel[:, moments.classes], full_bias[moments.classes] = kernel, bias
    return LinearClassifier(NAME, full_kernel, full_bias, {"shrinkage": shrinkage, "rows": len(labels), **details})


NOT_CHOSEN = {"folds": 0, "rows_to_choose": 0, "cross_validated_log_loss": None, "cross_validated_accuracy": None}


@dataclass(frozen=True, eq=False)
class _Moments:
    """Classes (K,), their means (K, r) and log frequencies (K,), covariance (r, r) within them, its shrinkage target
    (the mean variance over all F features) and Ledoit and Wolf's shrinkage."""

    classes: np.ndarray
    means: np.ndarray
    log_priors: np.ndarray
    covariance: np.ndarray
    target: float
    ledoit_wolf: float


def _moments(features: np.ndarray, labels: np.ndarray, num_features: int) -> _Moments:
    classes, numbers = np.unique(labels, return_inverse=True)
    counts = np.bincount(numbers)
    means = np.stack([features[numbers == number].mean(axis=0, dtype=np.float64) for number in range(len(classes))])
    scatter, fourth = np.zeros((features.shape[1], features.shape[1])), 0.0
    for start in range(0, len(labels), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        residuals = features[part] - means[numbers[part]]
        scatter += residuals.T @ residuals
        fourth += float(((residuals ** 2).sum(axis=1) ** 2).sum())
    covariance = scatter / len(labels)
    target = float(np.trace(covariance)) / max(num_features, 1)
    distance = float((covariance ** 2).sum()) - num_features * target ** 2  # to the target, times F
    noise = (fourth / len(labels) - float((covariance ** 2).sum())) / len(labels)
    ledoit_wolf = min(1.0, noise / distance) if distance > 0 else 1.0
    return _Moments(classes, means, np.log(counts / len(labels)), covariance, target, max(ledoit_wolf, 1e-6))


def _solve(moments: _Moments, shrinkage: float) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (r, K) and bias (K,) of the scores."""
    shrunk = (1 - shrinkage) * moments.covariance
    shrunk.flat[::len(shrunk) + 1] += shrinkage * moments.target if moments.target > 0 else 1.0
    kernel = linalg.solve(shrunk, moments.means.T, assume_a="pos")
    return kernel, moments.log_priors - 0.5 * (moments.means * kernel.T).sum(axis=1)


def _choose(features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, seed: int,
            moments: _Moments) -> tuple[float, dict]:
    """Shrinkage and how it was chosen."""
    rows = sample(labels, MAX_ROWS_TO_CHOOSE, seed)
    numbers = folds(labels[rows], groups=None if groups is None else np.asarray(groups)[rows], num_folds=NUM_FOLDS,
                    seed=seed)
    if numbers is None:
        note = "The shrinkage is Ledoit and Wolf's: fewer than two classes have three rows (or groups)."
        return moments.ledoit_wolf, {"shrinkage_rule": "Ledoit-Wolf", **NOT_CHOSEN, "notes": [note]}
    candidates = np.array(sorted({moments.ledoit_wolf, *GRID}))
    sums = np.zeros((len(candidates), 3))
    num_features = round(np.trace(moments.covariance) / moments.target) if moments.target > 0 else features.shape[1]
    for fold in np.unique(numbers):
        fitted, held_out = rows[numbers != fold], rows[numbers == fold]
        part = _moments(features[fitted], labels[fitted], num_features)
        sums += [_held_out(*_solve(part, float(candidate)), part.classes, features[held_out], labels[held_out])
                 for candidate in candidates]
    losses = sums[:, 0] / sums[:, 1]
    best = int(np.argmin(losses))
    chosen = float(candidates[best])
    notes = [f"The shrinkage was chosen on a stratified sample of {len(rows):,} of the {len(labels):,} rows."]
    return chosen, {"shrinkage_rule": "Ledoit-Wolf" if chosen == moments.ledoit_wolf else "cross-validation",
                    "folds": NUM_FOLDS, "rows_to_choose": len(rows), "cross_validated_log_loss": float(losses[best]),
                    "cross_validated_accuracy": float(sums[best, 2] / len(rows)),
                    "notes": notes if len(rows) < len(labels) else []}


def _held_out(kernel: np.ndarray, bias: np.ndarray, classes: np.ndarray, features: np.ndarray,
              labels: np.ndarray) -> tuple[float, int, int]:
    """Sum of log losses over rows whose class was fitted, their number, and the number of hits."""
    log_probabilities = log_softmax(features @ kernel + bias, axis=1)
    known = np.isin(labels, classes)
    own = log_probabilities[known, np.searchsorted(classes, labels[known])]
    hits = int((classes[log_probabilities.argmax(axis=1)] == labels).sum())
    return float(-own.sum()), int(known.sum()), hits
