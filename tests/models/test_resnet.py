"""Residual networks: their names, blocks and folding (test_conversions has their outputs)."""

import numpy as np

from toolkit.models import backbones, resnet


def test_folding_keeps_the_features(goldens):
    network = backbones.network(backbones.build("resnet18", "none", 32))
    pictures = goldens.photographs()[:2, :32, :32].astype(np.float32)
    folded = backbones.fold_batch_normalization(network)
    assert not any("norm" in layer.name and layer.weights for layer in folded.layers)
    features = network.predict_on_batch(pictures)
    assert np.abs(folded.predict_on_batch(pictures) - features).max() < 1e-4 * np.abs(features).max()


def test_resnet34_has_a_counterpart_for_every_layer():
    network = backbones.network(backbones.build("resnet34", "none", 64, include_top=True, num_classes=10))
    named = [layer for layer, _, _ in resnet.torch_counterparts34()]
    assert sorted(named) == sorted(layer.name for layer in network.layers if layer.weights)
    assert network.count_params() == 21_797_672 + 17_024 - 1000 * 513 + 10 * 513  # torchvision's, and moving averages
    assert [block[0].name.split("_")[0] for block in backbones.blocks(network)] == [
        "stem", "stage1", "stage2", "stage3", "stage4", "head"]
