r"""A linear head learnt by steps of gradient on cached views, from a loss that a recipe writes down.

A step draws labelled rows in their plain and weak views and rows of the pool in two views, moves the kernel W with
momentum against the gradient of

.. math:: L(W; \text{batch}) + \tfrac{\rho}{2} \lVert W \rVert^2

and the moving average of W is the result, and the teacher of methods that have one. The batches are a function of
(seed, step).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import tensorflow as tf

from toolkit.evaluation.baselines import LinearClassifier
from toolkit.semisupervised import feature_runs
from toolkit.semisupervised.trials import Fit, Method, Problem

STEPS = 1000
CONTROLS = [{"decay": decay} for decay in (1e-3, 1e-2, 1e-4)]
LABELLED_BATCH, UNLABELLED_BATCH = 64, 192
RATE, MOMENTUM = 0.3, 0.9
AVERAGE_OVER = 0.1  # of the steps: the length of the moving average
SCALE = 4.0  # of the values: steps of gradient reach a good length of W sooner


@dataclass(frozen=True, eq=False)
class Batch:
    """What a loss sees of one step; values end in a constant for the bias.

    Attributes:
        labelled: (n, r + 1).
        targets: (n, C) one-hot.
        weak: (b, r + 1), rows of the pool in a plain or weak view.
        strong: (b, r + 1), the same rows in a strong view, or a weak one where there is none.
        teacher: (r + 1, C), the moving average of the kernel.
        progress: () share of the steps that are done.
        seed: (2,) of whatever the loss draws.
    """

    labelled: tf.Tensor
    targets: tf.Tensor
    weak: tf.Tensor
    strong: tf.Tensor
    teacher: tf.Tensor
    progress: tf.Tensor
    seed: tf.Tensor


Loss = Callable[..., tf.Tensor]  # (kernel (r + 1, C), Batch, **settings) -> ()


def learn(problem: Problem, loss: Loss, settings: Mapping[str, float], *, decay: float, steps: int, use_pool: bool
          ) -> Fit:
    """The averaged head after all steps, and what it takes the pool for.

    Args:
        problem: labelled rows and pool; its last views are the strong ones, or the weak ones where there are none.
        loss: of a batch; a function of a module, not made anew for every call.
        settings: of the loss.
        decay: rho.
        steps: of gradient.
        use_pool: whether rows of the pool count as learnt from; else, and where there are none, the loss is
            cross-entropy on labelled rows.
    """
    num_gentle, width = 1 + problem.num_weak, problem.pool.shape[2]
    strong = problem.pool[num_gentle:] if len(problem.pool) > num_gentle else problem.pool[-1:]
    used = use_pool and problem.pool.shape[1] > 0
    empty = np.zeros((1, 1, width), np.float32)
    kernel = _graph(width, len(problem.prior))(
        tf.constant(_extended(problem.labelled[:num_gentle])), tf.constant(problem.targets),
        tf.constant(_extended(problem.pool[:num_gentle] if used else empty)),
        tf.constant(_extended(strong if used else empty)),
        {name: tf.constant(value, tf.float32) for name, value in settings.items()} if used else {},
        tf.constant(problem.seed, tf.int32), tf.constant(steps), tf.constant(decay, tf.float32),
        loss=loss if used else supervised).numpy().astype(np.float64)
    head = LinearClassifier("linear head", SCALE * kernel[:-1], SCALE * kernel[-1])
    logits = np.mean([view @ head.kernel + head.bias for view in problem.pool[:num_gentle]], axis=0)
    taken = np.full(problem.pool.shape[1], int(used))
    return Fit(head, logits.argmax(axis=1), taken, [{"epoch": 1, "steps": steps, "coverage": float(used)}])


def labels_only(problem: Problem, *, decay: float, steps: int = STEPS) -> Fit:
    """The control: the same head, steps and batches, without the pool.

    Args:
        problem: its pool is labelled, but not learnt from.
        decay: rho.
        steps: gradient steps.
    """
    return learn(problem, supervised, {}, decay=decay, steps=steps, use_pool=False)


def recipe(title: str, method: Method, candidates: Sequence[Mapping[str, Any]], *, steps: int, strong_copies: int
           ) -> feature_runs.Recipe:
    """What ``feature_runs.learn`` is given by a method that learns a head this way.

    Args:
        title: in words, for the report.
        method: takes steps too.
        candidates: its settings, the usual ones first.
        steps: of gradient, for the method and for its control.
        strong_copies: strongly changed copies of each row.
    """
    return feature_runs.Recipe(
        title=title, method=partial(method, steps=steps), candidates=candidates,
        control=partial(labels_only, steps=steps), control_candidates=CONTROLS, strong_copies=strong_copies,
        facts={"steps": steps, "batch": f"{LABELLED_BATCH} + {UNLABELLED_BATCH}"})


def cross_entropy(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """The mean over the rows, ()."""
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))


def supervised(kernel: tf.Tensor, batch: Batch) -> tf.Tensor:
    """The part of the labelled rows, which is all of the control."""
    return cross_entropy(batch.targets, batch.labelled @ kernel)


def _extended(values: np.ndarray) -> np.ndarray:
    """Values scaled, with a constant for the bias at their end."""
    return np.concatenate([SCALE * values, np.full((*values.shape[:-1], 1), SCALE, np.float32)], axis=-1)


@cache
def _graph(width: int, num_classes: int) -> tf.types.experimental.PolymorphicFunction:
    """``_train`` for one width and number of classes: other numbers of rows need no new graph."""
    return tf.function(_train, reduce_retracing=True)


def _train(labelled: tf.Tensor, targets: tf.Tensor, weak: tf.Tensor, strong: tf.Tensor, settings: dict[str, tf.Tensor],
           seed: tf.Tensor, steps: tf.Tensor, decay: tf.Tensor, *, loss: Loss) -> tf.Tensor:
    """All steps in one graph; the averaged kernel (r + 1, C)."""
    shape = (labelled.shape[-1], targets.shape[-1])
    penalised = tf.concat([tf.fill((shape[0] - 1, 1), decay), tf.zeros((1, 1))], axis=0)
    length = tf.maximum(2.0, AVERAGE_OVER * tf.cast(steps, tf.float32))

    def rows(seeds: tf.Tensor, values: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
        draws = tf.random.stateless_uniform((2, size), seeds)
        counts = tf.cast(tf.shape(values)[:2], tf.float32)[:, None]
        view, number = tf.unstack(tf.cast(draws * counts, tf.int32))
        return tf.gather_nd(values, tf.stack([view, number], axis=1)), number

    def step_(step: tf.Tensor, kernel: tf.Tensor, velocity: tf.Tensor, average: tf.Tensor) -> tuple:
        seeds = tf.unstack(tf.random.split(tf.stack([seed, step]), 4))
        known, number = rows(seeds[0], labelled, LABELLED_BATCH)
        gentle, of_pool = rows(seeds[1], weak, UNLABELLED_BATCH)
        view = tf.random.stateless_uniform((UNLABELLED_BATCH,), seeds[2], 0, tf.shape(strong)[0], tf.int32)
        progress = tf.cast(step, tf.float32) / tf.cast(steps, tf.float32)
        batch = Batch(known, tf.gather(targets, number), gentle,
                      tf.gather_nd(strong, tf.stack([view, of_pool], axis=1)), average, progress, seeds[3])
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            value = loss(kernel, batch, **settings)
        slope = tape.gradient(value, kernel) + penalised * kernel
        velocity = MOMENTUM * velocity - RATE * tf.cos(7 * np.pi / 16 * progress) * slope
        kernel += velocity
        share = tf.minimum(1 - 1 / length, tf.cast(step, tf.float32) / tf.cast(step + 10, tf.float32))
        return step + 1, kernel, velocity, share * average + (1 - share) * kernel

    zeros = tf.zeros(shape)
    return tf.while_loop(lambda step, *_: step < steps, step_, (tf.constant(0), zeros, zeros, zeros))[3]
