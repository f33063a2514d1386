r"""FixMatch and its family: what a weak view is taken for, strong views are taught.

Each step learns from a batch of labelled rows and a batch of the pool in a weak and a strong view; a rule gives targets
q and weights w from the weak logits (``weight_rules``),

.. math:: L = \frac1n \sum_i \mathrm{CE}(y_i, p(x_i)) + \lambda \frac1b \sum_j w_j \mathrm{CE}(q_j, p(\text{strong}_j))
          + \tfrac{\rho}{2} \lVert W \rVert^2

and the result is the moving average of the weights. In feature space W is one linear head on cached copies of each
image, so that its gradient is written out: x' (p - t). In pixel space the whole network learns from fresh draws, and
AdamW decays its weights. The batches of a step are a function of (seed, step).

The usual rule is AdaMatch, which brings the pseudo-labels in line with the classes' shares among the labels, unless the
pool is seen to have others. A network from scratch sees nothing when it begins: there it is FlexMatch, which takes no
shares for granted.

Measured (commands in ``benchmarks/RESULTS.md``): MNIST, a small convolutional net from scratch, 10,000 steps of 16 +
64 images, five draws: error 0.63 % with 20 labels (labels only 39.4 %), 0.66 % with 100 (5.6 %), 0.60 % with 1,000
(1.3 %), 16 to 28 min on one core with the control. cifar10_small in feature space, 40 labels, five draws: 58.3 %
right, labels only 51.7 %; 250 labels: 65.5 and 64.4 %; 60 s.

References:
    Sohn et al. 2020, https://arxiv.org/abs/2001.07685; the rules: see ``toolkit.semisupervised.weight_rules``
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes import fine_tune, linear_probe
from toolkit import ToolkitError
from toolkit.evaluation.baselines import LinearClassifier
from toolkit.semisupervised import (class_shares, feature_runs, heads, pixel_models, pixel_runs, pixel_views, spaces,
                                    weight_rules)
from toolkit.semisupervised.trials import Fit, Problem
from toolkit.tables import Table
from toolkit.training import Settings

STEPS = 1000
RULE, RULE_FROM_SCRATCH = "adamatch", "flexmatch"
LABELLED_BATCH, UNLABELLED_BATCH = 64, 448  # the paper's
RATE, MOMENTUM = 0.3, 0.9
AVERAGE_OVER = 0.1  # of the steps: the length of the moving averages
PLAIN_STRENGTH = 3.0  # of the logistic regression that looks whether the pool is like the labels
SCALE = 4.0  # of the values: steps of gradient reach a good length of W sooner
CONTROLS = [{"decay": decay} for decay in (1e-3, 1e-2, 1e-4)]
CANDIDATES = [{"unlabelled_weight": weight} for weight in (3.0, 1.0)]


def labels_only(problem: Problem, *, decay: float, steps: int = 1000) -> Fit:
    """The control: the same head, steps and batches, without the pool.

    Args:
        problem: its pool is labelled, but not learnt from.
        decay: rho.
        steps: gradient steps.
    """
    fit = consistent(problem, decay=decay, unlabelled_weight=0.0, steps=steps)
    return Fit(fit.head, fit.pseudo_labels, np.zeros(len(fit.rounds), int))


def consistent(problem: Problem, *, decay: float, unlabelled_weight: float, rule: str = "adamatch", steps: int = 1000
               ) -> Fit:
    """Learns a head whose strong views agree with the weak ones.

    Args:
        problem: labelled rows and pool; its last views are the strong ones, or the weak ones where there are none.
        decay: rho.
        unlabelled_weight: lambda.
        rule: one of ``weight_rules.RULES``.
        steps: gradient steps.
    """
    views, count, width = problem.pool.shape
    num_classes, num_gentle = len(problem.prior), 1 + problem.num_weak
    strong = problem.pool[num_gentle:] if views > num_gentle else problem.pool[-1:]
    momentum = 1 - 1 / max(2.0, AVERAGE_OVER * steps)
    used = count > 0 and unlabelled_weight > 0
    empty = np.zeros((1, 1, width), np.float32)
    align = used and rule == "adamatch" and not _of_other_shares(problem)
    state = weight_rules.begin(num_classes, count if used else 1, momentum=momentum, align=align)
    kernel, state = _graph(width, num_classes)(
        tf.constant(_extended(problem.labelled[:num_gentle])), tf.constant(problem.targets),
        tf.constant(_extended(problem.pool[:num_gentle] if used else empty)),
        tf.constant(_extended(strong if used else empty)), {name: tf.constant(value) for name, value in state.items()},
        tf.constant(problem.seed, tf.int32), tf.constant(steps), tf.constant(decay, tf.float32),
        tf.constant(unlabelled_weight if used else 0.0, tf.float32), rule=rule)
    kernel = kernel.numpy().astype(np.float64)
    head = LinearClassifier("linear head", SCALE * kernel[:-1], SCALE * kernel[-1])
    logits = _extended(problem.pool[:num_gentle]).mean(axis=0) @ kernel.astype(np.float32)
    labels, weights = logits.argmax(axis=1), np.zeros(0, np.float32)
    if count:
        known = _extended(problem.labelled[:num_gentle]).mean(axis=0) @ kernel.astype(np.float32)
        targets, weights = weight_rules.RULES[rule](state, known, logits, problem.labels, np.arange(count))[1:]
        labels, weights = np.argmax(targets, axis=1), np.asarray(weights)
    taken = (weights >= 0.5) & used
    return Fit(head, labels, taken.astype(int), [{"epoch": 1, "steps": steps, "coverage": float(np.mean(weights)) if
                                                  count else 0.0}])


def _of_other_shares(problem: Problem) -> bool:
    """Whether logistic regression on the labelled rows sees other shares of the classes in the pool."""
    head = heads.logistic(problem.labelled[0], problem.targets, np.ones(len(problem.labels)), strength=PLAIN_STRENGTH)
    return class_shares.differ(head.probabilities(problem.pool[0]).argmax(axis=1), problem.prior)


def _extended(values: np.ndarray) -> np.ndarray:
    """Values scaled, with a constant one for the bias at their end."""
    return np.concatenate([SCALE * values, np.full((*values.shape[:-1], 1), SCALE, np.float32)], axis=-1)


@cache
def _graph(width: int, num_classes: int) -> tf.types.experimental.PolymorphicFunction:
    """``_train`` for one width and number of classes: other numbers of rows need no new graph."""
    return tf.function(_train, reduce_retracing=True)


def _train(labelled: tf.Tensor, targets: tf.Tensor, weak: tf.Tensor, strong: tf.Tensor, state: dict[str, tf.Tensor],
           seed: tf.Tensor, steps: tf.Tensor, decay: tf.Tensor, unlabelled_weight: tf.Tensor, *, rule: str
           ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """All steps in one graph; the averaged kernel (r + 1, C) and the state of the rule after the last."""
    shape = (labelled.shape[-1], targets.shape[-1])
    penalised = tf.concat([tf.fill((shape[0] - 1, 1), decay), tf.zeros((1, 1))], axis=0)

    def rows(step: tf.Tensor, stream: int, values: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
        seeds = tf.random.fold_in(tf.stack([seed, step]), stream)
        draws = tf.random.stateless_uniform((2, size), seeds)
        number = tf.cast(draws[0] * tf.cast(tf.shape(values)[1], tf.float32), tf.int32)
        view = tf.cast(draws[1] * tf.cast(tf.shape(values)[0], tf.float32), tf.int32)
        return view, number

    def step_(step: tf.Tensor, kernel: tf.Tensor, velocity: tf.Tensor, average: tf.Tensor, state: dict) -> tuple:
        view, number = rows(step, 0, labelled, LABELLED_BATCH)
        known, labels = tf.gather_nd(labelled, tf.stack([view, number], axis=1)), tf.gather(targets, number)
        slope = _slope(known, kernel, labels, tf.ones(LABELLED_BATCH))
        view, number = rows(step, 1, weak, UNLABELLED_BATCH)
        other = rows(step, 2, strong, UNLABELLED_BATCH)[0]
        gentle = tf.gather_nd(weak, tf.stack([view, number], axis=1)) @ kernel
        changed = tf.gather_nd(strong, tf.stack([other, number], axis=1))
        state, wanted, weights = weight_rules.RULES[rule](state, known @ kernel, gentle, tf.argmax(labels, axis=1),
                                                          number)
        slope += unlabelled_weight * _slope(changed, kernel, wanted, weights) + penalised * kernel
        rate = RATE * tf.cos(7 * np.pi / 16 * tf.cast(step, tf.float32) / tf.cast(steps, tf.float32))  # the paper's
        velocity = MOMENTUM * velocity - rate * slope
        kernel += velocity
        share = tf.minimum(state["momentum"], tf.cast(step, tf.float32) / tf.cast(step + 10, tf.float32))
        return step + 1, kernel, velocity, share * average + (1 - share) * kernel, state

    zeros = tf.zeros(shape)
    found = tf.while_loop(lambda step, *_: step < steps, step_, (tf.constant(0), zeros, zeros, zeros, state))
    return found[3], found[4]


def _slope(values: tf.Tensor, kernel: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Gradient of the mean over the batch of the weighted cross-entropy."""
    errors = (tf.nn.softmax(values @ kernel) - targets) * weights[:, None]
    return tf.matmul(values, errors, transpose_a=True) / tf.cast(tf.shape(values)[0], tf.float32)


class Consistent(pixel_models.PoolModel):
    """``L = CE(y, p(labelled)) + lambda mean(w CE(q, p(strong)))``, with q, w by a rule from the weak views.

    The state of the rule lies in variables, so that checkpoints hold it. It sees the views of all replicas.
    """

    def __init__(self, classifier: keras.Model, *, rule: str, unlabelled_weight: float, **facts: Any) -> None:
        super().__init__(classifier, **facts)
        self.rule, self.unlabelled_weight = weight_rules.RULES[rule], unlabelled_weight
        momentum = 1 - 1 / max(2.0, AVERAGE_OVER * self.total_steps)
        state = weight_rules.begin(self.num_classes, self.num_unlabelled, momentum=momentum, align=self.align)
        self.state = {name: self.remembered(name, value) for name, value in state.items()}

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
                     training: bool = True) -> Any:
        """The loss of a batch; the state of the rule moves on."""
        supervised = self.on_labels(y, y_pred["labelled"], sample_weight)
        known, weak, labels, rows = map(pixel_models.gathered, (
            y_pred["labelled"], y_pred["weak"], keras.ops.argmax(y, axis=1), pixel_models.flat(x["rows"])))
        now = {name: keras.ops.convert_to_tensor(value) for name, value in self.state.items()}
        then, targets, weights = self.rule(now, keras.ops.stop_gradient(known), weak, labels, rows)
        for name, value in then.items():
            self.state[name].assign(keras.ops.stop_gradient(value))
        targets, weights = pixel_models.own(targets), pixel_models.own(weights)
        self.note(targets, weights)
        consistency = self.cross_entropy(targets, y_pred["strong"], weights)
        return supervised + self.handed_over(self.unlabelled_weight * consistency, y_pred["strong"], x["rows"])

    def pseudo_labels(self, logits: np.ndarray, rows: np.ndarray | None, labelled: np.ndarray, labels: np.ndarray
                      ) -> tuple[np.ndarray, np.ndarray]:
        """What the rule would teach now."""
        rows = np.zeros(len(logits), int) if rows is None else rows  # whose memory is not asked
        now = {name: value.numpy() for name, value in self.state.items()}
        targets, weights = self.rule(now, labelled, logits, labels, rows)[1:]
        return np.argmax(targets, axis=1), np.asarray(weights)


def in_pixels(*, rule: str, steps: int | None, unlabelled_weight: float, per_label: int, strength: float
              ) -> pixel_runs.PixelRecipe:
    """What ``pixel_runs.learn`` is given.

    Args:
        rule: one of ``weight_rules.RULES``.
        steps: gradient steps.
        unlabelled_weight: lambda.
        per_label: unlabelled images a labelled one in each batch.
        strength: factor on the strong views' strength.
    """
    def views(settings: Settings, reflect: bool) -> pixel_views.Views:
        weak = pixel_views.gentle(settings, reflect=reflect)
        return pixel_views.Views(pixel_views.changed(weak), pixel_views.strongly(weak, strength=strength), per_label)

    return pixel_runs.PixelRecipe(
        title="fix-match", model=partial(Consistent, rule=rule, unlabelled_weight=unlabelled_weight), views=views,
        steps=steps, facts={"rule": rule, "unlabelled_weight": unlabelled_weight, "strength": strength})


def run(table: Table, *, output: str | Path, settings: Settings = Settings(), rule: str | None = None,
        steps: int | None = None, strong_copies: int = 2, scales: int = 2, space: str = "features",
        per_label: int = 3, unlabelled_weight: float = 1.0, strength: float = 1.0, resume: bool = False
        ) -> dict[str, Any]:
    """Learns from labelled and unlabelled rows and writes a run folder.

    Args:
        table: with labelled training rows; training rows without a label are the pool. In pixel space of images.
        output: the new run folder.
        settings: in feature space, backbone, weights, image_size, reflect, seed and devices are used; in pixel space
            all that says how a network is trained, but epochs, layer-wise freezing, interpolation and members.
        rule: one of ``weight_rules.RULES``; None: AdaMatch, or FlexMatch where a network is trained from scratch.
        steps: of gradient, for the method and for its control; None: 1,000 in feature space, 1,500 in
            pixel space, 6,000 there for networks from scratch.
        strong_copies: in feature space, strongly changed copies of each row; 0: the weak copy stands for them.
        scales: in feature space, 2: each image, no text nor series, is also looked at at five sevenths of its size; 1:
            once.
        space: ``"features"``, ``"pixels"``, or ``"both"``: first the one, then from there the other.
        per_label: in pixel space, unlabelled images a labelled one in each batch.
        unlabelled_weight: in pixel space, of the loss of unlabelled images; in feature space it is chosen.
        strength: in pixel space, factor on how strongly the strong views are changed, in [0, 2].
        resume: go on with a run that was stopped.

    Returns:
        The report, as in ``report.json``.

    Raises:
        ToolkitError: if the folder, the backbone, the weights or the options cannot be used.
    """
    rule = rule or (RULE_FROM_SCRATCH if space == "pixels" and settings.from_scratch else RULE)
    if rule not in weight_rules.RULES:
        raise ToolkitError(f"rule is {rule!r}; it must be one of {', '.join(weight_rules.RULES)}.")
    own = {"rule": rule, "strong_copies": strong_copies}
    of_pixels = {"per_label": per_label, "unlabelled_weight": unlabelled_weight, "strength": strength}
    steps_on_features = steps or STEPS

    def on_features() -> feature_runs.Recipe:
        return feature_runs.Recipe(
            title="fix-match", method=partial(consistent, rule=rule, steps=steps_on_features), candidates=CANDIDATES,
            control=partial(labels_only, steps=steps_on_features), control_candidates=CONTROLS,
            strong_copies=strong_copies, facts={"rule": rule, "steps": steps_on_features,
                                                "batch": f"{LABELLED_BATCH} + {UNLABELLED_BATCH}"})

    return spaces.learn(
        table, "fix_match", output=output, settings=settings, space=space, scales=scales, resume=resume,
        options={**own, **of_pixels, "steps": steps}, probe=linear_probe, compile_=fine_tune.compile_member,
        stage=partial(run, **own), on_features=on_features,
        in_pixels=lambda: in_pixels(rule=rule, steps=steps, **of_pixels))
