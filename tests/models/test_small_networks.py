"""The networks for small pictures and their options."""

import keras
import numpy as np
import pytest

from toolkit import ToolkitError
from toolkit.models import backbones
from toolkit.models.layers import ACTIVATIONS, INITIALISERS, activate


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("name", "options"), [("small_cnn", {"filters": (3, 4)}), ("mlp", {"hidden": (3, 4)})])
def test_activations(name, options, activation, images):
    model = backbones.build(name, "none", 8, activation=activation, batch_normalisation=True, **options)
    features = model.predict_on_batch(images)
    assert features.shape == (2, 4)
    assert np.isfinite(features).all()


def test_maxout_takes_the_larger_of_each_pair():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, activate(inputs, "maxout", "maxout"))
    np.testing.assert_array_equal(model.predict_on_batch(np.array([[1.0, 2.0, -3.0, -4.0]])), [[2.0, -3.0]])


@pytest.mark.parametrize(("initialiser", "deviation"), [("gaussian", 0.01), ("glorot", (2 / 320) ** 0.5),
                                                       ("he", (2 / 192) ** 0.5)])
def test_initialisers(initialiser, deviation):
    network = backbones.network(backbones.build("mlp", "none", 8, hidden=(128,), initialiser=initialiser))
    assert np.isclose(network.get_layer("layer1_dense").kernel.numpy().std(), deviation, rtol=0.03)
    assert initialiser in INITIALISERS


def test_options_of_the_graph():
    def layers(name, **options):
        return {type(layer).__name__ for layer in backbones.network(backbones.build(name, "none", 8, **options)).layers}

    plain = layers("small_cnn", filters=(4,), dropout=0.0, batch_normalisation=False, pooling="average")
    assert not plain & {"Dropout", "BatchNormalization", "MaxPooling2D"}
    assert "AveragePooling2D" in plain
    assert {"Dropout", "BatchNormalization", "MaxPooling2D"} <= layers("small_cnn", filters=(4,))


def test_no_block_is_trained_before_the_one_above_it():
    for name in ("small_cnn", "mlp"):
        blocks = backbones.blocks(backbones.network(backbones.build(name, "none", 16)))
        assert len(blocks) == {"small_cnn": 3, "mlp": 2}[name]


@pytest.mark.parametrize(("options", "message"), [
    ({"activation": "swish"}, "activation is 'swish'; expected one of relu"),
    ({"initialiser": "zeros"}, "initialiser is 'zeros'; expected one of gaussian"),
    ({"pooling": "sum"}, "pooling is 'sum'; expected max or average"),
    ({"filters": (4, 4, 4, 4)}, "8 pixels cannot be halved 4 times"),
    ({"colour": "red"}, "small_cnn has no option 'colour'; it has filters, activation"),
])
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ToolkitError, match=message):
        backbones.build("small_cnn", "none", 8, **options)
