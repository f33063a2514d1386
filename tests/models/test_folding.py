"""BatchNorm folded into every kind of layer, and left alone where it must be."""

import keras
import numpy as np
import pytest
from keras import layers

from toolkit.models.folding import fold_batch_normalization


def randomise(model):
    """Weights as after some training: nothing left at 0 or 1."""
    generator = np.random.default_rng(0)
    model.set_weights([generator.uniform(0.5, 1.5, array.shape) for array in model.get_weights()])
    return model


def count(model):
    return sum(isinstance(layer, layers.BatchNormalization) for layer in model.layers)


def check(model, remaining):
    """The folded model has so many BatchNorm layers left and the same outputs; the model is untouched."""
    before = [array.copy() for array in model.get_weights()]
    x = np.random.default_rng(1).normal(size=(2, *model.input_shape[1:])).astype(np.float32)
    expected = model.predict_on_batch(x)
    folded = fold_batch_normalization(model)
    assert count(folded) == remaining
    for one, other in zip(keras.tree.flatten(expected), keras.tree.flatten(folded.predict_on_batch(x)), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-4 * np.abs(one).max())
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))
    assert not {id(layer) for layer in folded.layers} & {id(layer) for layer in model.layers}
    return folded


@pytest.mark.parametrize("layer", [
    lambda: layers.Conv2D(4, 3, padding="same", use_bias=False),
    lambda: layers.Conv2D(6, 3, strides=2, groups=2),
    lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False),
    lambda: layers.SeparableConv2D(5, 3),
    lambda: layers.Dense(5, use_bias=False),
], ids=["convolution", "groups", "depthwise", "separable", "dense"])
@pytest.mark.parametrize("plain", [False, True], ids=["scale and centre", "neither"])
def test_layers_that_take_batch_norm_in(layer, plain):
    inputs = keras.Input((7, 7, 4))
    x = layers.BatchNormalization(scale=not plain, center=not plain)(layer()(inputs))
    check(randomise(keras.Model(inputs, layers.ReLU()(x))), 0)


def test_batch_norm_stays_after_an_activation_a_branch_a_shared_layer_or_an_output():
    inputs = keras.Input((6, 6, 4))
    activated = layers.BatchNormalization()(layers.Conv2D(4, 1, activation="relu")(inputs))
    branch = layers.Conv2D(4, 1)(activated)
    added = layers.Add()([branch, layers.BatchNormalization()(branch)])
    shared = layers.Conv2D(4, 1)
    twice = layers.Add()([layers.BatchNormalization()(shared(added)), shared(inputs)])
    output = layers.Conv2D(4, 1)(twice)
    rows = layers.BatchNormalization(axis=1)(layers.Conv2D(4, 1)(output))
    model = keras.Model(inputs, [output, layers.BatchNormalization()(output), rows])
    check(randomise(model), 5)


def test_batch_norm_that_ends_a_model_or_begins_it():
    inputs = keras.Input((6,))
    x = layers.Dense(4)(layers.BatchNormalization()(inputs))
    check(randomise(keras.Model(inputs, layers.BatchNormalization()(x))), 1)


def test_nested_models_are_folded_too():
    inner_input = keras.Input((6, 6, 4))
    inner = keras.Model(inner_input, layers.BatchNormalization()(layers.Conv2D(4, 3, use_bias=False)(inner_input)),
                        name="inner")
    inputs = keras.Input((6, 6, 4))
    x = layers.BatchNormalization()(layers.Conv2D(4, 1)(inputs))
    model = randomise(keras.Model(inputs, keras.Sequential([layers.Flatten(), layers.Dense(2)])(inner(x))))
    folded = check(model, 0)
    assert count(folded.get_layer("inner")) == 0
    assert folded.get_layer("inner").layers[1].name == inner.layers[1].name
