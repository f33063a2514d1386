r"""Gradient boosting of the log loss with stumps (two leaves) or small trees (17 leaves).

.. math:: p = \mathrm{softmax}(f_1 + \eta \sum_t h_t(x))

with one tree a class and round t, by scikit-learn's ``HistGradientBoostingClassifier``; each split looks at a tenth of
the features, at least thirty, and the sums of second derivatives in a leaf count one more, without which leaves of few
rows of one class make the log loss of other rows rise early. Fitting ends once the log loss
of held-out training rows has not fallen for fifty rounds, or after as many rounds as a budget of work allows. These
fifty are kept: errors still fall while the log loss rises, and a temperature makes up for that. Small tables are fitted
again on all rows with as many rounds; the details say which.

References:
    Friedman (2001), Greedy function approximation: a gradient boosting machine. https://doi.org/10.1214/aos/1013203451
    Kegl, Busa-Fekete (2009), Boosting products of base classifiers: stumps 7.7 %, trees with 17 leaves 1.53 % on MNIST.
    https://doi.org/10.1145/1553374.1553439
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from toolkit.evaluation.baselines import choosing
from toolkit.evaluation.baselines.classifiers import softmax_of_all
from toolkit.evaluation.baselines.folds import sample
from toolkit.evaluation.baselines.linear import NOTHING_TO_FIT, LinearClassifier, checked, constant
from toolkit.evaluation.baselines.reduction import moments
from toolkit.evaluation.baselines.threads import threads_for

STUMPS, TREES = "boosted stumps", "boosted trees"
NUM_FOLDS = 10
PATIENCE = 50
LEAST_PROBABILITY = 1e-300
WORK = 7e11  # rows * features * classes * rounds, by how many times a row is looked at: some twenty-five minutes
MIN_ROUNDS = 100  # before rows are left out instead
UNTRIED_ROUNDS = 100
MAX_ROWS_TO_FIT_AGAIN = 20_000
MIN_ROWS = 2000
PENALTY = 1.0  # on the values of leaves
SHARE_OF_FEATURES, LEAST_FEATURES = 0.1, 30  # that a split looks at


@dataclass(frozen=True)
class Trees:
    """Their size and pace.

    Attributes:
        name: in words.
        leaves: of a tree.
        learning_rate: the step.
        rounds: at most.
        looks: how often a row is looked at while a tree grows.
    """

    name: str
    leaves: int
    learning_rate: float
    rounds: int
    looks: int


KINDS = {STUMPS: Trees(STUMPS, 2, 0.3, 2000, 1), TREES: Trees(TREES, 17, 0.1, 600, 3)}


@dataclass(frozen=True, eq=False)
class TreeClassifier:
    """scikit-learn's boosted trees with a column for every class.

    Attributes:
        name: in words.
        details: how they were fitted.
        model: fitted.
        num_classes: C.
        temperature: of their log probabilities.
    """

    name: str
    details: dict
    model: HistGradientBoostingClassifier
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
        result = np.zeros((len(features), self.num_classes))
        if len(features):
            with threads_for(100 * features.size * len(self.model.classes_)):
                logs = np.log(np.maximum(self.model.predict_proba(features), LEAST_PROBABILITY))
            result = softmax_of_all(logs / self.temperature, self.model.classes_, self.num_classes)
        return result


def boosted_stumps(features: np.ndarray, labels: np.ndarray, num_classes: int, *,
                   groups: np.ndarray | None = None, seed: int = 0) -> TreeClassifier | LinearClassifier:
    """Boost trees of two leaves: a sum of functions of one feature each. Arguments and result as ``boosted_trees``."""
    return _boosted(KINDS[STUMPS], features, labels, num_classes, groups, seed)


def boosted_trees(features: np.ndarray, labels: np.ndarray, num_classes: int, *,
                  groups: np.ndarray | None = None, seed: int = 0) -> TreeClassifier | LinearClassifier:
    """Boost trees of 17 leaves, their number chosen on held-out rows.

    Args:
        features: (n, F) real numbers.
        labels: (n,) int in 0..C-1, n >= 1. A class without rows is never predicted.
        num_classes: C.
        groups: (n,) names; rows of one group are held out together.
        seed: of the held-out rows.

    Returns:
        a classifier; details: rounds, leaves, learning_rate, rows (fitted), rows_to_choose, temperature, calibration,
        converged (False where the rounds were used up), notes; approximation and reason where rows were left out.

    Raises:
        ValueError: if shapes do not fit, a label is out of range or a feature is not finite.

    Example:
        >>> classifier = boosted_trees(np.arange(20.0)[:, None], np.arange(20) // 10, 2)
        >>> classifier.probabilities(np.array([[0.0], [19.0]])).argmax(axis=1).tolist()
        [0, 1]
    """
    return _boosted(KINDS[TREES], features, labels, num_classes, groups, seed)


def _boosted(kind: Trees, features: np.ndarray, labels: np.ndarray, num_classes: int, groups: np.ndarray | None,
             seed: int) -> TreeClassifier | LinearClassifier:
    features, labels = checked(features, labels, num_classes)
    varies = moments(features).varies
    if (labels == labels[0]).all() or not varies.any():
        return constant(kind.name, features.shape[1], labels, num_classes, NOTHING_TO_FIT)
    trees_a_round = len(np.unique(labels)) if len(np.unique(labels)) > 2 else 1
    work = kind.looks * trees_a_round * int(varies.sum())
    rows = sample(labels, max(MIN_ROWS, int(WORK / (work * MIN_ROUNDS))), seed)
    rounds = int(np.clip(WORK / (work * len(rows)), MIN_ROUNDS // 5, kind.rounds))
    details = {"leaves": kind.leaves, "learning_rate": kind.learning_rate}
    if len(rows) < len(labels):
        details |= {"approximation": f"fitted on a stratified sample of {len(rows):,} of the {len(labels):,} rows",
                    "reason": f"{len(labels):,} rows of {features.shape[1]:,} features and {trees_a_round:,} trees a "
                              "round are too much work"}
        features, labels = features[rows], labels[rows]
        groups = None if groups is None else np.asarray(groups)[rows]
    with threads_for(10 * features.size * trees_a_round):
        model, fit = _fitted(kind, features, labels, groups, seed, rounds)
    return TreeClassifier(kind.name, {**details, **fit}, model, num_classes, fit["temperature"])


def _fitted(kind: Trees, features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, seed: int,
            rounds: int) -> tuple[HistGradientBoostingClassifier, dict]:
    """The model, and what the report says of it."""
    held_out = choosing.on_all_rows(labels, groups, seed, num_folds=NUM_FOLDS)
    if held_out is None:
        model = _model(kind, min(rounds, UNTRIED_ROUNDS), features.shape, seed).fit(features, labels)
        return model, _told(model, labels, 0, 1.0, True, [choosing.TOO_FEW])
    fitted, out = held_out.pairs[0]
    out = out[np.isin(labels[out], labels[fitted])]
    model = _model(kind, rounds, features[fitted].shape, seed, early_stopping=True, n_iter_no_change=PATIENCE)
    model.fit(features[fitted], labels[fitted], X_val=features[out], y_val=labels[out])
    converged = model.n_iter_ < rounds
    logs = np.log(np.maximum(model.predict_proba(features[out]), LEAST_PROBABILITY))
    found = choosing.trial(model.n_iter_, logs, np.searchsorted(model.classes_, labels[out])).temperature
    if len(labels) > MAX_ROWS_TO_FIT_AGAIN:
        note = f"The {len(out):,} of the {len(labels):,} rows that told when to stop were not fitted."
        return model, _told(model, labels[fitted], len(out), found, converged, [note])
    model = _model(kind, model.n_iter_, features.shape, seed).fit(features, labels)
    return model, _told(model, labels, len(out), found, converged, [])


def _model(kind: Trees, rounds: int, shape: tuple[int, int], seed: int, **options: int | bool
           ) -> HistGradientBoostingClassifier:
    rows, width = shape
    return HistGradientBoostingClassifier(**{
        "learning_rate": kind.learning_rate, "max_leaf_nodes": kind.leaves, "max_iter": rounds,
        "min_samples_leaf": int(np.clip(rows // 20, 1, 20)), "l2_regularization": PENALTY,
        "max_features": min(1.0, max(SHARE_OF_FEATURES, LEAST_FEATURES / width)), "early_stopping": False,
        "random_state": seed, **options})


def _told(model: HistGradientBoostingClassifier, fitted: np.ndarray, chosen_on: int, temperature: float,
          converged: bool, notes: list[str]) -> dict:
    return {"rounds": int(model.n_iter_), "rows": len(fitted), "rows_to_choose": chosen_on, "temperature": temperature,
            "calibration": choosing.CALIBRATION if chosen_on else choosing.UNCALIBRATED, "converged": bool(converged),
            "notes": notes if converged else [*notes, "The budget of rounds was used up."]}
