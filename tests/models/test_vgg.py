"""VGG: blocks, both names of its fully connected layers, pictures of other sizes (test_conversions has its outputs)."""

import numpy as np
import pytest

from toolkit import ToolkitError
from toolkit.models import backbones, vgg, weights


def narrow(image_size=64, **options):
    return backbones.network(backbones.build("vgg11", "none", image_size, hidden=(8, 6), **options))


def test_blocks_are_five_stages_and_head():
    blocks = backbones.blocks(narrow(include_top=True, num_classes=3))
    assert [block[0].name.split("_")[0] for block in blocks] == [*(f"stage{i}" for i in range(1, 6)), "head"]
    assert [layer.name for layer in blocks[-1] if layer.weights] == ["head_dense1", "head_dense2", "head_logits"]


@pytest.mark.parametrize(("counterparts", "depth"), [(vgg.torch_counterparts11, 11), (vgg.torch_counterparts16, 16)])
def test_counterparts_are_depth_layers_at_torchvisions_positions(counterparts, depth):
    named = list(counterparts())
    assert len(named) == depth
    assert [prefix for _, prefix, _ in named[-4:]] == [f"features.{18 if depth == 11 else 28}", "classifier.0",
                                                       "classifier.3", "classifier.6"]


def test_timms_convolutions_are_torchvisions_dense_layers():
    """The first hidden layer: (F, 512, 7, 7) there, (F, 25088) here."""
    generator = np.random.default_rng(0)
    torchvision = {f"{prefix}.{part}": generator.normal(size=(3, 4) if part == "weight" else 3)
                   for _, prefix, _ in vgg.torch_counterparts11() for part in ("weight", "bias")}
    torchvision |= {"classifier.0.weight": generator.normal(size=(3, 512 * 49))}
    torchvision |= {name: array[..., None, None] for name, array in torchvision.items()
                    if name.startswith("features") and name.endswith("weight")}
    renamed = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2", "classifier.6": "head.fc"}
    timm = {".".join([renamed.get(name.rpartition(".")[0], name.rpartition(".")[0]), name.rpartition(".")[2]]): array
            for name, array in torchvision.items()}
    timm["pre_logits.fc1.weight"] = timm["pre_logits.fc1.weight"].reshape(3, 512, 7, 7)
    timm["pre_logits.fc2.weight"] = timm["pre_logits.fc2.weight"][..., None, None]
    first, second = (dict(weights.convert(tensors, vgg.torch_counterparts11(tensors), "file"))
                     for tensors in (torchvision, timm))
    assert list(first) == list(second)
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_pictures_of_other_sizes():
    assert all(narrow(size).output_shape == (None, 6) for size in (32, 63, 224, 250))
    with pytest.raises(ToolkitError, match="image size 31 is too small for vgg11"):
        narrow(31)
