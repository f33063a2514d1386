r"""Logistic regression with its strength of regularisation chosen by cross-validation.

.. math:: \min_{W, b} \tfrac12 \lVert W \rVert^2 + C \sum_i -\log \mathrm{softmax}(x_i W + b)_{y_i}

on centred features that share about one scale, see ``reduction`` (``benchmarks/feature_scale.py`` compares it with a
scale for each; sparse ones, such as n-grams, are taken as they are). C walks up a grid from strong to weak
regularisation, each fit starting from the one before; the walk ends once the held-out log loss has risen twice in a
row. Where that was done on a sample, a smaller C may suit all rows better, and a tenth of them, held out, decides.
scikit-learn's L-BFGS does every fit. The scales are taken over all training rows, held-out ones included; they
know no labels.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from toolkit.evaluation.baselines.folds import of_a_sample
from toolkit.evaluation.baselines.linear import (NOTHING_TO_FIT, LinearClassifier, checked, constant, of_two_classes,
                                                spread)
from toolkit.evaluation.baselines.reduction import as_they_are, reduction
from toolkit.evaluation.baselines.threads import threads_for

NAME = "logistic regression"
GRID = tuple(10.0 ** (exponent / 2) for exponent in range(-8, 5))
NUM_FOLDS = 5
COARSE_GRID, FEW_FOLDS = GRID[::2], 3  # where the sample has more than MUCH numbers times classes
MUCH = 1e8
MANY_COLUMNS = 20_000  # likewise
FLOOR = 10.0  # of the variances, in units of their median
FIXED_C = 0.1  # where too few rows are left to choose it
MAX_ROWS_TO_CHOOSE, MAX_ROWS_TO_CONFIRM = 5000, 60_000
SMALLER = 2  # steps of the grid down from the C of a sample
CHOOSING_ITERATIONS = 200


def logistic_regression(features: np.ndarray, labels: np.ndarray, num_classes: int, *,
                        groups: np.ndarray | None = None, seed: int = 0,
                        max_iterations: int = 1000) -> LinearClassifier:
    """Fit multinomial logistic regression, C chosen by stratified cross-validated log loss on the given rows.

    Args:
        features: (n, F) real numbers, dense or sparse.
        labels: (n,) int in 0..C-1, n >= 1. A class without rows is never predicted.
        num_classes: C.
        groups: (n,) names; rows of one group are held out together.
        seed: of the folds, and of the sample that C is chosen on above 5,000 rows.
        max_iterations: of the final fit.

    Returns:
        a classifier; details: C, rows, folds, rows_to_choose, cross_validated_log_loss, cross_validated_accuracy (None
        where C is fixed), iterations, converged, notes.

    Raises:
        ValueError: if shapes do not fit, a label is out of range or a feature is not finite.

    Example:
        >>> classifier = logistic_regression(np.arange(20.0)[:, None], np.arange(20) // 10, 2)
        >>> classifier.probabilities(np.array([[0.0], [19.0]])).argmax(axis=1).tolist()
        [0, 1]
    """
    features, labels = checked(features, labels, num_classes)
    present = np.unique(labels)
    reduced = as_they_are(features) if sparse.issparse(features) else reduction(features, floor=FLOOR)
    if len(present) == 1 or not reduced.num_varying:
        return constant(NAME, features.shape[1], labels, num_classes, NOTHING_TO_FIT)
    model = Model(tolerance=1e-5, max_iterations=max_iterations)
    with threads_for(reduced.features.size * len(present)):
        strength, details = _choose(reduced.features, labels, groups, seed)
        kernel, bias = model.fit(reduced.features, labels, strength)
    if not model.converged:
        details["notes"].append(f"The fit stopped after {model.iterations} iterations, short of its optimum.")
    details = {"C": strength, "rows": len(labels), "iterations": model.iterations, "converged": model.converged,
               **details}
    return spread(NAME, *reduced.unfold(kernel, bias), present, num_classes, details)


class Model:
    """scikit-learn's fit, started from the one before, without warnings and with one column a class."""

    def __init__(self, *, tolerance: float, max_iterations: int) -> None:
        self.estimator = LogisticRegression(tol=tolerance, max_iter=max_iterations, warm_start=True)
        self.iterations, self.converged = 0, True

    def fit(self, features: np.ndarray, labels: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
        """Kernel (F, K) and bias (K,) for the K classes among the labels."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.estimator.set_params(C=strength).fit(features, labels)
        self.iterations = int(np.max(self.estimator.n_iter_))
        self.converged = self.iterations < self.estimator.max_iter
        kernel = self.estimator.coef_.T.astype(np.float64)
        bias = self.estimator.intercept_.astype(np.float64)
        return of_two_classes(kernel, bias) if len(self.estimator.classes_) == 2 else (kernel, bias)

    def held_out(self, features: np.ndarray, labels: np.ndarray) -> tuple[float, int, int]:
        """Sum of log losses over rows whose class was fitted, their number, and the number of hits."""
        probabilities = self.estimator.predict_proba(features)
        classes = self.estimator.classes_
        hits = int((classes[probabilities.argmax(axis=1)] == labels).sum())
        known = np.isin(labels, classes)
        own = probabilities[known, np.searchsorted(classes, labels[known])]
        return float(-np.log(np.maximum(own, 1e-15)).sum()), int(known.sum()), hits


def _choose(features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, seed: int) -> tuple[float, dict]:
    """C and how it was chosen."""
    columns, numbers_a_row = features.shape[1], features.size / features.shape[0]
    work = min(len(labels), MAX_ROWS_TO_CHOOSE) * numbers_a_row * len(np.unique(labels))
    grid, num_folds = (COARSE_GRID, FEW_FOLDS) if columns > MANY_COLUMNS or work > MUCH else (GRID, NUM_FOLDS)
    rows, numbers = of_a_sample(labels, groups, MAX_ROWS_TO_CHOOSE, num_folds=num_folds, seed=seed)
    if numbers is None:
        return FIXED_C, {"folds": 0, "rows_to_choose": 0, "cross_validated_log_loss": None,
                         "cross_validated_accuracy": None,
                         "notes": [f"C = {FIXED_C} is fixed: fewer than two classes have three rows (or groups)."]}
    splits = [(numbers != fold, numbers == fold) for fold in np.unique(numbers)]
    losses, accuracies = _walk(features[rows].astype(np.float32), labels[rows], splits, grid)
    best = int(np.argmin(losses))
    strength, notes = grid[best], []
    if len(rows) < len(labels):
        strength = _confirmed(features, labels, groups, seed, strength)
        notes.append(f"C was chosen on a stratified sample of {len(rows):,} of the {len(labels):,} rows, and among it "
                     f"and smaller ones on a tenth of them.")
    if strength in (grid[0], grid[-1]):
        notes.append(f"C is the {'smallest' if strength == grid[0] else 'largest'} of the grid.")
    return strength, {"folds": num_folds, "rows_to_choose": len(rows), "cross_validated_log_loss": losses[best],
                      "cross_validated_accuracy": accuracies[best], "notes": notes}


def _confirmed(features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, seed: int, strength: float
               ) -> float:
    """The best for many rows among the C that a sample of them has chosen and smaller ones."""
    rows, numbers = of_a_sample(labels, groups, MAX_ROWS_TO_CONFIRM, num_folds=10, seed=seed)
    held_out = numbers == numbers.max()  # of few groups, large ones come first
    fitted = np.unique(labels[rows][~held_out])
    if len(fitted) < 2 or not np.isin(labels[rows][held_out], fitted).any():
        return strength
    place = GRID.index(strength)
    grid = GRID[max(0, place - SMALLER):place + 1]
    losses, _ = _walk(features[rows].astype(np.float32), labels[rows], [(~held_out, held_out)], grid)
    return grid[int(np.argmin(losses))]


def _walk(features: np.ndarray, labels: np.ndarray, splits: list[tuple[np.ndarray, np.ndarray]],
          grid: tuple[float, ...]) -> tuple[list[float], list[float]]:
    """Held-out log loss and accuracy for each C of the grid, from the smallest until the loss has risen twice.

    The splits are pairs of (n,) bool, which rows are fitted and which are held out.
    """
    splits = [(np.flatnonzero(fitted), np.flatnonzero(held_out)) for fitted, held_out in splits
              if len(np.unique(labels[fitted])) > 1]
    models = [Model(tolerance=1e-4, max_iterations=CHOOSING_ITERATIONS) for _ in splits]
    parts = [(features[fitted], labels[fitted], features[out], labels[out]) for fitted, out in splits]
    losses, accuracies = [], []
    for strength in grid:
        sums = np.zeros(3)
        for model, (fit_features, fit_labels, out_features, out_labels) in zip(models, parts):
            model.fit(fit_features, fit_labels, strength)
            sums += model.held_out(out_features, out_labels)
        losses.append(float(sums[0] / sums[1]))
        accuracies.append(float(sums[2] / sum(len(part[3]) for part in parts)))
        if len(losses) > 2 and min(losses[-2:]) > min(losses):
            break
    return losses, accuracies
