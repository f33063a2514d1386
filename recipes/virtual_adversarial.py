r"""Virtual adversarial training: predictions stay the same in the direction in which they would change most.

For each row of the pool, one power iteration from a random direction d finds the small change r that moves the
network's answer most, and the answer p at x is taught to x + r; the entropy of the answers is made small besides,

.. math:: g = \nabla_d \mathrm{KL}(p(x) \Vert p(x + \xi d)), \quad r = \epsilon \frac{g}{\lVert g \rVert}, \qquad
          L = \frac1n \sum_i \mathrm{CE}(y_i, p(x_i))
          + \lambda \frac1b \sum_j \bigl[ \mathrm{KL}(p(x_j) \Vert p(x_j + r_j)) + H(p(x_j)) \bigr]

with p(x) in the divergence held fixed. The gradient of the cross-entropy of fixed p is that of the divergence, so that
is what is minimised. In feature space the network is one linear head W, g = (p(x + xi d) - p(x)) W', and epsilon is a
share of the mean length of the features; in pixel space it is the root mean square change of a grey level, as a share
of the 255, and both answers are given in inference mode, so that only r makes them differ.

References:
    Miyato, Maeda, Koyama, Ishii 2018, https://arxiv.org/abs/1704.03976
    Entropy minimisation: Grandvalet and Bengio 2004
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from recipes import fine_tune, linear_probe
from toolkit.semisupervised import descent, pixel_models, pixel_runs, pixel_views, spaces
from toolkit.semisupervised.trials import Fit, Problem
from toolkit.tables import Table
from toolkit.training import Settings

UNLABELLED_WEIGHT = 1.0
PROBE = 0.1  # xi, in epsilons
RADIUS = 0.02
CANDIDATES = [{"unlabelled_weight": weight, "radius": radius}
              for weight, radius in ((0.3, 0.5), (1.0, 0.5), (0.3, 1.0))]


def on_features(problem: Problem, *, decay: float, unlabelled_weight: float, radius: float,
                steps: int = descent.STEPS) -> Fit:
    """Learns a head that small changes of the features do not move.

    Args:
        problem: labelled rows and pool.
        decay: rho.
        unlabelled_weight: lambda.
        radius: epsilon, relative to the mean length of the features.
        steps: gradient steps.
    """
    return descent.learn(problem, _loss, {"unlabelled_weight": unlabelled_weight, "radius": descent.SCALE * radius},
                         decay=decay, steps=steps, use_pool=True)


def _loss(kernel: tf.Tensor, batch: descent.Batch, *, unlabelled_weight: tf.Tensor, radius: tf.Tensor) -> tf.Tensor:
    values = batch.weak
    shares = tf.nn.softmax(values @ kernel)
    fixed = tf.stop_gradient(shares)
    varying = tf.concat([tf.ones(values.shape[1] - 1), [0.0]], axis=0)  # all but the constant for the bias
    step = PROBE * radius * unit(tf.random.stateless_normal(tf.shape(values), batch.seed) * varying)
    slope = tf.matmul(tf.nn.softmax((values + step) @ kernel) - fixed, kernel, transpose_b=True) * varying
    change = tf.stop_gradient(radius * unit(slope))
    smooth = descent.cross_entropy(fixed, (values + change) @ kernel)
    entropy = descent.cross_entropy(shares, values @ kernel)
    return descent.supervised(kernel, batch) + unlabelled_weight * (smooth + entropy)


def unit(values: Any) -> Any:
    """Rows (b, ...) scaled to the length 1; rows of zeros stay."""
    axes = tuple(range(1, len(values.shape)))
    values = values / ops.maximum(ops.max(ops.abs(values), axis=axes, keepdims=True), 1e-30)  # squares underflow
    return values / ops.maximum(ops.sqrt(ops.sum(ops.square(values), axis=axes, keepdims=True)), 1e-30)


class VirtualAdversarial(pixel_models.PoolModel):
    """``L = CE(y, p(labelled)) + lambda mean(CE(p(x), p(x + r)) + H(p(x)))``; the strong view is a random direction."""

    learnt, asked = ("labelled", "weak"), ()

    def __init__(self, classifier: keras.Model, *, unlabelled_weight: float, radius: float, **facts: Any) -> None:
        super().__init__(classifier, **facts)
        self.unlabelled_weight = unlabelled_weight
        self.radius = 255 * radius * float(np.prod(classifier.input_shape[1:])) ** 0.5

    def adversary(self, images: Any, shares: Any, directions: Any) -> Any:
        """r of each image (b, S, S, 3), without a gradient.

        Args:
            images: (b, S, S, 3).
            shares: (b, C), the answers to them.
            directions: (b, S, S, 3) random numbers.
        """
        step = PROBE * self.radius * unit(directions)
        with tf.GradientTape() as tape:
            tape.watch(step)
            divergence = self.cross_entropy(shares, self.classifier(images + step, training=False))
        return ops.stop_gradient(self.radius * unit(tape.gradient(divergence, step)))

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
                     training: bool = True) -> Any:
        """The loss of a batch."""
        images = pixel_models.flat(x["weak"])
        fixed = ops.stop_gradient(ops.softmax(self.classifier(images, training=False)))
        change = self.adversary(images, fixed, pixel_models.flat(x["strong"]))
        smooth = self.cross_entropy(fixed, self.classifier(images + change, training=False))
        entropy = self.cross_entropy(ops.softmax(y_pred["weak"]), y_pred["weak"])
        self.note(fixed)
        return self.on_labels(y, y_pred["labelled"], sample_weight) + self.handed_over(
            self.unlabelled_weight * (smooth + entropy), y_pred["weak"], x["rows"])


def in_pixels(*, steps: int | None, unlabelled_weight: float, per_label: int, radius: float) -> pixel_runs.PixelRecipe:
    """What ``pixel_runs.learn`` is given; see ``run`` for the arguments."""
    def views(settings: Settings, reflect: bool) -> pixel_views.Views:
        weak = pixel_views.changed(pixel_views.gentle(settings, reflect=reflect))
        return pixel_views.Views(weak, pixel_views.noise, per_label)

    facts = {"unlabelled_weight": unlabelled_weight, "radius": radius}
    return pixel_runs.PixelRecipe("virtual adversarial training", partial(VirtualAdversarial, **facts), views, steps,
                                  passes=4, facts=facts)


def run(table: Table, *, output: str | Path, settings: Settings = Settings(), steps: int | None = None,
        strong_copies: int = 0, scales: int = 2, space: str = "features", per_label: int = 3,
        unlabelled_weight: float = UNLABELLED_WEIGHT, radius: float = RADIUS, resume: bool = False) -> dict[str, Any]:
    """Learns from labelled and unlabelled rows and writes a run folder.

    Args:
        table: with labelled training rows; training rows without a label are the pool. In pixel space of images.
        output: the new run folder.
        settings: in feature space, backbone, weights, image_size, reflect, seed and devices are used; in pixel space
            all that says how a network is trained, but epochs, layer-wise freezing, interpolation and members.
        steps: of gradient, for the method and for its control; None: 1,000 in feature space, 1,500 in
            pixel space, 6,000 there for networks from scratch.
        strong_copies: in feature space, strongly changed copies of each row; this method leaves them alone.
        scales: in feature space, 2: each image, no text nor series, is also looked at at five sevenths of its size; 1:
            once.
        space: ``"features"``, ``"pixels"``, or ``"both"``: first the one, then from there the other.
        per_label: in pixel space, unlabelled images a labelled one in each batch.
        unlabelled_weight: lambda in pixel space; in feature space it is chosen.
        radius: epsilon in pixel space, the root mean square change of a grey level as a share of 255; in feature space
            it is chosen.
        resume: go on with a run that was stopped.

    Returns:
        The report, as in ``report.json``.

    Raises:
        ToolkitError: if the folder, the backbone, the weights or the options cannot be used.
    """
    of_pixels = {"per_label": per_label, "unlabelled_weight": unlabelled_weight, "radius": radius}
    return spaces.learn(
        table, "virtual_adversarial", output=output, settings=settings, space=space, scales=scales, resume=resume,
        options={**of_pixels, "steps": steps, "strong_copies": strong_copies}, probe=linear_probe,
        compile_=fine_tune.compile_member, stage=partial(run, strong_copies=strong_copies),
        on_features=lambda: descent.recipe("virtual adversarial training", on_features, CANDIDATES,
                                           steps=steps or descent.STEPS, strong_copies=strong_copies),
        in_pixels=lambda: in_pixels(steps=steps, **of_pixels))
