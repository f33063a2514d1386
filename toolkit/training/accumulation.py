r"""Steps that add up the gradients of parts of a batch, for batches that do not fit into memory at once.

.. math:: g = \frac1k \sum_{i=1}^{k} \nabla L(B_i), \qquad B = B_1 \cup \dots \cup B_k

is the gradient of the whole batch, for losses that are means over rows. A BatchNorm that moves sees the parts.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras.src.losses.loss import unscale_loss_for_distribution

from toolkit import ToolkitError
from toolkit.training.progress import say


def divide_steps(model: keras.Model, parts: int) -> None:
    """Lets each training step of a model pass ``parts`` parts of its batch one after another; 1: the whole batch.

    Args:
        model: compiled; its next ``fit`` does so.
        parts: they must be equal.
    """
    if parts > 1:
        model.train_step = lambda data: _step(model, data, parts)
        model.train_function = None
    elif "train_step" in vars(model):
        del model.train_step
        model.train_function = None


def more_parts(parts: int, error: tf.errors.ResourceExhaustedError) -> int:
    """Twice as many parts, since memory ran out; says so.

    Args:
        parts: those of the step that failed.
        error: how it failed.
    """
    where = str(error.message).splitlines()[0][:160]
    say(f"Memory ran out ({where}): each batch is now divided into {2 * parts} parts, whose gradients are added up; "
        f"the batch size stays as it is.")
    return 2 * parts


def _step(model: keras.Model, data: Any, parts: int) -> dict[str, Any]:
    """One step of ``fit``, like that of Keras itself."""
    rows = tf.nest.flatten(data)[0].shape[0]
    if rows is None or rows % parts:
        raise ToolkitError(f"A batch of {rows} rows on each device cannot be divided into {parts} equal parts: choose "
                           f"another --batch-size, a smaller --image-size or another --accumulation.")
    size, variables, sums = rows // parts, model.trainable_variables, []
    for number in range(parts):
        with tf.control_dependencies(sums):  # one part after another, so that one at a time is in memory
            x, y, weights = keras.utils.unpack_x_y_sample_weight(
                tf.nest.map_structure(lambda value, first=number * size: value[first:first + size], data))
            gradients = _gradients(model, x, y, weights, variables, size)
            sums = [gradient / parts + total for gradient, total in zip(gradients, sums or [0.0] * len(gradients))]
    model.optimizer.apply_gradients(zip(sums, variables, strict=True))
    return model.get_metrics_result()


def _gradients(model: keras.Model, x: Any, y: Any, weights: Any, variables: list, rows: Any) -> list[tf.Tensor]:
    """The gradients of one part of a batch; zero where a variable has no say."""
    with tf.GradientTape() as tape:
        outputs = model(x, training=True)
        loss = model._compute_loss(x=x, y=y, y_pred=outputs, sample_weight=weights, training=True)
        model._loss_tracker.update_state(unscale_loss_for_distribution(loss), sample_weight=rows)
        scaled = model.optimizer.scale_loss(loss)
    model.compute_metrics(x, y, outputs, sample_weight=weights)
    found = tape.gradient(scaled, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return [tf.convert_to_tensor(gradient) for gradient in found]
