"""Pieces that several networks share."""

import keras
import numpy as np
import pytest

from toolkit.models.layers import adaptive_average_pooling


@pytest.mark.parametrize(("shape", "side"), [((1, 1), 6), ((2, 5), 7), ((8, 7), 7), ((13, 20), 6)])
def test_adaptive_average_pooling_is_pytorchs(shape, side):
    height, width = shape
    pixels = keras.Input((height, width, 3))
    x = np.random.default_rng(0).normal(size=(2, height, width, 3)).astype(np.float32)
    expected = np.stack([np.stack([
        x[:, i * height // side : -(-(i + 1) * height // side), j * width // side : -(-(j + 1) * width // side)].mean(
            axis=(1, 2)) for j in range(side)], axis=1) for i in range(side)], axis=1)
    pooled = keras.Model(pixels, adaptive_average_pooling(pixels, side)).predict_on_batch(x)
    np.testing.assert_allclose(pooled, expected, atol=1e-6)


def test_adaptive_average_pooling_leaves_maps_of_that_size_alone():
    maps = keras.Input((6, 6, 3))
    assert adaptive_average_pooling(maps, 6) is maps
