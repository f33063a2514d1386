"""The inputs that excite units most, and which pictures a run gets."""

from pathlib import Path

import keras
import numpy as np
import pytest

from toolkit.autoencoders import drawings, networks, training

RANDOM = np.random.default_rng(0)


def test_climbing_ends_at_the_optimum_of_a_linear_unit() -> None:
    images = keras.Input((4, 4, 3))
    dense = keras.layers.Dense(3)
    network = keras.Model(images, dense(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images))))
    found = drawings.climbed(network, np.full((4, 4, 3), 0.5, np.float32), 2.0, RANDOM.normal(size=(3, 4, 4, 3)))
    assert found.shape == (3, 4, 4, 3)
    expected = 2 * drawings.best_inputs(dense.kernel.numpy()).reshape(3, 4, 4, 3)
    np.testing.assert_allclose(found, expected, atol=1e-2)


def test_grey_images_are_climbed_for_in_grey() -> None:
    images = keras.Input((4, 4, 3))
    network = keras.Model(images, keras.layers.Dense(2, activation="tanh")(keras.layers.Flatten()(images)))
    assert drawings.climbed(network, np.zeros((4, 4, 1), np.float32), 1.0, np.ones((2, 4, 4, 1))).shape == (2, 4, 4, 1)


def test_a_rectified_unit_is_climbed_for_from_where_it_answers() -> None:
    images = keras.Input((4, 4, 3))
    dense = keras.layers.Dense(2, activation="relu", bias_initializer=keras.initializers.Constant(-0.5))
    network = keras.Model(images, dense(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images))))
    best = drawings.best_inputs(dense.kernel.numpy()).reshape(2, 4, 4, 3)
    found = drawings.climbed(network, np.zeros((4, 4, 3), np.float32), 2.0, best + RANDOM.normal(0, 0.05, best.shape))
    np.testing.assert_allclose(found, 2 * best, atol=2e-2)


def test_the_best_input_of_a_unit_without_weights_is_nothing() -> None:
    assert drawings.best_inputs(np.zeros((3, 1))).tolist() == [[0, 0, 0]]


def test_dead_codes_are_zero_on_every_row() -> None:
    codes = np.array([[0.0, 0.5, -1.0], [0.0, 2.0, 1.0]])
    assert drawings.dead_codes(codes).tolist() == [True, False, False]
    assert drawings.dead_codes(codes, 1).tolist() == [True, False, True]  # only the largest of each row counts


@pytest.mark.parametrize("deep", [False, True])
def test_dead_units_stay_blank(deep: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[np.ndarray] = []
    monkeypatch.setattr(drawings.pictures, "unit_tiles", lambda best, *rest, **more: drawn.append(best))
    kernel, bias = RANDOM.normal(size=(16, 5)).astype(np.float32), np.zeros(5, np.float32)
    layer = networks.TrainedLayer(kernel, bias, "relu", kernel.T, bias, "linear")
    eye = np.eye(5, dtype=np.float32)
    above = networks.TrainedLayer(eye, bias, "relu", eye, bias, "linear")
    stack = [layer, above] if deep else [layer]
    network = networks.dense_network(4, 1, stack)
    trained = training.Trained(network, network, network, [], [], stack)
    images = RANDOM.integers(0, 256, (6, 4, 4, 1), np.uint8)
    codes = np.where(np.arange(5) == 2, 0, RANDOM.random((6, 5)))
    drawings._exciting(trained, images, codes, Path("exciting.png"))
    assert not drawn[0][2].any() and all(drawn[0][unit].any() for unit in (0, 1, 3, 4))


def test_validation_losses_are_curves_of_their_own() -> None:
    rows = [{"layer": layer, "epoch": 1, "loss": 2.0, "validation_loss": 3.0} for layer in (1, 2)]
    found = [(row["layer"], row["loss"]) for row in drawings.curves(rows)]
    assert found == [("1", 2.0), ("1, validation rows", 3.0), ("2", 2.0), ("2, validation rows", 3.0)]
    assert [row["layer"] for row in drawings.curves([{"epoch": 1, "loss": 2.0}])] == ["1"]


def test_pixels_are_clipped_and_grey_gets_three_channels() -> None:
    found = drawings.in_colour(np.array([-5.0, 99.6, 300.0]).reshape(3, 1, 1, 1))
    assert found.dtype == np.uint8 and found.shape == (3, 1, 1, 3) and found[:, 0, 0, 0].tolist() == [0, 100, 255]
