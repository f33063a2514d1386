"""Every graph against the original's logits, both filled with the same seeded weights and BatchNorm statistics."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from toolkit.models import backbones, weights
from toolkit.models.own_networks import COUNTERPARTS
from toolkit.models.catalogue import ENTRIES

INPUTS = runpy.run_path(str(Path(__file__).parent / "goldens" / "inputs.py"))
CASES = INPUTS["CASES"]
QUICK = {"resnet18", "resnet50", "efficientnet_b0", "mobilenetv3_small_100", "tf_mobilenetv3_small_100",
         "symmetric_lite0", "narrow_alexnet", "narrow_vgg11"}


def counterparts(case):
    return list(COUNTERPARTS[case.backbone](case.telling_names))


def filled(case, goldens, **options):
    """Our network with its head, and the tensors that it was filled with."""
    model = backbones.build(case.backbone, "none", case.image_size, include_top=True, **case.options | options)
    network = backbones.network(model)
    tensors = goldens.seeded(INPUTS["torch_shapes"](network, counterparts(case)))
    weights.assign(network, weights.convert(tensors, counterparts(case), "seeded"), "seeded")
    return network, tensors


def relative_error(network, name, goldens):
    expected = np.load(goldens.folder / f"{name}.npz")["logits"]
    logits = network(goldens.pictures(CASES[name]).astype(np.float32), training=False).numpy()
    assert np.std(expected[0] - expected[1]) > 0.05 * np.std(expected)  # else the golden would prove little
    return np.abs(logits - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
                                  for name in CASES])
def test_logits_equal_the_originals(name, goldens):
    case = CASES[name]
    network, tensors = filled(case, goldens)
    assert relative_error(network, name, goldens) < 1e-5
    assert {layer for layer, _, _ in counterparts(case)} == {layer.name for layer in network.layers if layer.weights}
    assert network.count_params() == sum(tensor.size for tensor in tensors.values())
    if "hidden" not in case.options:
        entry = ENTRIES[case.backbone]
        assert network.count_params() == entry.num_parameters + (entry.num_features + 1) * 1000


def test_the_other_padding_gives_other_logits(goldens):
    network, _ = filled(CASES["mobilenetv3_small_100"], goldens, padding="same")
    assert relative_error(network, "mobilenetv3_small_100", goldens) > 1e-2
