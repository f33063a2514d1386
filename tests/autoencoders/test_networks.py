"""Encoders, decoders and what is made of them for saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.autoencoders import networks
from toolkit.models import backbones

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("tied", [True, False])
def test_what_is_saved_computes_what_was_trained(tied: bool) -> None:
    encoder, decoder = networks.dense_pair(36, [12, 5], activation="tanh", tied=tied, code_activation="sigmoid")
    for weight in (*encoder.weights, *decoder.weights):
        weight.assign(RANDOM.normal(size=weight.shape))
    stack = networks.trained_layers(encoder, decoder, activation="tanh", code_activation="sigmoid",
                                    back_activation="sigmoid")
    images = RANDOM.uniform(0, 255, (4, 6, 6, 1)).astype(np.float32)
    codes = networks.dense_network(6, 1, stack)(np.repeat(images, 3, axis=-1))
    expected = encoder(images.reshape(4, -1) / 255)
    np.testing.assert_allclose(codes, expected, atol=1e-5)
    found = networks.dense_decoder(6, 1, stack)(codes).numpy()
    logits = decoder(expected).numpy().reshape(4, 6, 6, 1)
    np.testing.assert_allclose(found, np.repeat(255 / (1 + np.exp(-logits)), 3, axis=-1), rtol=1e-4)


def test_tied_weights_are_the_same_weights() -> None:
    encoder, decoder = networks.dense_pair(8, [3], activation="linear", tied=True)
    kernel = encoder.layers[-1].kernel
    assert any(weight is kernel for weight in decoder.trainable_weights)
    assert len({id(weight) for weight in (*encoder.weights, *decoder.weights)}) == 3  # kernel and two biases
    values = RANDOM.normal(size=(2, 8)).astype(np.float32)
    np.testing.assert_allclose(decoder(encoder(values)), values @ kernel.numpy() @ kernel.numpy().T, atol=1e-5)


def test_the_centre_of_the_values_becomes_part_of_the_first_biases() -> None:
    encoder, _ = networks.dense_pair(8, [6, 3], activation="tanh", tied=True)
    for weight in encoder.weights:
        weight.assign(RANDOM.normal(size=weight.shape))
    centre, values = RANDOM.normal(size=8).astype(np.float32), RANDOM.normal(size=(5, 8)).astype(np.float32)
    codes = encoder(values - centre).numpy()
    networks.uncentre(encoder, centre)
    np.testing.assert_allclose(encoder(values), codes, atol=1e-5)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("logits", [True, False])
def test_a_decoder_begins_with_the_mean(tied: bool, logits: bool) -> None:
    _, decoder = networks.dense_pair(4, [6, 3], activation="relu", tied=tied)
    centre = np.array([0.0, 0.02, 0.5, 0.9], np.float32)
    networks.begin_at(decoder, centre, logits=logits)
    (found,) = decoder(np.zeros((1, 3), np.float32)).numpy()
    expected = [0.01 if logits else 0.0, *centre[1:]]
    np.testing.assert_allclose(tf.sigmoid(found) if logits else found, expected, rtol=1e-5)


def test_only_the_mean_of_a_variational_encoder_is_kept() -> None:
    encoder, decoder = networks.dense_pair(8, [3], activation="relu", tied=False, code_activation="linear",
                                           code_width=6)
    assert encoder.output_shape == (None, 6) and decoder.input_shape == (None, 3)
    (layer,) = networks.trained_layers(encoder, decoder, activation="relu", code_activation="linear",
                                       back_activation="linear")
    np.testing.assert_array_equal(layer.kernel, encoder.layers[-1].kernel.numpy()[:, :3])


def test_the_largest_codes_are_kept_for_features_and_fewer_for_the_way_back() -> None:
    eye = np.eye(12, dtype=np.float32)
    layer = networks.TrainedLayer(eye, np.zeros(12), "linear", eye, np.zeros(12), "linear", kept=2, kept_codes=4)
    images = RANDOM.permutation(12).reshape(1, 2, 2, 3).astype(np.float32)
    codes = networks.dense_network(2, 3, [layer])(images).numpy()
    np.testing.assert_allclose(np.sort(255 * codes[0]), [0] * 8 + [8, 9, 10, 11], atol=1e-4)
    back = networks.dense_decoder(2, 3, [layer])(codes).numpy()
    np.testing.assert_allclose(np.sort(back.ravel()), [0] * 10 + [10, 11], atol=1e-4)


@pytest.mark.parametrize(("side", "channels"), [(16, 3), (18, 1)])
def test_a_mirrored_decoder_ends_in_the_size_of_the_images(side: int, channels: int) -> None:
    backbone = backbones.build("small_cnn", "none", side, channels=channels, filters=(4, 8))
    decoder = networks.mirrored_decoder(backbone, channels)
    encoder = networks.backbone_encoder(backbone, channels)
    assert encoder.input_shape == decoder.output_shape == (None, side, side, channels)
    images = RANDOM.uniform(size=(2, side, side, channels)).astype(np.float32)
    raw = np.rint(255 * images).astype(np.uint8)
    expected = backbone(np.broadcast_to(raw, (2, side, side, 3)))
    np.testing.assert_allclose(encoder(raw / np.float32(255)), expected, atol=1e-4)


def test_a_backbone_without_maps_has_no_mirror() -> None:
    with pytest.raises(ToolkitError, match="convolutions"):
        networks.mirrored_decoder(backbones.build("mlp", "none", 16), 3)


def test_log_variances_begin_at_zero() -> None:
    backbone = backbones.build("small_cnn", "none", 16, filters=(4, 8))
    encoder = networks.backbone_encoder(backbone, 3, code_width=2)
    values = encoder(RANDOM.uniform(size=(2, 16, 16, 3)).astype(np.float32)).numpy()
    assert values.shape == (2, 16) and not values[:, 8:].any()


def test_the_saved_model_takes_raw_images(tmp_path: object) -> None:
    backbone = backbones.build("small_cnn", "none", 16, filters=(4, 8))
    decoder = networks.image_decoder(networks.mirrored_decoder(backbone, 3), activation="linear")
    model = networks.from_raw_images(backbones.network(backbone), backbone, decoder)
    networks.save(model, tmp_path / "model.keras")
    image = RANDOM.integers(0, 256, (1, 20, 30, 3), np.uint8)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(image), model(image), atol=1e-4)
    codes = networks.from_raw_images(backbones.network(backbone), backbone)
    np.testing.assert_allclose(codes(image), backbone(image), atol=1e-5)
    assert codes.name == backbone.name and codes.sources == backbone.sources


def test_kernels_are_drawn_by_the_initialiser_and_a_network_from_scratch_by_glorots() -> None:
    encoder, decoder = networks.dense_pair(400, [300], activation="relu", tied=False, initialiser="gaussian")
    for dense in (encoder.layers[-1], decoder.layers[-1]):
        assert abs(dense.kernel.numpy().std() - 0.01) < 0.001
    stack = networks.trained_layers(encoder, decoder, activation="relu", code_activation="relu",
                                    back_activation="linear")
    network = networks.dense_network(20, 1, stack)
    fresh = keras.Model.from_config(network.get_config()).layers[-1].kernel.numpy()
    assert abs(fresh.std() - (2 / (400 + 300))**0.5) < 0.002 and (fresh != stack[0].kernel).any()
