r"""Linear support vector machine, one machine a class against the rest.

.. math:: \min_{w, b} \tfrac12 (\lVert w \rVert^2 + b^2) + C \sum_i \max(0, 1 - y_i (x_i w + b))^2

on standardised features (see ``reduction``). C walks up a grid from strong to weak regularisation, on a stratified
sample, each fit starting from the one before; the walk ends once the held-out accuracy has fallen twice in a row.

The minimum is that of scikit-learn's ``LinearSVC(dual=False)``. It is written out here, for SciPy's L-BFGS and all
classes at once, because liblinear takes one class after the other without a start and without matrix products.

References:
    Fan, Chang, Hsieh, Wang, Lin (2008), LIBLINEAR: a library for large linear classification.
    https://www.jmlr.org/papers/v9/fan08a.html
"""

from __future__ import annotations

import numpy as np
from scipy import optimize

from toolkit.evaluation.baselines import choosing
from toolkit.evaluation.baselines.linear import (NOTHING_TO_FIT, LinearClassifier, checked, constant, of_two_classes,
                                                spread)
from toolkit.evaluation.baselines.reduction import reduction
from toolkit.evaluation.baselines.threads import threads_for

NAME = "linear SVM"
GRID = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
NUM_FOLDS = 3
MUCH = 2e8  # numbers of the sample times classes: above it nothing is chosen
FIXED_C = 0.01  # where too few rows are left to choose it, or it would be too much work
UNTRIED_TEMPERATURE = 0.5
CHOOSING_ITERATIONS = 200
TOO_MUCH = "C is fixed: to choose it among so many features and classes is too much work."


def linear_support_vectors(features: np.ndarray, labels: np.ndarray, num_classes: int, *,
                           groups: np.ndarray | None = None, seed: int = 0,
                           max_iterations: int = 1000) -> LinearClassifier:
    """Fit the machines, C chosen by cross-validated accuracy, equal ones by log loss.

    Args:
        features: (n, F) real numbers.
        labels: (n,) int in 0..C-1, n >= 1. A class without rows is never predicted.
        num_classes: C.
        groups: (n,) names; rows of one group are held out together.
        seed: of sample and folds.
        max_iterations: of the final fit.

    Returns:
        a classifier; details: C, rows, iterations, converged, temperature, calibration, folds, rows_to_choose,
        cross_validated_log_loss, cross_validated_accuracy (None where C is fixed), notes.

    Raises:
        ValueError: if shapes do not fit, a label is out of range or a feature is not finite.

    Example:
        >>> classifier = linear_support_vectors(np.arange(20.0)[:, None], np.arange(20) // 10, 2)
        >>> classifier.probabilities(np.array([[0.0], [19.0]])).argmax(axis=1).tolist()
        [0, 1]
    """
    features, labels = checked(features, labels, num_classes)
    classes, numbers = np.unique(labels, return_inverse=True)
    reduced = reduction(features)
    if len(classes) == 1 or not reduced.num_varying:
        return constant(NAME, features.shape[1], labels, num_classes, NOTHING_TO_FIT)
    machines = _Machines(tolerance=1e-5, max_iterations=max_iterations)
    with threads_for(reduced.features.size * len(classes)):
        trial, chosen = _chosen(reduced.features, numbers, groups, seed)
        kernel, bias = machines.fit(reduced.features, numbers, trial.candidate)
    if not machines.converged:
        chosen["notes"].append(f"The fit stopped after {machines.iterations} iterations, short of its optimum.")
    details = {"C": trial.candidate, "rows": len(labels), "iterations": machines.iterations,
               "converged": machines.converged, "temperature": trial.temperature, **chosen}
    kernel, bias = reduced.unfold(kernel / trial.temperature, bias / trial.temperature)
    return spread(NAME, kernel, bias, classes, num_classes, details)


class _Machines:
    """A fit that starts from the one before."""

    def __init__(self, *, tolerance: float, max_iterations: int) -> None:
        self.tolerance, self.max_iterations = tolerance, max_iterations
        self.start: np.ndarray | None = None
        self.iterations, self.converged = 0, True

    def fit(self, features: np.ndarray, numbers: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
        """Kernel (F, K) and bias (K,) for the K classes among the numbers."""
        classes = np.unique(numbers)
        positives = classes[1:] if len(classes) == 2 else classes  # two classes are one machine
        sides = np.where(numbers[:, None] == positives, 1, -1).astype(features.dtype)
        shape = (features.shape[1] + 1, len(positives))
        start = np.zeros(shape) if self.start is None else self.start
        result = optimize.minimize(_loss, start.ravel(), args=(features, sides, strength), jac=True, method="L-BFGS-B",
                                   options={"maxiter": self.max_iterations, "gtol": self.tolerance, "ftol": 1e-10})
        self.start = result.x.reshape(shape)
        self.iterations, self.converged = int(result.nit), result.nit < self.max_iterations
        kernel, bias = self.start[:-1], self.start[-1]
        return of_two_classes(kernel, bias) if len(classes) == 2 else (kernel, bias)


def _loss(flat: np.ndarray, features: np.ndarray, sides: np.ndarray, strength: float) -> tuple[float, np.ndarray]:
    """The objective over C n, and its gradient."""
    weights = flat.reshape(-1, sides.shape[1])
    narrow = weights.astype(features.dtype)
    missing = np.maximum(0, 1 - sides * (features @ narrow[:-1] + narrow[-1]))
    gradient = np.empty_like(weights)
    pull = sides * missing
    gradient[:-1], gradient[-1] = features.T @ pull, pull.sum(axis=0, dtype=np.float64)
    ridge = 1 / (strength * len(features))
    loss = ridge * (weights ** 2).sum() / 2 + (missing ** 2).sum(dtype=np.float64) / len(features)
    return float(loss), (ridge * weights - 2 / len(features) * gradient).ravel()


def _chosen(features: np.ndarray, numbers: np.ndarray, groups: np.ndarray | None, seed: int
            ) -> tuple[choosing.Trial[float], dict]:
    """C with its temperature, and how they were chosen."""
    held_out = choosing.on_a_sample(numbers, groups, seed, num_folds=NUM_FOLDS)
    num_classes = int(numbers.max()) + 1
    much = held_out is not None and len(held_out.rows) * features.shape[1] * num_classes > MUCH
    if held_out is None or much:
        return (choosing.Trial(FIXED_C, 0.0, 0.0, UNTRIED_TEMPERATURE),
                {"calibration": choosing.UNCALIBRATED, **choosing.nothing(*[TOO_MUCH] * much)})
    machines = [_Machines(tolerance=1e-4, max_iterations=CHOOSING_ITERATIONS) for _ in held_out.pairs]
    parts = [features[fitted] for fitted, _ in held_out.pairs]
    trials: list[choosing.Trial[float]] = []
    for strength in GRID:
        fits = zip(machines, parts)

        def fit(fitted: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            machine, part = next(fits)
            kernel, bias = machine.fit(part, numbers[fitted], strength)
            return np.unique(numbers[fitted]), features[out] @ kernel + bias

        trials.append(choosing.trial(strength, held_out.scores(fit, num_classes), numbers[held_out.rows]))
        if len(trials) > 2 and max(one.accuracy for one in trials[-2:]) < max(one.accuracy for one in trials):
            break
    found = min(trials, key=lambda one: one.rank)
    return found, {"calibration": choosing.CALIBRATION, **found.details(held_out)}
