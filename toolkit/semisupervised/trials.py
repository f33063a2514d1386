"""A semi-supervised method on cached views, judged and chosen by hiding labelled rows in its pool.

A method is a function ``(problem, **settings) -> Fit``; its control is another, which looks at labelled rows only. A
candidate of settings is tried with the same folds of labelled rows hidden in the pool, and on validation rows where
there are any; the hidden rows also say at which temperature the probabilities are honest and whether the unlabelled
rows are used at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax

from toolkit.evaluation.baselines import LinearClassifier
from toolkit.evaluation.baselines.temperatures import temperature
from toolkit.evaluation.baselines.threads import threads_for
from toolkit.semisupervised import audit, pools
from toolkit.training.progress import Progress

LEAST_TEMPERATURE = 0.01
DOUBT = 1.0  # rows counted as spread evenly over the classes, beside the hidden ones
UNJUDGED_TEMPERATURE = 1.0
SMALLEST = 1e-30


@dataclass(frozen=True, eq=False)
class Problem:
    """Labelled rows and a pool, each in V views: the plain one, then weak copies, then strong ones.

    Attributes:
        labelled: (V, n, r) float32.
        labels: (n,) int in 0..C-1.
        pool: (V, p, r) float32.
        prior: (C,) estimated shares of the classes.
        num_weak: how many weak copies there are; view 0 is plain, the last V - 1 - num_weak are strong.
        seed: of whatever a method draws.
    """

    labelled: np.ndarray
    labels: np.ndarray
    pool: np.ndarray
    prior: np.ndarray
    num_weak: int
    seed: int = 0

    @property
    def targets(self) -> np.ndarray:
        """(n, C) one-hot labels."""
        return np.eye(len(self.prior), dtype=np.float32)[self.labels]

    def hide(self, kept: np.ndarray, hidden: np.ndarray) -> Problem:
        """The problem with ``hidden`` labelled rows at the end of the pool instead."""
        pool = np.concatenate([self.pool, self.labelled[:, hidden]], axis=1)
        return replace(self, labelled=self.labelled[:, kept], labels=self.labels[kept], pool=pool)


@dataclass(frozen=True, eq=False)
class Fit:
    """What a method found.

    Attributes:
        head: a classifier of values.
        pseudo_labels: (p,) int.
        rounds: (p,) int, when a row of the pool was taken, from 1; 0: it is not used.
        history: a dict a round: epoch, coverage, and what else the method wants to say.
        by_round: (R, p) int, what each round took each row of the pool for, used or not; None: there are no rounds.
    """

    head: LinearClassifier
    pseudo_labels: np.ndarray
    rounds: np.ndarray
    history: list[dict[str, Any]] = field(default_factory=list)
    by_round: np.ndarray | None = None


Method = Callable[..., Fit]


@dataclass(frozen=True, eq=False)
class Trial:
    """Settings and what they did on rows whose labels the method did not see.

    Attributes:
        method: that was tried.
        settings: of the method.
        scores: (h, C) logits.
        labels: (h,) int, the true ones.
        rows: (h,) which labelled row each is; validation rows follow them.
        found: per row hidden in the pool: pseudo-label, and whether it is used; (k,) each.
        temperature: at which the scores are honest.
        fit: on all labels, where validation rows asked for it.
        by_round: (R, k) what each round took the rows hidden in the pool for, as in ``Fit``.
    """

    method: Method
    settings: Mapping[str, Any]
    scores: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    found: tuple[np.ndarray, np.ndarray]
    temperature: float
    fit: Fit | None
    by_round: np.ndarray | None = None

    @property
    def probabilities(self) -> np.ndarray:
        """(h, C) at the honest temperature."""
        return softmax(self.scores / self.temperature, axis=1)

    @property
    def rank(self) -> tuple[float, float]:
        """Sorts trials, the higher the better: rows right, then log loss."""
        if not len(self.labels):
            return 0.0, 0.0
        rows = np.arange(len(self.labels))
        logs = log_softmax(self.scores / self.temperature, axis=1)
        return float(np.mean(logs.argmax(axis=1) == self.labels)), float(logs[rows, self.labels].mean())


def choose(method: Method, candidates: Sequence[Mapping[str, Any]], problem: Problem, *,
           groups: np.ndarray | None = None, validation: tuple[np.ndarray, np.ndarray] | None = None,
           title: str = "cross-fitting") -> Trial:
    """The best of the candidates, the first of equally good ones.

    Args:
        method: (problem, **settings) -> Fit.
        candidates: settings, the usual ones first.
        problem: all labelled rows and the pool.
        groups: (n,) names of labelled rows; rows of one group are hidden together.
        validation: values (m, r) and labels (m,) of validation rows.
        title: for the progress.
    """
    folds = pools.hidden_folds(problem.labels, len(problem.prior), groups=groups, seed=problem.seed)
    trials, total = [], len(candidates) * len(folds)
    with Progress(title, total) as progress:
        for settings in candidates:
            trials.append(_trial(method, settings, problem, folds, validation, progress, len(trials) * len(folds)))
    return max(trials, key=lambda one: one.rank)


def _trial(method: Method, settings: Mapping[str, Any], problem: Problem,
           folds: Sequence[tuple[np.ndarray, np.ndarray]], validation: tuple[np.ndarray, np.ndarray] | None,
           progress: Progress, done: int) -> Trial:
    """One candidate on every fold, and on validation rows."""
    scores, labels, rows, found, by_round = [], [], [], [], []
    for number, (kept, hidden) in enumerate(folds):
        fit = _fitted(method, problem.hide(kept, hidden), settings)
        scores.append(_scores(fit.head, problem.labelled[0, hidden]))
        labels.append(problem.labels[hidden])
        rows.append(hidden)
        last = slice(len(fit.rounds) - len(hidden), None)
        found.append((fit.pseudo_labels[last], fit.rounds[last] > 0))
        by_round += [] if fit.by_round is None else [fit.by_round[:, last]]
        progress(done + number + 1)
    fit = None
    if validation is not None and len(validation[1]):
        fit = _fitted(method, problem, settings)
        scores.append(_scores(fit.head, validation[0]))
        labels.append(validation[1])
        rows.append(len(problem.labels) + np.arange(len(validation[1])))
    if not labels:
        none = np.zeros(0, int)
        return Trial(method, settings, np.zeros((0, len(problem.prior))), none, none, (none, none > 0),
                     UNJUDGED_TEMPERATURE, None)
    all_scores, all_labels = np.concatenate(scores), np.concatenate(labels)
    honest = temperature(all_scores, all_labels, least=LEAST_TEMPERATURE, doubt=DOUBT)[1]
    columns = [np.concatenate(parts) for parts in zip(*found)] or [np.zeros(0, int), np.zeros(0, bool)]
    return Trial(method, settings, all_scores, all_labels, np.concatenate(rows), tuple(columns), honest, fit,
                 np.concatenate(by_round, axis=1) if by_round else None)


def _fitted(method: Method, problem: Problem, settings: Mapping[str, Any]) -> Fit:
    with threads_for(problem.pool[0].size):
        return method(problem, **settings)


def _scores(head: LinearClassifier, values: np.ndarray) -> np.ndarray:
    return values.astype(np.float64) @ head.kernel + head.bias


def final(chosen: Trial, problem: Problem) -> Fit:
    """The chosen settings on all labels, the head at the honest temperature."""
    fit = chosen.fit or _fitted(chosen.method, problem, chosen.settings)
    head = LinearClassifier(fit.head.name, fit.head.kernel / chosen.temperature, fit.head.bias / chosen.temperature,
                            fit.head.details)
    return replace(fit, head=head)


def audited(fit: Fit, chosen: Trial, problem: Problem, class_names: Sequence[str]) -> dict[str, Any]:
    """Coverage, precision and alarms of the pseudo-labels of a fit; see ``audit.audit``.

    Args:
        fit: on all labels.
        chosen: its trial, with the hidden rows.
        problem: all labelled rows and the pool.
        class_names: C names.
    """
    labels, used = chosen.found
    hidden = np.arange(len(labels))
    return audit.audit(fit.pseudo_labels, confidences(fit, problem), fit.rounds > 0, hidden_predictions=labels,
                       hidden_labels=chosen.labels[hidden], hidden_used=used, num_classes=len(problem.prior),
                       hidden_rows=chosen.rows[hidden], hidden_confidences=chosen.probabilities[hidden, labels],
                       history=_precisions(fit, chosen), class_names=class_names)


def _precisions(fit: Fit, chosen: Trial) -> list[dict[str, Any]]:
    """Of each round, coverage of the pool, and the share of the hidden rows that it took for what they are."""
    if chosen.by_round is None:
        return []
    hidden = np.arange(chosen.by_round.shape[1])
    weights = audit.once_each(chosen.rows[hidden])
    precisions = (chosen.by_round == chosen.labels[hidden]) @ weights / weights.sum()
    return [{"coverage": row["coverage"], "precision": float(precision), "count": round(float(weights.sum()))}
            for row, precision in zip(fit.history, precisions, strict=True)]


def confidences(fit: Fit, problem: Problem) -> np.ndarray:
    """The probability (p,) that the head gives the pseudo-label of each row of the pool.

    Args:
        fit: from ``final``.
        problem: that it was fitted to.
    """
    return fit.head.probabilities(problem.pool[0])[np.arange(len(fit.pseudo_labels)), fit.pseudo_labels]
