"""From labels spread on a graph to a classifier: temperature, threshold and penalty chosen on hidden labelled rows.

The graph's scores are brought in line with the classes' shares and sharpened or softened by a temperature. The rows
confident enough, weighted by their confidence, join the labelled ones in a classifier, which can predict new images:
logistic regression, or a network with a hidden layer. Hidden labelled rows choose the method by the log loss of the
graph, then classifier, penalty and threshold by that of the classifier; each log loss is taken at the best temperature,
so that a method is not chosen for being cautious.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import softmax

from toolkit.evaluation.baselines import LinearClassifier
from toolkit.evaluation.baselines.reduction import Reduction, reduction
from toolkit.evaluation.baselines.temperatures import temperature
from toolkit.semisupervised import class_shares, graph, hidden_layer, soft_labels
from toolkit.semisupervised import neighbours as neighbours_
from toolkit.semisupervised.audit import audit
from toolkit.semisupervised.hidden_layer import HiddenLayerClassifier

METHODS: dict[str, Callable[..., np.ndarray]] = {
    "poisson": graph.poisson, "laplace": graph.laplace, "label-spreading": graph.label_spreading,
    "label-propagation": graph.laplace}  # it converges to Laplace learning
TO_CHOOSE_FROM = ("poisson", "laplace", "label-spreading")
CLASSIFIERS = ("linear", "mlp")
SHARPNESS = {"poisson": 4.0}  # before the shares are taken; Poisson's scores are in units of their standard deviation
THRESHOLDS, PENALTIES = (0.0, 0.5), (2.0, 0.6, 0.2, 0.06)
LABELLED_SHARE = 0.1  # weight of all labelled rows, over that of all unlabelled ones, at least
CHOOSING_ITERATIONS = 60
TINY = 1e-6


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a graph, labelled and unlabelled.

    Attributes:
        labels: (n,) int, -1 for the pool.
        weights: (m, m) of the graph.
        reduced: their standardised features.
        units: (n, r) these at length one.
        shares: (C,) of the classes among the labels.
        align: whether the pool is taken to have the same shares.
        nodes: (n,) the node of the graph that each row is: copies of one image are one node.
    """

    labels: np.ndarray
    weights: sparse.csr_array
    reduced: Reduction
    units: np.ndarray
    shares: np.ndarray
    align: bool
    nodes: np.ndarray

    @functools.cached_property
    def leading(self) -> Reduction:
        """The features that a hidden layer sees."""
        return hidden_layer.leading(self.reduced)


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        method: key of ``METHODS``.
        temperature: that divides the logarithms of the probabilities.
        threshold: least confidence of a row that is used.
        classifier: ``"linear"`` or ``"mlp"``.
        penalty: of the linear classifier, for a mean loss.
        calibration: temperature of the classifier's own scores.
    """

    method: str = "poisson"
    temperature: float = 1.0
    threshold: float = 0.0
    classifier: str = CLASSIFIERS[0]
    penalty: float = 0.2
    calibration: float = 1.0


@dataclass(frozen=True, eq=False)
class Hidden:
    """What became of labelled rows that were hidden in the pool, fold after fold.

    Attributes:
        rows: (h,) positions among the rows of the graph that was chosen on.
        labels: (h,) int, their labels.
        spread: (h, C) probabilities by the graph.
        classifier: (h, C) probabilities by the classifier.
        distances: (h,) to the nearest labelled row that was kept.
        alone: where the classifier is a hidden layer: the choice and (h, C) probabilities of one that learns from the
            labelled rows that were kept, and from no pool.
    """

    rows: np.ndarray
    labels: np.ndarray
    spread: np.ndarray
    classifier: np.ndarray
    distances: np.ndarray
    alone: tuple[Choice, np.ndarray] | None = None


def join(features: np.ndarray, labels: np.ndarray, num_classes: int, *, neighbours: int, align: bool,
         contents: np.ndarray | None = None) -> Rows:
    """The graph of labelled and unlabelled rows, by the angles between their standardised features.

    Args:
        features: (n, F) real numbers.
        labels: (n,) int in 0..C-1, -1 for unlabelled.
        num_classes: C.
        neighbours: k; fewer where there are no more rows.
        align: whether pseudo-labels are brought in line with the shares of the labels.
        contents: (n,) names; rows of one name are one node, so that copies do not join one another only, nor count as
            so many labels. None: each row is a node.
    """
    reduced = reduction(features)
    lengths = np.linalg.norm(reduced.features, axis=1, keepdims=True)
    units = (reduced.features / np.maximum(lengths, TINY)).astype(np.float32)
    names = np.arange(len(labels)) if contents is None else contents.astype(str)
    first, node = np.unique(names, return_index=True, return_inverse=True)[1:]
    kept = np.sort(first)  # in the order of the rows
    weights = graph.weights(*neighbours_.remembered(units[kept], min(neighbours, len(kept) - 1)))
    nodes = np.searchsorted(kept, first[node])
    known = _of_nodes(nodes, labels)
    return Rows(labels, weights, reduced, units, class_shares.of_labels(known[known >= 0], num_classes), align, nodes)


def spread(rows: Rows, labels: np.ndarray, method: str) -> np.ndarray:
    """Log probabilities (n, C) of all rows by the graph, before any temperature.

    Args:
        rows: from ``join``.
        labels: (n,) int, -1 for unlabelled and for what is hidden.
        method: key of ``METHODS``.
    """
    free = np.flatnonzero(labels < 0)
    found = METHODS[method](rows.weights, _of_nodes(rows.nodes, labels), len(rows.shares))[rows.nodes]
    if method == "poisson":
        scores = found * (SHARPNESS[method] / max(float(found[free].std()) if len(free) else 1.0, 1e-300))
    else:
        scores = np.log(found + TINY)
    return class_shares.aligned(scores, rows.shares, free if rows.align else free[:0])


def fit(rows: Rows, labels: np.ndarray, probabilities: np.ndarray, choice: Choice, *,
        max_iterations: int = 200, seed: int = 0) -> LinearClassifier | HiddenLayerClassifier:
    """The classifier of labelled rows and confident pseudo-labelled ones.

    Args:
        rows: from ``join``.
        labels: (n,) int, -1 for unlabelled and for what is hidden.
        probabilities: (n, C) by the graph.
        choice: threshold, classifier, penalty and calibration.
        max_iterations: of a linear fit.
        seed: of a hidden layer.
    """
    known, confidences = labels >= 0, probabilities.max(axis=1)
    weights = np.where(known | (confidences < choice.threshold), 0.0, confidences)
    weights[known] = max(1.0, LABELLED_SHARE * float(weights.sum()) / max(int(known.sum()), 1))
    targets = np.where(known[:, None], np.eye(len(rows.shares))[labels], probabilities)
    if choice.classifier == "mlp":
        return hidden_layer.fit(rows.leading, targets, weights, seed=seed).softened(choice.calibration)
    strength = 1 / (choice.penalty * float(weights.sum()))
    return soft_labels.fit(rows.reduced, targets, weights, strength=strength,
                           max_iterations=max_iterations).softened(choice.calibration)


def choose(rows: Rows, features: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]],
           methods: Sequence[str], classifiers: Sequence[str] = CLASSIFIERS, *, seed: int = 0
           ) -> tuple[Choice, Hidden]:
    """Chooses on labelled rows that are hidden in the pool, and says what became of them.

    Args:
        rows: from ``join``.
        features: (n, F), as for ``join``.
        folds: (kept, hidden) positions of labelled rows; where there is none, nothing is chosen.
        methods: keys of ``METHODS``.
        classifiers: of ``CLASSIFIERS``; where nothing can be chosen, the first.
        seed: of hidden layers.
    """
    num_classes = len(rows.shares)
    if not folds:
        nothing = np.zeros((0, num_classes))
        return Choice(methods[0], classifier=classifiers[0]), Hidden(
            np.zeros(0, np.int64), np.zeros(0, np.int64), nothing, nothing, np.zeros(0))
    hidden = np.concatenate([out for _, out in folds])
    answers, labels = rows.labels[hidden], [_without(rows.labels, out) for _, out in folds]
    by_method = {}
    for method in methods:
        logs = [spread(rows, own, method) for own in labels]
        own = np.concatenate([part[out] for part, (_, out) in zip(logs, folds)])
        by_method[method] = (*temperature(own, answers, least=0.1, doubt=1.0), logs)
    method = min(by_method, key=lambda name: by_method[name][0])
    _, degree, logs = by_method[method]
    spreads = [softmax(part / degree, axis=1) for part in logs]

    def trial(choice: Choice) -> tuple[float, Choice, np.ndarray]:
        heads = [fit(rows, own, part, choice, max_iterations=CHOOSING_ITERATIONS, seed=seed)
                 for own, part in zip(labels, spreads)]
        found = np.concatenate([head.probabilities(features[out]) for head, (_, out) in zip(heads, folds)])
        logs = np.log(np.maximum(found, 1e-30))
        loss, calibration = temperature(logs, answers, least=0.1, doubt=1.0)
        return loss, dataclasses.replace(choice, calibration=calibration), softmax(logs / calibration, axis=1)

    tried = []
    if "linear" in classifiers:
        tried += [trial(Choice(method, degree, THRESHOLDS[0], penalty=penalty)) for penalty in PENALTIES]
        penalty = min(tried, key=itemgetter(0))[1].penalty
        tried += [trial(Choice(method, degree, threshold, penalty=penalty)) for threshold in THRESHOLDS[1:]]
    if "mlp" in classifiers:
        threshold = min(tried, key=itemgetter(0))[1].threshold if tried else THRESHOLDS[0]
        tried.append(trial(Choice(method, degree, threshold, "mlp")))
    _, choice, found = min(tried, key=itemgetter(0))
    alone = trial(dataclasses.replace(choice, threshold=np.inf))[1:] if choice.classifier == "mlp" else None
    by_graph = np.concatenate([part[out] for part, (_, out) in zip(spreads, folds)])
    away = np.concatenate([distances(rows.units[out], rows.units[kept]) for kept, out in folds])
    return choice, Hidden(hidden, answers, by_graph, found, away, alone)


def audited(rows: Rows, choice: Choice, hidden: Hidden, spread: np.ndarray, class_names: Sequence[str]
            ) -> dict[str, Any]:
    """The audit of the pool's pseudo-labels.

    Args:
        rows: from ``join``.
        choice: from ``choose``.
        hidden: from ``choose``.
        spread: (n, C) probabilities of all rows by the graph.
        class_names: C names.
    """
    known = rows.labels >= 0
    pseudo, confidences = spread[~known], hidden.spread.max(axis=1)
    return audit(pseudo.argmax(axis=1), pseudo.max(axis=1), pseudo.max(axis=1) >= choice.threshold,
                 hidden_labels=hidden.labels, hidden_predictions=hidden.spread.argmax(axis=1),
                 hidden_used=confidences >= choice.threshold, num_classes=len(class_names), hidden_rows=hidden.rows,
                 hidden_confidences=confidences, hidden_distances=hidden.distances,
                 distances=distances(rows.units[~known], rows.units[known]), class_names=class_names)


def distances(units: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Distance (m,) of each row (m, r) to the nearest of the labelled rows (l, r), all of length one."""
    step = max(1, neighbours_.NUMBERS_AT_ONCE // max(len(labelled), 1))
    closest = [(units[start:start + step] @ labelled.T).max(axis=1) for start in range(0, len(units), step)]
    return np.sqrt(np.maximum(2 - 2 * np.concatenate([*closest, np.zeros(0)]), 0))


def _of_nodes(nodes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The label (m,) of each node, -1 where none of its rows has one."""
    result = np.full(int(nodes.max()) + 1, -1)
    np.maximum.at(result, nodes, labels)
    return result


def _without(labels: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """The labels with some of them hidden."""
    result = labels.copy()
    result[hidden] = -1
    return result
