"""AlexNet against the numbers of its paper."""

import keras
import numpy as np
import pytest

from toolkit import ToolkitError
from toolkit.models import alexnet, backbones
from toolkit.models.catalogue import ENTRIES


@pytest.fixture(scope="module")
def paper():
    """groups=2, 1,000 classes, at full size."""
    return backbones.network(backbones.build("alexnet", "none", include_top=True))


def test_shapes_of_the_layers(paper):
    shapes = [layer.output.shape[1:] for layer in paper.layers if layer.name.endswith(("_conv", "_dense", "_logits"))]
    assert shapes == [(55, 55, 96), (27, 27, 256), (13, 13, 384), (13, 13, 384), (13, 13, 256), (4096,), (4096,),
                      (1000,)]


def test_parameters_with_two_groups(paper):
    assert paper.count_params() == 60_965_224
    assert ENTRIES["alexnet"].num_parameters == 60_965_224 - 1000 * 4097


def test_parameters_with_one_group():
    inputs = keras.Input((224, 224, 3))
    features = keras.Model(inputs, alexnet.alexnet(inputs, groups=1))
    assert features.count_params() + 1000 * 4097 == 62_378_344


def test_initialisation(paper):
    for layer in paper.layers:
        if layer.name.endswith(("_conv", "_dense")):
            assert np.isclose(np.std(layer.kernel.numpy()), 0.01, rtol=0.05)
            assert np.all(layer.bias.numpy() == (0 if layer.name in ("layer1_conv", "layer3_conv") else 1))
    assert np.all(paper.get_layer("head_logits").bias.numpy() == 0)


def test_local_response_normalisation_is_the_papers():
    inputs = keras.Input((2, 3, 7))
    model = keras.Model(inputs, alexnet._local_response_normalisation(inputs))
    a = np.random.default_rng(0).normal(0, 100, (2, 2, 3, 7))
    expected = np.empty_like(a)
    for i in range(7):
        total = np.square(a[..., max(0, i - 2) : i + 3]).sum(axis=-1)
        expected[..., i] = a[..., i] / (2 + 1e-4 * total) ** 0.75
    np.testing.assert_allclose(model.predict_on_batch(a.astype(np.float32)), expected, rtol=1e-5)


def test_saves_and_loads(tmp_path):
    inputs = keras.Input((8, 8, 6))
    model = keras.Model(inputs, alexnet._local_response_normalisation(inputs))
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 6)).astype(np.float32)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict_on_batch(x), model.predict_on_batch(x))


def test_other_groups_are_refused():
    with pytest.raises(ToolkitError, match="alexnet: groups is 3; expected 1 or 2"):
        backbones.build("alexnet", "none", groups=3)


def test_too_small_a_picture_is_refused_and_the_smallest_works():
    with pytest.raises(ToolkitError, match="at least 64"):
        backbones.build("alexnet", "none", 63)
    inputs = keras.Input((64, 64, 3))
    assert alexnet.alexnet(inputs).shape == (None, 4096)
