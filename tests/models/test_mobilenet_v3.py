"""MobileNetV3-Small: blocks and folding (test_conversions has its outputs)."""

import numpy as np
import pytest

from toolkit.models import backbones


@pytest.fixture(scope="module")
def network():
    return backbones.network(backbones.build("mobilenetv3_small_100", "none", 40))


def test_blocks_are_stem_six_stages_and_head(network):
    blocks = backbones.blocks(network)
    assert [block[0].name.split("_")[0] for block in blocks] == ["stem", *(f"stage{i}" for i in range(1, 7)), "head"]
    assert [layer.name for block in blocks for layer in block if layer.weights] == [
        layer.name for layer in network.layers if layer.weights]


def test_folding_keeps_the_features(network, goldens):
    folded = backbones.fold_batch_normalization(network)
    assert not any("norm" in layer.name and layer.weights for layer in folded.layers)
    pictures = goldens.photographs()[:2, :40, :40].astype(np.float32)
    features = network(pictures, training=False).numpy()
    assert np.abs(folded(pictures, training=False) - features).max() < 1e-4 * np.abs(features).max()
