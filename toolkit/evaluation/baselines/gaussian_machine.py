r"""Support vector machine with a Gaussian kernel, :math:`k(x, z) = \exp(-\gamma \lVert x - z \rVert^2)`.

scikit-learn's ``SVC`` (libsvm, one machine for each pair of classes) on all rows. Scale of the features,
:math:`\gamma` and C are chosen one after the other on a stratified sample of 5,000 rows; the share of these rows that
become support vectors tells how much work the whole table is. Above a limit a kernel machine with squared loss on 4,000
landmarks (see ``radial``) stands in, and the details say so.

References:
    Cortes, Vapnik (1995), Support-vector networks. https://doi.org/10.1007/BF00994018
    Chang, Lin (2011), LIBSVM: a library for support vector machines. https://doi.org/10.1145/1961189.1961199
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import SVC

from toolkit.evaluation.baselines import choosing, margins, radial
from toolkit.evaluation.baselines.classifiers import softmax_of_all
from toolkit.evaluation.baselines.folds import sample
from toolkit.evaluation.baselines.linear import NOTHING_TO_FIT, LinearClassifier, checked, constant
from toolkit.evaluation.baselines.reduction import moments
from toolkit.evaluation.baselines.scales import ONE, WAYS, Scale, scale
from toolkit.evaluation.baselines.threads import threads_for

NAME = "Gaussian SVM"
NUM_FOLDS = 3
GAMMAS = (0.25, 0.5, 1.5, 2.0, 4.0)  # beside 1
STRENGTHS = (0.1, 1.0, 100.0)  # beside 10
MAX_WORK = 3e12  # share of support vectors * rows^2 * features: some twenty minutes
MAX_ITERATIONS = 1_000_000
CACHE_MEGABYTES = 2000
MAX_ROWS_AT_ONCE = 8000  # 0.8 GB of kernel, in both precisions
NUM_LANDMARKS = 4000
NUMBERS_AT_ONCE = 2e7
UNTRIED_TEMPERATURE = 0.5


@dataclass(frozen=True)
class Setting:
    """What is chosen.

    Attributes:
        way: scale of the features.
        gamma: in that scale, where rows are 1.4 apart.
        strength: C.
    """

    way: str = ONE
    gamma: float = 1.0
    strength: float = 10.0


@dataclass(frozen=True, eq=False)
class MachineClassifier:
    """Support vectors and what their kernel with a row says about its class.

    Attributes:
        name: in words.
        details: how it was fitted.
        scale: of the features.
        machine: scikit-learn's.
        bumps: around the support vectors.
        num_classes: C.
        temperature: of the softmax over ``margins.scores``.
    """

    name: str
    details: dict
    scale: Scale
    machine: SVC
    bumps: radial.Bumps
    num_classes: int
    temperature: float

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities.

        Args:
            features: (n, F) real numbers.

        Returns:
            (n, C) float64, rows sum to one.
        """
        scores = _scores(self.machine, self.bumps, self.scale, np.asarray(features))
        return softmax_of_all(scores / self.temperature, self.machine.classes_, self.num_classes)


def gaussian_support_vectors(features: np.ndarray, labels: np.ndarray, num_classes: int, *,
                             groups: np.ndarray | None = None, seed: int = 0
                             ) -> MachineClassifier | radial.RadialClassifier | LinearClassifier:
    """Fit the machine, its settings chosen by cross-validated accuracy, equal ones by log loss.

    Args:
        features: (n, F) real numbers.
        labels: (n,) int in 0..C-1, n >= 1. A class without rows is never predicted.
        num_classes: C.
        groups: (n,) names; rows of one group are held out together.
        seed: of sample, folds and landmarks.

    Returns:
        a classifier; details: C, gamma (for the scaled features), scale, rows, support_vectors, converged, temperature,
        calibration, folds, rows_to_choose, cross_validated_log_loss, cross_validated_accuracy (None where nothing is
        chosen), notes; approximation and reason where it is not the exact machine.

    Raises:
        ValueError: if shapes do not fit, a label is out of range or a feature is not finite.

    Example:
        >>> classifier = gaussian_support_vectors(np.arange(20.0)[:, None], np.arange(20) // 10, 2)
        >>> classifier.probabilities(np.array([[0.0], [19.0]])).argmax(axis=1).tolist()
        [0, 1]
    """
    features, labels = checked(features, labels, num_classes)
    if (labels == labels[0]).all() or not moments(features).varies.any():
        return constant(NAME, features.shape[1], labels, num_classes, NOTHING_TO_FIT)
    held_out = choosing.on_a_sample(labels, groups, seed, num_folds=NUM_FOLDS)
    with threads_for(min(len(labels), choosing.MAX_ROWS_TO_CHOOSE) ** 2 * features.shape[1]):
        trial, share = (choosing.Trial(Setting(), 0.0, 0.0, UNTRIED_TEMPERATURE), 1.0) if held_out is None else \
            _chosen(features, labels, held_out)
    setting, known = trial.candidate, scale(features, trial.candidate.way)
    details = {"scale": setting.way, "rows": len(labels),
               **(choosing.nothing() if held_out is None else trial.details(held_out))}
    if share * len(labels) ** 2 * features.shape[1] > MAX_WORK:
        return _approximated(known, features, labels, num_classes, groups, seed, setting, details)
    scaled = known(features)
    machine = _fitted(setting, scaled, labels)
    details = {"C": setting.strength, "gamma": setting.gamma, **details, "support_vectors": int(len(machine.support_)),
               "converged": machine.fit_status_ == 0, "temperature": trial.temperature,
               "calibration": choosing.UNCALIBRATED if held_out is None else choosing.CALIBRATION}
    if not details["converged"]:
        details["notes"] = [*details["notes"], f"A pair of classes stopped after {MAX_ITERATIONS:,} iterations."]
    return MachineClassifier(NAME, details, known, machine, _bumps(machine, scaled), num_classes, trial.temperature)


def _chosen(features: np.ndarray, labels: np.ndarray, held_out: choosing.HeldOut
            ) -> tuple[choosing.Trial[Setting], float]:
    """The best setting, walked to one option at a time, and the share of rows that are its support vectors."""
    numbers = np.unique(labels, return_inverse=True)[1]
    scales = {way: scale(features, way) for way in WAYS}
    shares: dict[Setting, float] = {}

    def judge(setting: Setting) -> choosing.Trial[Setting]:
        support, fitted_rows = 0, 0

        def fit(fitted: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            nonlocal support, fitted_rows
            scaled = scales[setting.way](features[fitted])
            machine = _fitted(setting, scaled, numbers[fitted])
            support, fitted_rows = support + len(machine.support_), fitted_rows + len(fitted)
            return machine.classes_, _scores(machine, _bumps(machine, scaled), scales[setting.way], features[out])

        result = choosing.trial(setting, held_out.scores(fit, numbers.max() + 1), numbers[held_out.rows])
        shares[setting] = support / fitted_rows
        return result

    found = choosing.best((Setting(way=way) for way in WAYS), judge)
    found = choosing.best((replace(found.candidate, gamma=gamma) for gamma in GAMMAS), judge, found)
    found = choosing.best((replace(found.candidate, strength=strength) for strength in STRENGTHS), judge, found)
    return found, shares[found.candidate]


def _fitted(setting: Setting, scaled: np.ndarray, labels: np.ndarray) -> SVC:
    """The machine; the kernel of few rows is made at once, by matrix products, many times faster than row by row."""
    whole = len(scaled) <= MAX_ROWS_AT_ONCE
    machine = SVC(C=setting.strength, kernel="precomputed" if whole else "rbf", gamma=setting.gamma,
                  cache_size=CACHE_MEGABYTES, max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return machine.fit(radial.Bumps(scaled, setting.gamma)(scaled) if whole else scaled, labels)


def _bumps(machine: SVC, scaled: np.ndarray) -> radial.Bumps:
    return radial.Bumps(scaled[machine.support_], machine.gamma)


def _scores(machine: SVC, bumps: radial.Bumps, known: Scale, features: np.ndarray) -> np.ndarray:
    """Scores (m, K), block by block."""
    count = len(machine.classes_)
    size = max(1, int(NUMBERS_AT_ONCE / max(len(bumps.centres), count ** 2)))
    blocks = [margins.scores(machine, bumps(known(features[start:start + size])).astype(np.float64))
              for start in range(0, len(features), size)]
    return np.concatenate(blocks) if blocks else np.zeros((0, count))


def _approximated(known: Scale, features: np.ndarray, labels: np.ndarray, num_classes: int,
                  groups: np.ndarray | None, seed: int, setting: Setting, details: dict) -> radial.RadialClassifier:
    """Squared loss on landmarks, with the width that the exact machine chose."""
    landmarks = sample(labels, NUM_LANDMARKS, seed)
    details |= {"approximation": f"Nystroem, {len(landmarks):,} landmarks, squared loss",
                "reason": f"{len(labels):,} rows of {features.shape[1]:,} features are too much work for the exact "
                          "machine"}
    scaled = known(features)
    held_out = choosing.on_all_rows(labels, groups, seed)
    return radial.least_squares_on_bumps(NAME, known, scaled, labels, num_classes, centres=scaled[landmarks],
                                         widths=(setting.gamma,), held_out=held_out, details=details, smooth=True)[1]
