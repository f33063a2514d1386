"""Two looks at an image: the first is the backbone's own, the second that of the smaller image."""

import numpy as np
import pytest

from toolkit.models import backbones
from toolkit.semisupervised import feature_scales


@pytest.fixture(autouse=True)
def small_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_scales, "SMALLEST", 16)


def test_the_first_half_is_the_backbone_and_the_second_the_smaller_look() -> None:
    import keras

    backbone = backbones.build("small_cnn", "none", image_size=28, filters=(4, 8))
    both = feature_scales.at_two_scales(backbone)
    image = np.random.default_rng(0).integers(0, 256, (2, 40, 31, 3), np.uint8)
    found, own = both(image).numpy(), backbone(image).numpy()
    assert both.name == backbone.name and backbones.preprocessing(both) == backbones.preprocessing(backbone)
    np.testing.assert_allclose(found[:, :8], own, rtol=1e-5)
    resized = keras.layers.Resizing(20, 20, "bilinear", antialias=True)(keras.Model(
        backbone.input, backbone.get_layer("resizing").output)(image))
    smaller = backbones.build("small_cnn", "none", image_size=20, filters=(4, 8))
    smaller.set_weights(backbone.get_weights())
    np.testing.assert_allclose(found[:, 8:], backbones.network(smaller)(resized).numpy(), rtol=1e-4, atol=1e-6)
    assert backbones.fingerprint(both) != backbones.fingerprint(backbone)
    assert any("conv" in layer.name for layer in backbones.network(both).layers)  # where ``toolkit show`` looks
    folded = backbones.fold_batch_normalization(backbones.network(both))
    np.testing.assert_allclose(folded(both.get_layer("resizing")(image.astype("float32"))).numpy(), found, rtol=1e-4,
                               atol=1e-5)


def test_a_network_of_one_size_looks_once(capsys: pytest.CaptureFixture) -> None:
    fixed = backbones.build("mlp", "none", image_size=28)
    assert feature_scales.at_two_scales(fixed) is fixed and "looks once" in capsys.readouterr().err
    tiny = backbones.build("small_cnn", "none", image_size=20)
    assert feature_scales.at_two_scales(tiny) is tiny
