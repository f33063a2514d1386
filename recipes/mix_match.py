r"""MixMatch: labels guessed from several views, sharpened, and everything mixed with everything.

Each row of the pool is given one label, the sharpened mean of the answers to two views of it. Labelled and unlabelled
rows are then mixed with one another, images and labels alike,

.. math:: q = \mathrm{sharpen}\bigl(\tfrac12 \sum_k p(\text{view}_k), T\bigr), \quad
          \mathrm{sharpen}(p)_c \propto p_c^{1/T}, \qquad
          (x, t) \leftarrow s (x, t) + (1 - s) (x', t'), \quad s = \max(u, 1 - u), \;
          u \sim \mathrm{Beta}(\alpha, \alpha)

and what began as a labelled row is learnt by cross-entropy, what began as an unlabelled one by squared distance, which
a wrong guess hurts less,

.. math:: L = \frac1n \sum_i \mathrm{CE}(t_i, p(x_i)) + \lambda \, t \, \frac{1}{2b} \sum_j \lVert t_j - p(x_j) \rVert^2

with t the share of the steps that are done. In pixel space a row is mixed with another of the 1 + 2 U images that go
with one labelled image, at a distance drawn for each group, so that replicas share nothing; on cached features with any
row of the batch.

References:
    Berthelot et al. 2019, https://arxiv.org/abs/1905.02249 (lambda = 75 on the mean over ten classes: 7.5 on the sum)
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from recipes import fine_tune, linear_probe
from toolkit.semisupervised import descent, pixel_models, pixel_runs, pixel_views, spaces
from toolkit.semisupervised.trials import Fit, Problem
from toolkit.tables import Table
from toolkit.training import Settings

UNLABELLED_WEIGHT = 7.5
TEMPERATURE, ALPHA = 0.5, 0.75
CANDIDATES = [{"unlabelled_weight": weight} for weight in (2.5, 7.5)]


def sharpened(shares: Any) -> Any:
    """Distributions (..., C) with less entropy, ``p^(1/T)`` normalised."""
    powers = ops.power(shares, 1 / TEMPERATURE)
    return powers / ops.sum(powers, axis=-1, keepdims=True)


def on_features(problem: Problem, *, decay: float, unlabelled_weight: float, steps: int = descent.STEPS) -> Fit:
    """Learns a head from mixtures.

    Args:
        problem: labelled rows and pool.
        decay: rho.
        unlabelled_weight: lambda.
        steps: gradient steps.
    """
    return descent.learn(problem, _loss, {"unlabelled_weight": unlabelled_weight}, decay=decay, steps=steps,
                         use_pool=True)


def _loss(kernel: tf.Tensor, batch: descent.Batch, *, unlabelled_weight: tf.Tensor) -> tf.Tensor:
    views = (batch.weak, batch.strong)
    guess = tf.stop_gradient(sharpened(tf.add_n([tf.nn.softmax(view @ kernel) for view in views]) / 2))
    values = tf.concat([batch.labelled, *views], axis=0)
    targets = tf.concat([batch.targets, guess, guess], axis=0)
    seeds = tf.unstack(tf.random.split(batch.seed, 2))
    draws = tf.random.stateless_gamma((2, values.shape[0], 1), seeds[0], ALPHA)
    share = tf.math.divide_no_nan(draws[0], draws[0] + draws[1])
    share = tf.maximum(share, 1 - share)
    other = tf.random.experimental.stateless_shuffle(tf.range(values.shape[0]), seeds[1])
    values, targets = (share * one + (1 - share) * tf.gather(one, other) for one in (values, targets))
    logits, count = values @ kernel, batch.labelled.shape[0]
    distance = tf.reduce_mean(tf.reduce_sum(tf.square(targets[count:] - tf.nn.softmax(logits[count:])), axis=1))
    return descent.cross_entropy(targets[:count], logits[:count]) + unlabelled_weight * batch.progress * distance


class MixMatch(pixel_models.PoolModel):
    """``L = CE(t, p(x)) + lambda t(step) mean |t - p(u)|^2`` on mixtures x of labelled and u of unlabelled images."""

    learnt, asked = (), ("weak", "strong")

    def __init__(self, classifier: keras.Model, *, unlabelled_weight: float, **facts: Any) -> None:
        super().__init__(classifier, **facts)
        self.unlabelled_weight, self.mean_square = unlabelled_weight, keras.losses.MeanSquaredError()

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
                     training: bool = True) -> Any:
        """The loss of a batch."""
        answers = (ops.softmax(y_pred["weak"]) + ops.softmax(y_pred["strong"])) / 2
        guess = self.blended(sharpened(answers), x["rows"])
        self.note(guess)
        guess = ops.reshape(guess, (*x["rows"].shape, self.num_classes))
        images = self.mixed(ops.concatenate([x["labelled"][:, None], x["weak"], x["strong"]], axis=1), x)
        targets = self.mixed(ops.concatenate([y[:, None], guess, guess], axis=1), x)
        logits = ops.reshape(self.classifier(pixel_models.flat(images), training=training), targets.shape)
        distance = self.num_classes * self.mean_square(targets[:, 1:], ops.softmax(logits[:, 1:]))
        supervised = self.on_labels(targets[:, 0], logits[:, 0], sample_weight)
        return supervised + self.unlabelled_weight * self.progress * distance

    @staticmethod
    def mixed(values: Any, x: dict[str, Any]) -> Any:
        """Each of the G values (B, G, ...) of a labelled image, mixed with the one ``shift`` places on."""
        count = values.shape[1]
        other = tf.gather(values, (tf.range(count)[None] + x["shift"][:, None]) % count, batch_dims=1)
        share = ops.reshape(x["shares"], (*x["shares"].shape, *[1] * (len(values.shape) - 2)))
        return share * values + (1 - share) * other


def in_pixels(*, steps: int | None, unlabelled_weight: float, per_label: int) -> pixel_runs.PixelRecipe:
    """What ``pixel_runs.learn`` is given; see ``run`` for the arguments."""
    def views(settings: Settings, reflect: bool) -> pixel_views.Views:
        weak = pixel_views.changed(pixel_views.gentle(settings, reflect=reflect))
        return pixel_views.Views(weak, weak, per_label, mixing=ALPHA)

    return pixel_runs.PixelRecipe("mix-match", partial(MixMatch, unlabelled_weight=unlabelled_weight), views, steps,
                                  passes=4, facts={"unlabelled_weight": unlabelled_weight})


def run(table: Table, *, output: str | Path, settings: Settings = Settings(), steps: int | None = None,
        strong_copies: int = 2, scales: int = 2, space: str = "features", per_label: int = 3,
        unlabelled_weight: float = UNLABELLED_WEIGHT, resume: bool = False) -> dict[str, Any]:
    """Learns from labelled and unlabelled rows and writes a run folder.

    Args:
        table: with labelled training rows; training rows without a label are the pool. In pixel space of images.
        output: the new run folder.
        settings: in feature space, backbone, weights, image_size, reflect, seed and devices are used; in pixel space
            all that says how a network is trained, but epochs, layer-wise freezing, interpolation and members.
        steps: of gradient, for the method and for its control; None: 1,000 in feature space, 1,500 in
            pixel space, 6,000 there for networks from scratch.
        strong_copies: in feature space, strongly changed copies of each row; 0: the weak copy stands for them.
        scales: in feature space, 2: each image, no text nor series, is also looked at at five sevenths of its size; 1:
            once.
        space: ``"features"``, ``"pixels"``, or ``"both"``: first the one, then from there the other.
        per_label: in pixel space, unlabelled images a labelled one in each batch.
        unlabelled_weight: lambda in pixel space; in feature space it is chosen.
        resume: go on with a run that was stopped.

    Returns:
        The report, as in ``report.json``.

    Raises:
        ToolkitError: if the folder, the backbone, the weights or the options cannot be used.
    """
    of_pixels = {"per_label": per_label, "unlabelled_weight": unlabelled_weight}
    return spaces.learn(
        table, "mix_match", output=output, settings=settings, space=space, scales=scales, resume=resume,
        options={**of_pixels, "steps": steps, "strong_copies": strong_copies}, probe=linear_probe,
        compile_=fine_tune.compile_member, stage=partial(run, strong_copies=strong_copies),
        on_features=lambda: descent.recipe("mix-match", on_features, CANDIDATES, steps=steps or descent.STEPS,
                                           strong_copies=strong_copies),
        in_pixels=lambda: in_pixels(steps=steps, **of_pixels))
