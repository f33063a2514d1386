"""AlexNet as torchvision has it: shapes and sizes of pictures (test_conversions has its outputs)."""

import pytest

from toolkit import ToolkitError
from toolkit.models import alexnet_torchvision, backbones
from toolkit.models.catalogue import ENTRIES


def narrow(image_size=224, **options):
    return backbones.network(backbones.build("alexnet_torchvision", "none", image_size, hidden=(8, 6), **options))


def test_shapes_of_the_layers():
    network = narrow(include_top=True, num_classes=3)
    shapes = [layer.output.shape[1:] for layer in network.layers if layer.name.endswith(("_conv", "_dense", "_logits"))]
    assert shapes == [(55, 55, 64), (27, 27, 192), (13, 13, 384), (13, 13, 256), (13, 13, 256), (8,), (6,), (3,)]
    named = [layer for layer, _, _ in alexnet_torchvision.torch_counterparts()]
    assert named == [layer.name for layer in network.layers if layer.weights]
    assert [block[0].name.split("_")[0] for block in backbones.blocks(network)] == [
        *(f"layer{number}" for number in range(1, 8)), "head"]


def test_parameters():
    assert ENTRIES["alexnet_torchvision"].num_parameters == 61_100_840 - 1000 * 4097
    hidden = 9216 * 4096 + 4096 * 4096 + 2 * 4096
    assert narrow().count_params() == ENTRIES["alexnet_torchvision"].num_parameters - hidden + 9217 * 8 + 9 * 6


def test_the_smallest_picture():
    assert narrow(63).output_shape == (None, 6)
    with pytest.raises(ToolkitError, match="image size 62 is too small for alexnet_torchvision"):
        narrow(62)
