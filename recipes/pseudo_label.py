r"""Pseudo-labels: the classifier labels the pool and learns from what it said.

Self-training in rounds (``method="rounds"``). Round 0 is logistic regression on the labelled rows. In each round the
head gives every row of the pool probabilities, averaged over its plain and its weak view, which are balanced so that
their mean is the share :math:`\pi_c` of the classes among the labels (unless the pool visibly has other shares). Of
each class the most confident rows are taken, more of them each round, and a linear discriminant with shrunken
covariance is fitted to labels and pseudo-labels in all views:

.. math:: q_i \propto u \odot p_i, \quad \tfrac1p \sum_i q_i = \pi, \qquad
          |T_c(r)| = \lceil p \, \pi_c \, \text{coverage} \cdot \min(1, r / (0.7 R)) \rceil

The control is logistic regression on the labels or what the rounds fit, on labels alone, whichever cross-fitting
finds better. The students see strongly changed copies, the teacher does not: the noisy student. In pixel space a
round is a part of the training: the network labels the pool at its beginning, and steps of gradient take the place of
the discriminant.

Lee's method (``method="lee"``). Sigmoid units with dropout learn by gradient steps from a batch of 32 labelled and a
batch of 256 unlabelled rows; the pseudo-label of a row is the class of its largest output, taken afresh at every
update, with no threshold, and its weight rises from 0 to a full weight between a tenth and six tenths of the steps, as
between epochs 100 and 600 of 1,000. The paper's full weight is 3, at which one linear layer collapses to a single class
on features of CIFAR-10; in feature space cross-fitting chooses among 3, 1 and 0.3:

.. math:: L = \frac1n \sum_{mc} \mathrm{BCE}(y_{mc}, f_{mc})
          + \alpha(t) \frac1{n'} \sum_{mc} \mathrm{BCE}(y'_{mc}, f'_{mc})

Measured (commands in ``benchmarks/RESULTS.md``): cifar10_small in feature space, five draws: 63.9 % right with 40
labels (labels only 52.0 %), 69.0 % with 250 (64.6 %), 50 s. Ants/bees, 20 labels: 92.5 %, labels only 90.6 %, not
distinguishable from the linear probe. In pixel space Lee's recipe on MNIST with 600 labels, one draw: error 5.45 %,
labels only 9.8 % (published 5.03, replicated 6.86), 49 min on one core.

References:
    Lee 2013, Pseudo-label: the simple and efficient semi-supervised learning method for deep neural networks.
    Class-balanced self-training: Zou et al. 2018, https://arxiv.org/abs/1810.07911
    Noisy student: Xie et al. 2020, https://arxiv.org/abs/1911.04252
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from scipy.special import expit

from recipes import fine_tune, linear_probe
from toolkit import ToolkitError
from toolkit.evaluation.baselines import LinearClassifier
from toolkit.semisupervised import (class_shares, feature_runs, heads, pixel_models, pixel_rounds, pixel_runs,
                                    pixel_views, spaces)
from toolkit.semisupervised.selection import balanced, most_confident, share_of_round
from toolkit.semisupervised.trials import Fit, Problem
from toolkit.tables import Table
from toolkit.training import Settings

METHODS = ("rounds", "lee")
TARGETS = ("hard", "soft")
FIRST_TEMPERATURE, TEMPERATURE = 0.5, 2.0  # of logistic regression on few rows, and of the discriminant
CONTROLS = [{"strength": 3.0}]  # one candidate each: few labels cannot choose
ROUNDS = [{"coverage": 1.0, "shrinkage": 0.2, "label_weight": 10.0}]
ON_SEQUENCES = [{"coverage": 1.0, "shrinkage": 0.5, "label_weight": 50.0}]  # whose classes are no clusters of features

LABELLED_BATCH, UNLABELLED_BATCH = 32, 256
STEPS = 1500
RAMP_FROM, RAMP_TO = 0.1, 0.6  # of the steps
RATE, MOMENTUM, DROPOUT, DECAY = 0.1, 0.9, 0.5, 1e-4
FULL_WEIGHT, PER_LABEL = {"rounds": 1.0, "lee": 3.0}, {"rounds": 3, "lee": UNLABELLED_BATCH // LABELLED_BATCH}
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


def discriminant_of_labels(problem: Problem, *, shrinkage: float) -> Fit:
    """The control's rival: what the rounds fit, on the labelled rows alone.

    Args:
        problem: its pool is labelled, but not learnt from.
        shrinkage: of the discriminant's covariance.
    """
    views = len(problem.labelled)
    head = heads.discriminant(np.concatenate(problem.labelled), np.tile(problem.targets, (views, 1)),
                              np.ones(views * len(problem.labels)), problem.prior, shrinkage=shrinkage)
    labels = _teacher(head, problem, TEMPERATURE).argmax(axis=1)
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
    first, by_round, history = np.zeros(problem.pool.shape[1], int), [], []
    for number in range(1, rounds + 1):
        shares = balanced(_teacher(head, problem, temperature), prior)
        labels = shares.argmax(axis=1)
        taken = most_confident(shares, coverage * share_of_round(number, rounds), prior)
        first[taken & (first == 0)] = number
        learnt = shares[taken] if targets == "soft" else np.eye(len(prior))[labels[taken]]
        goals = np.concatenate([problem.targets, learnt])
        weights = np.concatenate([np.full(len(problem.labels), label_weight), np.ones(int(taken.sum()))])
        values = np.concatenate([problem.labelled, problem.pool[:, taken]], axis=1)
        head = heads.discriminant(np.concatenate(values), np.tile(goals, (views, 1)), np.tile(weights, views),
                                  prior, shrinkage=shrinkage)
        temperature = TEMPERATURE
        by_round.append(labels)
        history.append({"epoch": number, "coverage": float(taken.mean())})
    labels = balanced(_teacher(head, problem, temperature), prior).argmax(axis=1)
    return Fit(head, labels, np.where(taken, first, 0), history, np.stack(by_round))


def _teacher(head: LinearClassifier, problem: Problem, temperature: float) -> np.ndarray:
    """Probabilities (p, C) of the pool, averaged over the plain and the weak views."""
    softer = LinearClassifier(head.name, head.kernel / temperature, head.bias / temperature)
    views = problem.pool[:1 + problem.num_weak]
    return np.mean([softer.probabilities(view) for view in views], axis=0)


def lee(problem: Problem, *, strength: float = 0.0, full_weight: float, steps: int = STEPS) -> Fit:
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


class BinaryEntropy(keras.losses.Loss):
    """The cross-entropy of sigmoid units, summed over the classes as Lee does (Keras' own is their mean)."""

    def __init__(self) -> None:
        super().__init__(name="binary_entropy_summed")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """That of each row, (n,)."""
        return ops.sum(ops.binary_crossentropy(y_true, y_pred, from_logits=True), axis=-1)


class Lee(pixel_models.PoolModel):
    """``L = BCE(y, f) + alpha(t) BCE(y', f')``, with y' one-hot of the largest output without dropout."""

    def __init__(self, classifier: keras.Model, *, full_weight: float, **facts: Any) -> None:
        super().__init__(classifier, **facts)
        self.full_weight, self.binary_entropy = full_weight, BinaryEntropy()

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
                     training: bool = True) -> Any:
        """The loss of a batch."""
        targets = ops.one_hot(ops.argmax(y_pred["weak"], axis=1), self.num_classes, dtype="float32")
        weight = self.full_weight * ops.clip((self.progress - RAMP_FROM) / (RAMP_TO - RAMP_FROM), 0.0, 1.0)
        self.note(targets)
        consistency = self.binary_entropy(targets, y_pred["strong"])
        return self.binary_entropy(y, y_pred["labelled"], sample_weight) + self.handed_over(
            weight * consistency, y_pred["strong"], x["rows"])


def in_pixels(*, method: str, rounds: int, targets: str, steps: int | None, per_label: int, unlabelled_weight: float
              ) -> pixel_runs.PixelRecipe:
    """What ``pixel_runs.learn`` is given; see ``run`` for the arguments."""
    def views(settings: Settings, reflect: bool) -> pixel_views.Views:
        weak = pixel_views.gentle(settings, reflect=reflect)
        strong = pixel_views.changed(weak) if method == "lee" else pixel_views.strongly(weak)
        return pixel_views.Views(pixel_views.changed(weak), strong, per_label)

    shared = {"views": views, "steps": steps}
    facts = {"method": method, "unlabelled_weight": unlabelled_weight}
    if method == "lee":
        return pixel_runs.PixelRecipe("pseudo-label", partial(Lee, full_weight=unlabelled_weight), **shared,
                                      loss=BinaryEntropy(), facts=facts)
    return pixel_runs.PixelRecipe(
        "pseudo-label", partial(pixel_rounds.Rounds, full_weight=unlabelled_weight), **shared, epochs=rounds,
        fixed_epochs=True, passes=1, relabels=True,
        callbacks=lambda start: [pixel_rounds.Relabel(start, targets=targets)],
        facts={**facts, "targets": targets})


def run(table: Table, *, output: str | Path, settings: Settings = Settings(), method: str = "rounds",
        targets: str = "hard", rounds: int = 12, strong_copies: int = 2, scales: int = 2, space: str = "features",
        steps: int | None = None, per_label: int | None = None, unlabelled_weight: float | None = None,
        resume: bool = False) -> dict[str, Any]:
    """Learns from labelled and unlabelled rows and writes a run folder.

    Args:
        table: with labelled training rows; training rows without a label are the pool. In pixel space of images.
        output: the new run folder.
        settings: in feature space, backbone, weights, image_size, reflect, seed and devices are used; in pixel space
            all that says how a network is trained, but epochs, layer-wise freezing, interpolation and members.
        method: ``"rounds"`` or ``"lee"``.
        targets: of the rounds, ``"hard"`` or ``"soft"``.
        rounds: of self-training.
        strong_copies: in feature space, strongly changed copies of each row; 0 is none.
        scales: in feature space, 2: each image, no text nor series, is also looked at at five sevenths of its size; 1:
            once.
        space: ``"features"``, ``"pixels"``, or ``"both"``: first the one, then from there the other.
        steps: of gradient, for Lee's method and in pixel space; None: 1,500, and 6,000 in pixel space for networks
            from scratch.
        per_label: in pixel space, unlabelled images a labelled one in each batch; None: 3, and 8 for Lee's method.
        unlabelled_weight: in pixel space, of pseudo-labels in the end; None: 1, and 3 for Lee's method.
        resume: go on with a run that was stopped.

    Returns:
        The report, as in ``report.json``.

    Raises:
        ToolkitError: if the folder, the backbone, the weights or the options cannot be used.
    """
    for name, value, allowed in (("method", method, METHODS), ("targets", targets, TARGETS)):
        if value not in allowed:
            raise ToolkitError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}.")
    if method == "lee" and space != "features" and settings.label_smoothing:
        raise ToolkitError("Lee's method learns sigmoid units from classes: leave --label-smoothing at 0.")
    if method == "rounds" and space == "pixels" and settings.from_scratch and rounds < 2:
        raise ToolkitError("The first round of a network from scratch learns labels alone: use --rounds 2 or more.")
    own = {"method": method, "targets": targets, "rounds": rounds, "strong_copies": strong_copies}
    of_pixels = {"per_label": per_label, "unlabelled_weight": unlabelled_weight}
    usual = ROUNDS if table.kind == "image" else ON_SEQUENCES

    def on_features() -> feature_runs.Recipe:
        if method == "lee":
            learner = partial(lee, steps=steps or STEPS)
            same_head = partial(learner, full_weight=0.0)
        else:
            learner = partial(in_rounds, rounds=rounds, targets=targets)
            same_head = partial(discriminant_of_labels, shrinkage=usual[0]["shrinkage"])
        return feature_runs.Recipe(
            title="pseudo-label", method=learner, candidates=LEE if method == "lee" else usual, control=labels_only,
            control_candidates=CONTROLS, same_head=same_head, strong_copies=strong_copies,
            facts={"method": method, **({} if method == "lee" else {"rounds": rounds, "targets": targets})})

    return spaces.learn(
        table, "pseudo_label", output=output, settings=settings, space=space, scales=scales, resume=resume,
        options={**own, **of_pixels, "steps": steps}, probe=linear_probe, compile_=fine_tune.compile_member,
        stage=partial(run, **own), on_features=on_features,
        in_pixels=lambda: in_pixels(method=method, rounds=rounds, targets=targets, steps=steps,
                                    per_label=per_label or PER_LABEL[method],
                                    unlabelled_weight=unlabelled_weight or FULL_WEIGHT[method]))
