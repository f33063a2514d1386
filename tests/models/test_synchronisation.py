"""The statistics of BatchNorm with a mask, as one replica and as several see them."""

import keras
import numpy as np
import tensorflow as tf

from toolkit.models import synchronisation


class Half:
    """A replica context for two replicas, the other of which is given."""

    def __init__(self, others: list[np.ndarray]) -> None:
        self.others = others

    def all_reduce(self, how: tf.distribute.ReduceOp, values: list[tf.Tensor]) -> list[tf.Tensor]:
        return [one + other for one, other in zip(values, self.others, strict=True)]


def test_masked_moments_are_those_of_all_replicas(monkeypatch):
    random = np.random.default_rng(0)
    values = (3 + random.normal(size=(8, 5, 2))).astype(np.float32)
    mask = random.random((8, 5)) < 0.6
    network = keras.Sequential([keras.Input((5, 2)), keras.layers.BatchNormalization()])
    layer = network.layers[-1]
    expected = layer._moments(tf.constant(values), tf.constant(mask))
    synchronisation.synchronise(network, several=True)
    rest, weights = values[4:], mask[4:, :, None].astype(np.float32)
    sums = [(rest * weights).sum((0, 1)), (rest**2 * weights).sum((0, 1)), weights.sum((0, 1))]
    monkeypatch.setattr(tf.distribute, "get_replica_context", lambda: Half(sums))
    found = layer._moments(tf.constant(values[:4]), tf.constant(mask[:4]))
    for got, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4)
