"""Residual networks against timm's, both with the same seeded weights."""

import numpy as np
import pytest

from toolkit.models import backbones, resnet, weights
from toolkit.models.catalogue import ENTRIES

COUNTERPARTS = {"resnet18": resnet.torch_counterparts18, "resnet34": resnet.torch_counterparts34,
                "resnet50": resnet.torch_counterparts50}


def torch_shapes(network, counterparts):
    """Names and shapes of PyTorch's tensors, from our layers."""
    shapes = {}
    for name, prefix, kind in counterparts:
        layer = network.get_layer(name)
        if kind == "normalisation":
            channels = layer.gamma.shape
            shapes |= {f"{prefix}.{part}": channels for part in ("weight", "bias", "running_mean", "running_var")}
        elif kind == "dense":
            shapes |= {f"{prefix}.weight": layer.kernel.shape[::-1], f"{prefix}.bias": layer.bias.shape}
        else:
            height, width, inputs, outputs = layer.kernel.shape
            shapes[f"{prefix}.weight"] = (outputs, inputs, height, width)
    return shapes


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_features_equal_timms(name, goldens):
    expected = np.load(goldens.folder / f"{name}.npz")["features"]
    network = backbones.network(backbones.build(name, "none", 64))
    counterparts = [c for c in COUNTERPARTS[name]() if c[0] != "head_logits"]
    tensors = goldens.seeded(torch_shapes(network, counterparts))
    weights.assign(network, weights.convert(tensors, counterparts, "seeded"), "seeded")
    pictures = goldens.photographs()[[1, 6], :64, :64].astype(np.float32)
    features = network.predict_on_batch(pictures)
    assert np.abs(features - expected).max() < 1e-5 * np.abs(expected).max()
    assert network.count_params() == ENTRIES[name].num_parameters


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
