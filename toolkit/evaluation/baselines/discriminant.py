r"""Linear discriminant analysis with a shrunk covariance and calibrated scores.

With class means :math:`m_c`, frequencies :math:`\pi_c` and the covariance S within classes of standardised features,

.. math:: \Sigma = (1 - \alpha) S + \alpha \frac{\operatorname{tr} S}{F} I, \qquad
          s_c(x) = x^\top \Sigma^{-1} m_c - \tfrac12 m_c^\top \Sigma^{-1} m_c + \log \pi_c, \qquad
          p(x) = \mathrm{softmax}(s(x) / T) .

The shrinkage :math:`\alpha` (Ledoit and Wolf's estimate or one of a grid) and the temperature T are chosen together by
held-out log loss. With many features LDA is too sure of everything; T changes no prediction.

For a given shrinkage T is 1 and the probabilities equal those of scikit-learn's
``LinearDiscriminantAnalysis(solver="lsqr", shrinkage=alpha)`` on the same features. It is written out here because the
covariance is needed once, not once a class and a candidate, and because rotated features (see ``reduction``) keep F in
the target.

References:
    Ledoit, Wolf (2004), A well-conditioned estimator for large-dimensional covariance matrices.
    https://doi.org/10.1016/S0047-259X(03)00096-4
    Guo, Pleiss, Sun, Weinberger (2017), On calibration of modern neural networks. https://arxiv.org/abs/1706.04599
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from toolkit.evaluation.baselines.folds import of_a_sample
from toolkit.evaluation.baselines.linear import NOTHING_TO_FIT, LinearClassifier, checked, constant, spread
from toolkit.evaluation.baselines.reduction import reduction
from toolkit.evaluation.baselines.temperatures import temperature
from toolkit.evaluation.baselines.threads import threads_for

NAME = "linear discriminant analysis"
GRID = (0.001, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.97)
NUM_FOLDS = 5
MAX_ROWS_TO_CHOOSE = 5000
ROWS_AT_ONCE = 8192
NOT_CHOSEN = {"folds": 0, "rows_to_choose": 0, "cross_validated_log_loss": None, "cross_validated_accuracy": None}


def linear_discriminant_analysis(features: np.ndarray, labels: np.ndarray, num_classes: int, *,
                                 groups: np.ndarray | None = None, seed: int = 0,
                                 shrinkage: float | None = None) -> LinearClassifier:
    """Fit LDA, shrinkage and temperature chosen by stratified cross-validated log loss on the given rows.

    Args:
        features: (n, F) real numbers.
        labels: (n,) int in 0..C-1, n >= 1. A class without rows is never predicted.
        num_classes: C.
        groups: (n,) names; rows of one group are held out together.
        seed: of the folds, and of the sample that the shrinkage is chosen on above 5,000 rows.
        shrinkage: in (0, 1], with temperature 1; None: both chosen.

    Returns:
        a classifier; details: shrinkage, shrinkage_rule ("cross-validation", "Ledoit-Wolf", "full", "given"), rows,
        temperature, folds, rows_to_choose, cross_validated_log_loss and _accuracy (None where not chosen), notes.

    Raises:
        ValueError: if shapes do not fit, a label or the shrinkage is out of range or a feature is not finite.

    Example:
        >>> classifier = linear_discriminant_analysis(np.arange(6.0)[:, None], np.arange(6) // 3, 2)
        >>> classifier.probabilities([[0.0], [5.0]]).argmax(axis=1).tolist()
        [0, 1]
    """
    features, labels = checked(features, labels, num_classes)
    if shrinkage is not None and not 0 < shrinkage <= 1:
        raise ValueError(f"Expected a shrinkage above 0 and at most 1, got {shrinkage}.")
    reduced = reduction(features)
    if (labels == labels[0]).all() or not reduced.num_varying:
        return constant(NAME, features.shape[1], labels, num_classes, NOTHING_TO_FIT)
    rows, columns = reduced.features.shape
    with threads_for(rows * columns ** 2):
        moments = _moments(reduced.features, labels, reduced.num_varying)
    with threads_for(columns ** 3):
        details = (_chosen(reduced.features, labels, groups, seed, moments) if shrinkage is None else
                   {"shrinkage": shrinkage, "shrinkage_rule": "given", "temperature": 1.0, **NOT_CHOSEN, "notes": []})
        kernel, bias = _solve(moments, details["shrinkage"])
    kernel, bias = reduced.unfold(kernel / details["temperature"], bias / details["temperature"])
    return spread(NAME, kernel, bias, moments.classes, num_classes, {"rows": rows, **details})


@dataclass(frozen=True, eq=False)
class _Moments:
    """What LDA needs to know of the rows.

    Attributes:
        classes: (K,) those that have rows.
        means: (K, r).
        log_priors: (K,).
        covariance: (r, r) within the classes.
        num_features: F, of which r dimensions are left after rotation.
        ledoit_wolf: the shrinkage that Ledoit and Wolf estimate, in (0, 1].
    """

    classes: np.ndarray
    means: np.ndarray
    log_priors: np.ndarray
    covariance: np.ndarray
    num_features: int
    ledoit_wolf: float

    @property
    def target(self) -> float:
        """Mean variance within the classes over all F features; 1 (the standardised one) where there is none."""
        return float(np.trace(self.covariance)) / max(self.num_features, 1) or 1.0


def _moments(features: np.ndarray, labels: np.ndarray, num_features: int) -> _Moments:
    classes, numbers = np.unique(labels, return_inverse=True)
    means = np.stack([features[numbers == number].mean(axis=0, dtype=np.float64) for number in range(len(classes))])
    scatter, fourth = np.zeros((features.shape[1], features.shape[1])), 0.0
    for start in range(0, len(labels), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        residuals = features[part] - means[numbers[part]]
        scatter += residuals.T @ residuals
        fourth += float(((residuals ** 2).sum(axis=1) ** 2).sum())
    covariance = scatter / len(labels)
    squares = float((covariance ** 2).sum())
    distance = squares - float(np.trace(covariance)) ** 2 / max(num_features, 1)  # F times that to the target
    noise = (fourth / len(labels) - squares) / len(labels)
    ledoit_wolf = min(1.0, max(noise / distance, 1e-6)) if distance > 0 else 1.0
    return _Moments(classes, means, np.log(np.bincount(numbers) / len(labels)), covariance, num_features, ledoit_wolf)


def _solve(moments: _Moments, shrinkage: float) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (r, K) and bias (K,) of the scores."""
    shrunk = (1 - shrinkage) * moments.covariance
    shrunk.flat[::len(shrunk) + 1] += shrinkage * moments.target
    kernel = linalg.solve(shrunk, moments.means.T, assume_a="pos")
    return kernel, moments.log_priors - 0.5 * (moments.means * kernel.T).sum(axis=1)


def _chosen(features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, seed: int, moments: _Moments) -> dict:
    """Shrinkage, temperature and how they were chosen."""
    rows, numbers = of_a_sample(labels, groups, MAX_ROWS_TO_CHOOSE, num_folds=NUM_FOLDS, seed=seed)
    if numbers is None:
        return {"shrinkage": 1.0, "shrinkage_rule": "full", "temperature": _guessed_temperature(features, moments),
                **NOT_CHOSEN, "notes": ["Fewer than two classes have three rows (or groups): the nearest class mean in "
                                        "standardised features decides, and the temperature is a guess."]}
    candidates = sorted({moments.ledoit_wolf, *GRID})
    scores, known = _held_out_scores(features[rows], labels[rows], numbers, moments, candidates)
    own = np.searchsorted(moments.classes, labels[rows])
    results = [temperature(candidate[known], own[known]) for candidate in scores]
    best = int(np.argmin([loss for loss, _ in results]))
    sampled = f"The shrinkage was chosen on a stratified sample of {len(rows):,} of the {len(labels):,} rows."
    return {"shrinkage": candidates[best],
            "shrinkage_rule": "Ledoit-Wolf" if candidates[best] == moments.ledoit_wolf else "cross-validation",
            "temperature": results[best][1], "folds": NUM_FOLDS, "rows_to_choose": len(rows),
            "cross_validated_log_loss": results[best][0],
            "cross_validated_accuracy": float((scores[best].argmax(axis=1) == own).mean()),
            "notes": [sampled] if len(rows) < len(labels) else []}


def _held_out_scores(features: np.ndarray, labels: np.ndarray, numbers: np.ndarray, moments: _Moments,
                     candidates: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Scores (candidates, n, K) of each row by the fit without its fold, and (n,) whether that fit knew its class."""
    scores = np.full((len(candidates), len(labels), len(moments.classes)), -np.inf, dtype=np.float32)
    known = np.zeros(len(labels), dtype=bool)
    for fold in np.unique(numbers):
        fitted, held_out = numbers != fold, np.flatnonzero(numbers == fold)
        part = _moments(features[fitted], labels[fitted], moments.num_features)
        columns = np.searchsorted(moments.classes, part.classes)
        known[held_out] = np.isin(labels[held_out], part.classes)
        for number, candidate in enumerate(candidates):
            kernel, bias = _solve(part, candidate)
            scores[number, held_out[:, None], columns] = features[held_out] @ kernel + bias
    return scores, known


def _guessed_temperature(features: np.ndarray, moments: _Moments) -> float:
    """F features that vary together weigh as much as tr(A)^2 / tr(A A) independent ones, A their covariance.

    Where classes have two rows, the spread around their means is seen too small as well, by (n - K) / n.
    """
    gram = features @ features.T if len(features) < features.shape[1] else features.T @ features
    dependence = moments.num_features * float((gram ** 2).sum()) / float(np.trace(gram)) ** 2
    freedom = len(features) - len(moments.classes)
    return max(1.0, dependence * (len(features) / freedom if freedom else 1.0))
