r"""Pseudo-labels: the classifier labels the pool and learns from what it said, on cached frozen features.

Self-training in rounds (``method="rounds"``). Round 0 is logistic regression on the labelled rows. In each round the
head gives every row of the pool probabilities, averaged over its plain and its weak view, which are balanced so that
their mean is the share :math:`\pi_c` of the classes among the labels (unless the pool visibly has other shares). Of
each class the most confident rows are taken, more of them each round, and a linear discriminant with shrunken
covariance is fitted to labels and pseudo-labels in all views:

.. math:: q_i \propto u \odot p_i, \quad \tfrac1p \sum_i q_i = \pi, \qquad
          |T_c(r)| = \lceil p \, \pi_c \, \text{coverage} \cdot \min(1, r / (0.7 R)) \rceil

The students see strongly changed copies, the teacher does not: the noisy student.

Lee's method (``method="lee"``). One head with sigmoid units and dropout learns by gradient steps from a batch of 32
labelled and a batch of 256 unlabelled rows; the pseudo-label of a row is the class of its largest output, taken afresh
at every update, with no threshold, and its weight rises from 0 to a full weight. The paper's is 3, at which one linear
layer collapses to a single class on features of CIFAR-10; cross-fitting chooses among 3, 1 and 0.3:

.. math:: L = \frac1n \sum_{mc} \mathrm{BCE}(y_{mc}, f_{mc})
          + \alpha(t) \frac1{n'} \sum_{mc} \mathrm{BCE}(y'_{mc}, f'_{mc})

References:
    Lee 2013, Pseudo-label: the simple and efficient semi-supervised learning method for deep neural networks.
    Class-balanced self-training: Zou et al. 2018, https://arxiv.org/abs/1810.07911
    Noisy student: Xie et al. 2020, https://arxiv.org/abs/1911.04252
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from recipes import linear_probe
from toolkit import ToolkitError
from toolkit.evaluation.baselines import LinearClassifier
from toolkit.semisupervised import class_shares, feature_runs, heads
from toolkit.semisupervised.trials import Fit, Problem
from toolkit.tables import Table
from toolkit.training import Settings, devices, run_folders

METHODS = ("rounds", "lee")
TARGETS = ("hard", "soft")
RAMP = 0.7  # of the rounds, until the full coverage is taken
FIRST_TEMPERATURE, TEMPERATURE = 0.5, 2.0  # of logistic regression on few rows, and of the discriminant
SMALLEST = 1e-12
CONTROLS = [{"strength": strength} for strength in (3.0, 30.0, 0.3)]
ROUNDS = [{"coverage": 1.0, "shrinkage": 0.2, "label_weight": 10.0},
          {"coverage": 0.6, "shrinkage": 0.2, "label_weight": 10.0},
          {"coverage": 1.0, "shrinkage": 0.5, "label_weight": 3.0}]

LABELLED_BATCH, UNLABELLED_BATCH = 32, 256
RAMP_FROM, RAMP_TO = 0.1, 0.6  # of the steps
RATE, MOMENTUM, DROPOUT, DECAY = 0.1, 0.9, 0.5, 1e-4
LEE = [{"full_weight": weight} for weight in (3.0, 1.0, 0.3)]


def labels_only(problem: Problem, *, strength: float) -> Fit:
    """The control: logistic regression on the labelled rows in all views.

    Args:
        problem: its pool is labelled, but not learnt from.
        strength: the larger the less is regularised.
    """
    views = len(problem.labelled)
    head = heads.logistic(np.concatenate(problem.labelled), np.tile(problem.targets, (views, 1)),
                          np.full(views * len(problem.labels), 1 / views), strength=strength)
    labels = _teacher(head, problem, FIRST_TEMPERATURE).argmax(axis=1)
    return Fit(head, labels, np.zeros(len(labels), int))


def in_rounds(problem: Problem, *, strength: float, coverage: float, shrinkage: float, label_weight: float,
              rounds: int = 12, targets: str = "hard") -> Fit:
    """Class-balanced self-training.

    Args:
        problem: labelled rows and pool.
        strength: of the logistic regression of round 0.
        coverage: share of the pool that is used in the end, in (0, 1].
        shrinkage: of the discriminant's covariance.
        label_weight: of a labelled row beside a pseudo-labelled one.
        rounds: R.
        targets: ``"hard"`` or ``"soft"``.
    """
    control, temperature = labels_only(problem, strength=strength), FIRST_TEMPERATURE
    head, prior, views = control.head, problem.prior, len(problem.labelled)
    if class_shares.differ(control.pseudo_labels, prior):
        prior = class_shares.of_labels(control.pseudo_labels, len(prior))
    first, history = np.zeros(problem.pool.shape[1], int), []
    for number in range(1, rounds + 1):
        shares = _balanced(_teacher(head, problem, temperature), prior)
        labels = shares.argmax(axis=1)
        taken = most_confident(shares, coverage * min(1.0, number / (RAMP * rounds)), prior)
        first[taken & (first == 0)] = number
        learnt = shares[taken] if targets == "soft" else np.eye(len(prior))[labels[taken]]
        goals = np.concatenate([problem.targets, learnt])
        weights = np.concatenate([np.full(len(problem.labels), label_weight), np.ones(int(taken.sum()))])
        values = np.concatenate([problem.labelled, problem.pool[:, taken]], axis=1)
        head = heads.discriminant(np.concatenate(values), np.tile(goals, (views, 1)), np.tile(weights, views),
                                  prior, shrinkage=shrinkage)
        temperature = TEMPERATURE
        history.append({"epoch": number, "coverage": float(taken.mean())})
    labels = _balanced(_teacher(head, problem, temperature), prior).argmax(axis=1)
    return Fit(head, labels, np.where(taken, first, 0), history)


def most_confident(shares: np.ndarray, coverage: float, prior: np.ndarray) -> np.ndarray:
    """Which rows are taken: of those given to each class the most confident, in proportion to its prior.

    Args:
        shares: (p, C) probabilities.
        coverage: in [0, 1], of the p rows.
        prior: (C,) shares of the classes.

    Returns:
        (p,) bool.

    Example:
        >>> shares = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
        >>> most_confident(shares, 0.5, np.array([0.5, 0.5])).tolist()
        [True, False, True, False]
    """
    labels, taken = shares.argmax(axis=1), np.zeros(len(shares), bool)
    for number, share in enumerate(prior):
        rows = np.flatnonzero(labels == number)
        quota = int(np.ceil(len(shares) * share * coverage - 1e-9))
        taken[rows[np.argsort(-shares[rows, number], kind="stable")[:quota]]] = True
    return taken


def _balanced(probabilities: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Probabilities (p, C) whose mean is the prior."""
    scores = np.log(np.maximum(probabilities, SMALLEST))
    return np.exp(class_shares.aligned(scores, prior, np.arange(len(scores))))


def _teacher(head: LinearClassifier, problem: Problem, temperature: float) -> np.ndarray:
    """Probabilities (p, C) of the pool, averaged over the plain and the weak views."""
    softer = LinearClassifier(head.name, head.kernel / temperature, head.bias / temperature)
    views = problem.pool[:1 + problem.num_weak]
    return np.mean([softer.probabilities(view) for view in views], axis=0)


def lee(problem: Problem, *, strength: float, full_weight: float, steps: int = 1500) -> Fit:
    """Lee's method with one layer of sigmoid units; the batches of a step are a function of (seed, step).

    Args:
        problem: labelled rows and pool.
        strength: of the control; not used.
        full_weight: of the pseudo-labels in the end; the paper's is 3.
        steps: gradient steps.
    """
    (views, count, width), targets = problem.pool.shape, problem.targets
    kernel = np.zeros((width + 1, len(problem.prior)), np.float32)
    velocity = np.zeros_like(kernel)
    for step in range(steps):
        random = np.random.default_rng([problem.seed, step])
        weight = full_weight * float(np.clip((step / steps - RAMP_FROM) / (RAMP_TO - RAMP_FROM), 0, 1))
        view, rows = (random.integers(size, size=LABELLED_BATCH) for size in (views, len(targets)))
        slope = _slope(kernel, problem.labelled[view, rows], targets[rows], random)
        if weight and count:
            view, rows = (random.integers(size, size=UNLABELLED_BATCH) for size in (views, count))
            slope += weight * _slope(kernel, problem.pool[view, rows], None, random)
        slope[:-1] += DECAY * kernel[:-1]
        velocity = MOMENTUM * velocity - RATE * (1 + np.cos(np.pi * step / steps)) / 2 * slope
        kernel += velocity
    head = LinearClassifier("sigmoid units", kernel[:-1].astype(np.float64), kernel[-1].astype(np.float64))
    labels = _teacher(head, problem, 1.0).argmax(axis=1)
    return Fit(head, labels, np.ones(len(labels), int), [{"epoch": 1, "steps": steps}])


def _slope(kernel: np.ndarray, values: np.ndarray, targets: np.ndarray | None, random: np.random.Generator
           ) -> np.ndarray:
    """Gradient of the mean cross-entropy of the sigmoid units, (r + 1, C); without targets, of their own labels."""
    if targets is None:
        scores = values @ kernel[:-1] + kernel[-1]
        targets = np.eye(kernel.shape[1], dtype=np.float32)[scores.argmax(axis=1)]
    dropped = values * (random.random(values.shape, np.float32) >= DROPOUT) / np.float32(1 - DROPOUT)
    errors = (expit(dropped @ kernel[:-1] + kernel[-1]) - targets) / len(values)
    return np.concatenate([dropped.T @ errors, errors.sum(axis=0, keepdims=True)]).astype(np.float32)


def run(table: Table, *, output: str | Path, settings: Settings = Settings(), method: str = "rounds",
        targets: str = "hard", rounds: int = 12, strong_copies: int = 2, resume: bool = False) -> dict[str, Any]:
    """Learns from labelled and unlabelled rows and writes a run folder.

    Args:
        table: of images, with labelled training rows; training rows without a label are the pool.
        output: the new run folder.
        settings: backbone, weights, image_size, reflect, seed and devices are used.
        method: ``"rounds"`` or ``"lee"``.
        targets: of the rounds, ``"hard"`` or ``"soft"``.
        rounds: of self-training.
        strong_copies: strongly changed copies of each image; 0 is none.
        resume: go on with a run that was stopped.

    Returns:
        The report, as in ``report.json``.

    Raises:
        ToolkitError: if the folder, the backbone, the weights or the options cannot be used.
    """
    for name, value, allowed in (("method", method, METHODS), ("targets", targets, TARGETS)):
        if value not in allowed:
            raise ToolkitError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}.")
    options = {**settings.describe(), "method": method, "targets": targets, "rounds": rounds,
               "strong_copies": strong_copies}
    with run_folders.begin(output, "pseudo_label", table, options, resume=resume) as folder:
        if folder.finished:
            return folder.report
        devices.strategy(settings.devices)
        backbone = linear_probe.build_backbone(table, settings)
        controls = linear_probe.fit_controls(table, backbone, settings)
        learner = lee if method == "lee" else partial(in_rounds, rounds=rounds, targets=targets)
        recipe = feature_runs.Recipe(
            title="pseudo-label", method=learner, candidates=LEE if method == "lee" else ROUNDS, control=labels_only,
            control_candidates=CONTROLS, strong_copies=strong_copies,
            facts={"method": method, **({} if method == "lee" else {"rounds": rounds, "targets": targets})})
        return feature_runs.learn(table, folder, backbone, settings, recipe, baselines=controls.probabilities)
