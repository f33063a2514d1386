r"""Mean teacher: the network agrees, on every view, with the moving average of itself.

The teacher's weights are the average that the optimizer keeps of the student's. Student and teacher see two views of
each row of the pool, and the student's probabilities p are drawn to the teacher's q,

.. math:: L = \frac1n \sum_i \mathrm{CE}(y_i, p(x_i))
          + \lambda \, r(t) \frac{1}{b} \sum_j \lVert p(\text{view}_j) - q(\text{view}'_j) \rVert^2,
          \qquad \theta_q \leftarrow \beta \theta_q + (1 - \beta) \theta_p

with :math:`r(t) = \exp(-5 (1 - t / 0.4)^2)` up to 0.4 of the steps and 1 afterwards, and the average lasting a tenth of
the steps. No row is left out: there is no threshold. In pixel space both views are weak ones, as in the paper; on
cached features (one linear head) the student sees strongly changed copies and the teacher does not.

References:
    Tarvainen and Valpola 2017, https://arxiv.org/abs/1703.01780
    The ramp: Laine and Aila 2017, https://arxiv.org/abs/1610.02242
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from recipes import fine_tune, linear_probe
from toolkit import ToolkitError
from toolkit.semisupervised import descent, pixel_models, pixel_runs, pixel_views, spaces
from toolkit.semisupervised.trials import Fit, Problem
from toolkit.tables import Table
from toolkit.training import Settings

RAMP = 0.4  # of the steps
UNLABELLED_WEIGHT = 10.0
CANDIDATES = [{"unlabelled_weight": weight} for weight in (3.0, 10.0)]


def ramp(progress: Any) -> Any:
    """r(t), () in (0, 1], of the share of the steps that are done."""
    return ops.exp(-5 * ops.square(ops.maximum(1 - progress / RAMP, 0.0)))


def on_features(problem: Problem, *, decay: float, unlabelled_weight: float, steps: int = descent.STEPS) -> Fit:
    """Learns a head that agrees with its own average.

    Args:
        problem: labelled rows and pool.
        decay: rho.
        unlabelled_weight: lambda.
        steps: gradient steps.
    """
    return descent.learn(problem, _loss, {"unlabelled_weight": unlabelled_weight}, decay=decay, steps=steps,
                         use_pool=True)


def _loss(kernel: tf.Tensor, batch: descent.Batch, *, unlabelled_weight: tf.Tensor) -> tf.Tensor:
    taught = tf.stop_gradient(tf.nn.softmax(batch.weak @ batch.teacher))
    distance = tf.reduce_mean(tf.reduce_sum(tf.square(tf.nn.softmax(batch.strong @ kernel) - taught), axis=1))
    return descent.supervised(kernel, batch) + unlabelled_weight * ramp(batch.progress) * distance


class MeanTeacher(pixel_models.PoolModel):
    """``L = CE(y, p(labelled)) + lambda r(t) mean |p(view) - q(view')|^2``, with q by the averaged weights."""

    asked = ()

    def __init__(self, classifier: keras.Model, *, unlabelled_weight: float, **facts: Any) -> None:
        super().__init__(classifier, **facts)
        self.unlabelled_weight, self.mean_square = unlabelled_weight, keras.losses.MeanSquaredError()

    def teacher(self, images: Any) -> Any:
        """Logits by the moving average of the weights, in inference mode, without a gradient."""
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)  # float16: loss scaling
        averages = optimizer._model_variables_moving_average
        student = self.classifier.trainable_variables
        known = ops.cast(self.optimizer.iterations > 0, "float32")  # before the first step the average is empty
        weights = [known * ops.convert_to_tensor(average) + (1 - known) * ops.convert_to_tensor(variable)
                   for average, variable in zip(averages, student, strict=True)]
        state = [ops.convert_to_tensor(variable) for variable in self.classifier.non_trainable_variables]
        return ops.stop_gradient(self.classifier.stateless_call(weights, state, images, training=False)[0])

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
                     training: bool = True) -> Any:
        """The loss of a batch."""
        taught = ops.softmax(self.teacher(pixel_models.flat(x["weak"])))
        self.note(taught)
        distance = self.num_classes * self.mean_square(taught, ops.softmax(y_pred["strong"]))
        return self.on_labels(y, y_pred["labelled"], sample_weight) + self.handed_over(
            self.unlabelled_weight * ramp(self.progress) * distance, y_pred["strong"], x["rows"])


def in_pixels(*, steps: int | None, unlabelled_weight: float, per_label: int) -> pixel_runs.PixelRecipe:
    """What ``pixel_runs.learn`` is given; see ``run`` for the arguments."""
    def views(settings: Settings, reflect: bool) -> pixel_views.Views:
        weak = pixel_views.changed(pixel_views.gentle(settings, reflect=reflect))
        return pixel_views.Views(weak, weak, per_label)

    return pixel_runs.PixelRecipe("mean teacher", partial(MeanTeacher, unlabelled_weight=unlabelled_weight), views,
                                  steps, facts={"unlabelled_weight": unlabelled_weight})


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
    if space != "features" and not settings.ema:
        raise ToolkitError("ema is 0, but the moving average of the weights is the teacher: leave it on.")
    of_pixels = {"per_label": per_label, "unlabelled_weight": unlabelled_weight}
    return spaces.learn(
        table, "mean_teacher", output=output, settings=settings, space=space, scales=scales, resume=resume,
        options={**of_pixels, "steps": steps, "strong_copies": strong_copies}, probe=linear_probe,
        compile_=fine_tune.compile_member, stage=partial(run, strong_copies=strong_copies),
        on_features=lambda: descent.recipe("mean teacher", on_features, CANDIDATES, steps=steps or descent.STEPS,
                                           strong_copies=strong_copies),
        in_pixels=lambda: in_pixels(steps=steps, **of_pixels))
