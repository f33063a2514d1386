"""Blocks of EfficientNet and MobileNetV3: squeeze-and-excitation, both paddings, refusals."""

import keras
import numpy as np
import pytest

from toolkit import ToolkitError
from toolkit.models import backbones, inverted_residuals
from toolkit.models.inverted_residuals import Block


def chained(block, padding="symmetric", shape=(6, 5, 4)):
    pixels = keras.Input(shape)
    convention = inverted_residuals.convention(padding, "he")
    return keras.Model(pixels, inverted_residuals.chain(pixels, [[block]], convention))


def test_squeeze_and_excitation():
    """Each channel times hard sigmoid(W2 relu(W1 mean + b1) + b2)."""
    network = chained(Block(3, 1, 0, 7, "relu", 3, "relu", "hard_sigmoid"))
    generator = np.random.default_rng(0)
    for layer in network.layers:
        if "conv" in layer.name:
            layer.set_weights([generator.uniform(-1, 1, array.shape) for array in layer.get_weights()])
    x = generator.normal(size=(2, 6, 5, 4)).astype(np.float32)
    maps, weighed = keras.Model(network.input, [network.get_layer(f"stage1_block1_{part}").output
                                                for part in ("depthwise_relu", "weigh")]).predict_on_batch(x)
    means = maps.mean(axis=(1, 2))
    for part, activation in (("squeeze", lambda z: np.maximum(z, 0)),
                             ("excite", lambda z: np.clip(z + 3, 0, 6) / 6)):
        kernel, bias = network.get_layer(f"stage1_block1_{part}_conv").get_weights()
        means = activation(means @ kernel[0, 0] + bias)
    np.testing.assert_allclose(weighed, maps * means[:, None, None], rtol=1e-5)
    assert np.ptp(means) > 0.1


def test_a_block_is_added_to_its_input_where_the_shapes_agree():
    def added(*numbers):
        return any("add" in layer.name for layer in chained(Block(*numbers, "relu")).layers)

    assert added(3, 1, 8, 4)
    assert not added(3, 2, 8, 4) and not added(3, 1, 8, 5)


def test_paddings_differ_in_where_the_zeros_are():
    """One channel, kernel of ones: symmetric windows begin one row above the picture, those of "same" may not."""
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    rows = {"symmetric": (0 + 1 + 4 + 5, 1 + 2 + 3 + 5 + 6 + 7), "same": (0 + 1 + 2 + 4 + 5 + 6 + 8 + 9 + 10, 2 + 3 + 6
                                                                          + 7 + 10 + 11)}
    for padding, expected in rows.items():
        pixels = keras.Input((4, 4, 1))
        convention = inverted_residuals.convention(padding, "he")
        network = keras.Model(pixels, inverted_residuals.convolution(pixels, "stem", None, 3, 2, None, convention))
        network.get_layer("stem_conv").set_weights([np.ones((3, 3, 1, 1))])
        np.testing.assert_allclose(network.predict_on_batch(x)[0, 0, :, 0], expected, rtol=1e-3)
        assert network.get_layer("stem_norm").epsilon == {"symmetric": 1e-5, "same": 1e-3}[padding]


@pytest.mark.parametrize("initialiser", ["he", "glorot"])
def test_kernels_of_one_channel_begin_as_large_as_their_window_asks(initialiser):
    pixels = keras.Input((4, 4, 400))
    convention = inverted_residuals.convention("same", initialiser)
    network = keras.Model(pixels, inverted_residuals.convolution(pixels, "stem", None, 3, 1, None, convention))
    kernel = network.get_layer("stem_conv").get_weights()[0]
    assert np.isclose(kernel.std(), np.sqrt({"he": 2 / 9, "glorot": 2 / 18}[initialiser]), rtol=0.05)


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_lite0", "mobilenetv3_small_100"])
def test_another_padding_is_refused(name):
    with pytest.raises(ToolkitError, match=f"{name}: padding is 'valid'; expected same or symmetric"):
        backbones.build(name, "none", 32, padding="valid")
