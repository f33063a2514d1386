r"""Radial basis functions and a linear classifier on top of them; with landmarks, an approximation of kernel machines.

.. math:: z_r(x) = \exp(-\gamma \lVert x - c_r \rVert^2), \qquad s(x) = b + z(x) W

with k-means centres :math:`c_r` and W from ridge least squares (see ``least_squares``); the number of centres is fixed,
:math:`\gamma`, the penalty and the scale of the features are chosen on held-out training rows. The centres know no
labels and are those of all training rows. Where the centres are landmarks, a random sample of the rows, and the penalty
is :math:`\operatorname{tr} W^\top K W` with their kernel matrix K, this is Nystroem's approximation of a kernel machine
with squared loss.

References:
    Broomhead, Lowe (1988), Multivariable functional interpolation and adaptive networks. Complex Systems 2.
    LeCun, Bottou, Bengio, Haffner (1998), Gradient-based learning applied to document recognition, section III.C.2:
    1,000 centres, 3.6 % on MNIST. https://doi.org/10.1109/5.726791
    Williams, Seeger (2001), Using the Nystroem method to speed up kernel machines. NIPS 13.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

from toolkit.evaluation.baselines import choosing, least_squares
from toolkit.evaluation.baselines.classifiers import softmax_of_all
from toolkit.evaluation.baselines.linear import NOTHING_TO_FIT, LinearClassifier, checked, constant
from toolkit.evaluation.baselines.reduction import moments
from toolkit.evaluation.baselines.scales import ONE, WAYS, Scale, scale
from toolkit.evaluation.baselines.threads import threads_for

NAME = "radial basis functions"
NUM_CENTRES = 1000
NUM_FOLDS = 3
WIDTHS = (0.25, 0.5, 1.0, 2.0)
STRENGTHS = (1e-6, 1e-4, 1e-2, 1.0)
UNTRIED = choosing.Trial(1e-2, 0.0, 0.0, 0.3)  # penalty and temperature where too few rows are left to choose them
ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Bumps:
    """Gaussian bumps around centres.

    Attributes:
        centres: (R, F) float32, scaled.
        gamma: one over twice the squared width.
    """

    centres: np.ndarray
    gamma: float

    def __call__(self, scaled: np.ndarray) -> np.ndarray:
        """Activations in [0, 1], (n, R), from scaled features (n, F)."""
        products = scaled @ self.centres.T
        squares = (scaled ** 2).sum(axis=1)[:, None] + (self.centres ** 2).sum(axis=1)
        products *= -2
        products += squares
        np.maximum(products, 0, out=products)
        products *= -self.gamma
        return np.exp(products, out=products)


@dataclass(frozen=True, eq=False)
class RadialClassifier:
    """Bumps and a linear classifier on them.

    Attributes:
        name: in words.
        details: how it was fitted.
        scale: of the features.
        bumps: R of them.
        kernel: (R, K) float64.
        bias: (K,) float64.
        classes: (K,) those that have rows.
        num_classes: C.
        temperature: of the softmax.
    """

    name: str
    details: dict
    scale: Scale
    bumps: Bumps
    kernel: np.ndarray
    bias: np.ndarray
    classes: np.ndarray
    num_classes: int
    temperature: float

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities.

        Args:
            features: (n, F) real numbers.

        Returns:
            (n, C) float64, rows sum to one.
        """
        features = np.asarray(features)
        result = np.empty((len(features), self.num_classes))
        for start in range(0, len(features), ROWS_AT_ONCE):
            part = self.scale(features[start:start + ROWS_AT_ONCE])
            scores = self.bumps(part).astype(np.float64) @ self.kernel + self.bias
            result[start:start + ROWS_AT_ONCE] = softmax_of_all(scores / self.temperature, self.classes,
                                                                self.num_classes)
        return result


def radial_basis_functions(features: np.ndarray, labels: np.ndarray, num_classes: int, *,
                           groups: np.ndarray | None = None, seed: int = 0,
                           num_centres: int = NUM_CENTRES) -> RadialClassifier | LinearClassifier:
    """Fit k-means centres, then ridge least squares on their bumps.

    Args:
        features: (n, F) real numbers.
        labels: (n,) int in 0..C-1, n >= 1. A class without rows is never predicted.
        num_classes: C.
        groups: (n,) names; rows of one group are held out together.
        seed: of centres and folds.
        num_centres: R; with fewer distinct rows, these are the centres.

    Returns:
        a classifier; details: centres, gamma, penalty, scale, rows, temperature, calibration, folds, rows_to_choose,
        cross_validated_log_loss, cross_validated_accuracy (None where nothing is chosen), notes.

    Raises:
        ValueError: if shapes do not fit, a label is out of range or a feature is not finite.

    Example:
        >>> classifier = radial_basis_functions(np.arange(20.0)[:, None], np.arange(20) // 10, 2)
        >>> classifier.probabilities(np.array([[0.0], [19.0]])).argmax(axis=1).tolist()
        [0, 1]
    """
    features, labels = checked(features, labels, num_classes)
    if (labels == labels[0]).all() or not moments(features).varies.any():
        return constant(NAME, features.shape[1], labels, num_classes, NOTHING_TO_FIT)
    fits = []
    with threads_for(features.size * min(num_centres, len(features))):
        held_out = choosing.on_all_rows(labels, groups, seed, num_folds=NUM_FOLDS)
        for way in WAYS if held_out else (ONE,):
            known = scale(features, way)
            scaled = known(features)
            fits.append(least_squares_on_bumps(
                NAME, known, scaled, labels, num_classes, centres=_centres(scaled, num_centres, seed), widths=WIDTHS,
                held_out=held_out, details={"scale": way}))
    return min(fits, key=lambda fit: fit[0])[1]


def least_squares_on_bumps(name: str, known: Scale, scaled: np.ndarray, labels: np.ndarray, num_classes: int, *,
                           centres: np.ndarray, widths: tuple[float, ...], held_out: choosing.HeldOut | None,
                           details: dict, smooth: bool = False) -> tuple[tuple[float, float], RadialClassifier]:
    """Choose width and penalty, and fit all rows with them.

    Args:
        name: in words.
        known: scale of the features.
        scaled: (n, F) the features in it.
        labels: (n,) int in 0..C-1.
        num_classes: C.
        centres: (R, F), scaled.
        widths: candidates for gamma; the middle one where nothing can be chosen.
        held_out: from ``choosing.on_all_rows``.
        details: what the report should say besides.
        smooth: penalise by the kernel matrix of the centres, not each weight alone.

    Returns:
        the rank of the fit, the smaller the better, and the fit.
    """
    classes, numbers = np.unique(labels, return_inverse=True)
    found = None
    for gamma in widths if held_out else (widths[len(widths) // 2],):
        bumps = Bumps(centres, gamma)
        penalty = bumps(centres).astype(np.float64) if smooth else np.eye(len(centres))
        parts, total = _sums(bumps, scaled, numbers, held_out)
        trials = _trials(bumps, parts, total, penalty, scaled, numbers, held_out) if held_out else [UNTRIED]
        trial = choosing.best((), lambda candidate: candidate, *trials)
        if found is None or trial.rank < found[0].rank:
            found = trial, bumps, least_squares.solve(total, penalty, trial.candidate)
    trial, bumps, (kernel, bias) = found
    details = {"centres": len(centres), "gamma": bumps.gamma, "penalty": trial.candidate, **details,
               "rows": len(labels), "temperature": trial.temperature,
               "calibration": choosing.CALIBRATION if held_out else choosing.UNCALIBRATED,
               **(trial.details(held_out) if held_out else choosing.nothing())}
    return trial.rank, RadialClassifier(name, details, known, bumps, kernel, bias, classes, num_classes,
                                        trial.temperature)


def _sums(bumps: Bumps, scaled: np.ndarray, numbers: np.ndarray, held_out: choosing.HeldOut | None
          ) -> tuple[list[least_squares.Sums], least_squares.Sums]:
    """Sums over each held-out part, and over all rows. Every row is looked at once, so that differences are exact."""
    parts = [rows for _, rows in held_out.pairs] if held_out else []
    others = np.delete(np.arange(len(numbers)), np.concatenate([np.empty(0, np.int64), *parts]))
    known = [least_squares.sums(bumps, scaled[rows], numbers[rows], int(numbers.max()) + 1)
             for rows in (*parts, others) if len(rows)]
    return known[:len(parts)], reduce(add, known)


def _trials(bumps: Bumps, parts: list[least_squares.Sums], total: least_squares.Sums, penalty: np.ndarray,
            scaled: np.ndarray, numbers: np.ndarray, held_out: choosing.HeldOut) -> list[choosing.Trial[float]]:
    """One for each strength of the penalty."""
    activations = [bumps(scaled[out]).astype(np.float64) for _, out in held_out.pairs]

    def judge(strength: float) -> choosing.Trial[float]:
        scores = []
        for part, values in zip(parts, activations):
            rest = total - part
            kernel, bias = least_squares.solve(rest, penalty, strength)
            scores.append(np.where(rest.frequencies > 0, values @ kernel + bias, -np.inf))
        return choosing.trial(strength, np.concatenate(scores), numbers[held_out.rows])

    return [judge(strength) for strength in STRENGTHS]


def _centres(scaled: np.ndarray, count: int, seed: int) -> np.ndarray:
    """k-means centres (R, F); the distinct rows themselves where they are fewer."""
    distinct = np.unique(scaled, axis=0) if len(scaled) <= count else scaled
    if len(distinct) <= count:
        return distinct
    means = MiniBatchKMeans(count, random_state=seed, n_init=1, batch_size=4096, max_iter=20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than centres
        return means.fit(scaled).cluster_centers_
