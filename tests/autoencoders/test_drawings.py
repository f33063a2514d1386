"""The inputs that excite units most, and which pictures a run gets."""

import keras
import numpy as np

from toolkit.autoencoders import drawings

RANDOM = np.random.default_rng(0)


def test_climbing_ends_at_the_optimum_of_a_linear_unit() -> None:
    images = keras.Input((4, 4, 3))
    dense = keras.layers.Dense(3)
    network = keras.Model(images, dense(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images))))
    found = drawings.climbed(network, np.full((4, 4, 3), 0.5, np.float32), 2.0, 50)
    assert found.shape == (3, 4, 4, 3)
    expected = 2 * drawings.best_inputs(dense.kernel.numpy()).reshape(3, 4, 4, 3)
    np.testing.assert_allclose(found, expected, atol=1e-2)


def test_grey_images_are_climbed_for_in_grey() -> None:
    images = keras.Input((4, 4, 3))
    network = keras.Model(images, keras.layers.Dense(2, activation="tanh")(keras.layers.Flatten()(images)))
    assert drawings.climbed(network, np.zeros((4, 4, 1), np.float32), 1.0, 2).shape == (2, 4, 4, 1)


def test_the_best_input_of_a_unit_without_weights_is_nothing() -> None:
    assert drawings.best_inputs(np.zeros((3, 1))).tolist() == [[0, 0, 0]]


def test_pixels_are_clipped_and_grey_gets_three_channels() -> None:
    found = drawings.in_colour(np.array([-5.0, 99.6, 300.0]).reshape(3, 1, 1, 1))
    assert found.dtype == np.uint8 and found.shape == (3, 1, 1, 3) and found[:, 0, 0, 0].tolist() == [0, 100, 255]
