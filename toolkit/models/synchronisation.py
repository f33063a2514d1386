"""BatchNorm over the rows of all replicas, so that several devices train as one does.

Keras synchronises a layer that is told to, but not where it is given a mask, as the networks on series do: there the
sums over the steps that are no padding are added up over the replicas here.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import tensorflow as tf

from toolkit.models import blocks


def synchronise(network: keras.Model, *, several: bool) -> None:
    """Lets the BatchNorm layers of a network, nested ones too, see the batch of all replicas.

    Args:
        network: in the scope of the strategy that trains it.
        several: whether there is more than one replica.
    """
    for layer in blocks.batch_normalisations(network):
        layer.synchronized = several
        if several and "_moments" not in vars(layer):
            layer._moments = partial(_moments, layer, layer._moments)


def _moments(layer: keras.layers.BatchNormalization, unmasked: Any, inputs: tf.Tensor, mask: tf.Tensor | None
             ) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and variance (C,) of inputs (B, T, C) over the steps of a mask (B, T), of all replicas."""
    context = tf.distribute.get_replica_context()
    if mask is None or context is None:
        return unmasked(inputs, mask)
    shift = tf.cast(layer.moving_mean, inputs.dtype)  # the same everywhere; near the mean it keeps the digits
    weights = tf.cast(mask, inputs.dtype)[..., None]
    centred = (inputs - shift) * weights
    sums = [tf.reduce_sum(values, axis=(0, 1)) for values in (centred, centred**2, weights)]
    total, squares, count = context.all_reduce(tf.distribute.ReduceOp.SUM, sums)
    mean = total / tf.maximum(count, 1)
    return mean + shift, tf.maximum(squares / tf.maximum(count, 1) - mean**2, 0)
