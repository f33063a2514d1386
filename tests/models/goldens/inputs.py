"""What both sides of a golden test compute on: which networks, photographs, seeded weights. NumPy and Pillow only."""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # ImageNet's


@dataclass(frozen=True)
class Case:
    """One golden: logits of `original` ("timm:" or "torchvision:" and the name there), and what must give the same."""

    backbone: str
    original: str
    image_size: int
    options: dict[str, Any] = field(default_factory=dict)
    mean: tuple[float, ...] = _MEAN
    std: tuple[float, ...] = _STD

    @property
    def telling_names(self) -> tuple[str, ...]:
        """Tensors by whose names a checkpoint of timm is told from one of another source."""
        return ("conv_stem.weight", "head.fc.weight") if self.original.startswith("timm:") else ()


_LITE0 = {"mean": (127.0,), "std": (128.0,)}
CASES = {
    "resnet18": Case("resnet18", "timm:resnet18", 64),
    "resnet34": Case("resnet34", "timm:resnet34", 64),
    "resnet50": Case("resnet50", "timm:resnet50", 64),
    "efficientnet_b0": Case("efficientnet_b0", "timm:efficientnet_b0", 72),
    "tf_efficientnet_b0": Case("efficientnet_b0", "timm:tf_efficientnet_b0", 72, {"padding": "same"}),
    "mobilenetv3_small_100": Case("mobilenetv3_small_100", "timm:mobilenetv3_small_100", 72),
    "tf_mobilenetv3_small_100": Case("mobilenetv3_small_100", "timm:tf_mobilenetv3_small_100", 72, {"padding": "same"}),
    "symmetric_lite0": Case("efficientnet_lite0", "timm:efficientnet_lite0", 72, {"padding": "symmetric"}, **_LITE0),
    "tf_lite0": Case("efficientnet_lite0", "timm:tf_efficientnet_lite0", 72, **_LITE0),
    "alexnet_torchvision": Case("alexnet_torchvision", "torchvision:alexnet", 224),
    "narrow_alexnet": Case("alexnet_torchvision", "torchvision:alexnet", 96, {"hidden": (64, 32)}),
    "vgg11": Case("vgg11", "torchvision:vgg11", 64),
    "narrow_vgg11": Case("vgg11", "torchvision:vgg11", 64, {"hidden": (64, 32)}),
    "timm_vgg11": Case("vgg11", "timm:vgg11", 224),
    "vgg16": Case("vgg16", "torchvision:vgg16", 224),
    "timm_vgg16": Case("vgg16", "timm:vgg16", 96),
}


def photographs(folder: Path) -> np.ndarray:
    """Eight pictures of 224 pixels, uint8 (8, 224, 224, 3): the corners of two photographs that scikit-learn brings.

    Args:
        folder: `sklearn/datasets/images`, which has china.jpg and flower.jpg, both 640 x 427.
    """
    crops = []
    for name in ("china.jpg", "flower.jpg"):
        with Image.open(folder / name) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        crops += [pixels[top : top + 224, left : left + 224] for top in (0, 203) for left in (0, 416)]
    return np.stack(crops)


def pictures(folder: Path, case: Case) -> np.ndarray:
    """A corner of each of the two photographs: uint8 (2, image_size, image_size, 3)."""
    return photographs(folder)[[1, 6], : case.image_size, : case.image_size]


def torch_shapes(network: Any, counterparts: Iterable[tuple[str, str, str]]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of PyTorch's tensors, from the layers of our network (a keras.Model) that take them."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, prefix, kind in counterparts:
        layer = network.get_layer(name)
        if kind == "normalisation":
            parts = ("weight", "bias", "running_mean", "running_var")
            shapes |= {f"{prefix}.{part}": tuple(layer.gamma.shape) for part in parts}
            continue
        kernel = tuple(layer.kernel.shape)
        if kind == "convolution_as_dense":
            side = 7 if prefix.endswith("fc1") else 1
            kernel = (side, side, kernel[0] // side**2, kernel[1])
        channels = kernel[2:] if kind == "depthwise" else kernel[:-3:-1]
        shapes[f"{prefix}.weight"] = (*channels, *kernel[:-2])
        if layer.use_bias:
            shapes[f"{prefix}.bias"] = tuple(layer.bias.shape)
    return shapes


def seeded(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Weights for a network in PyTorch's naming, each a function of its name and shape only.

    Kernels are He-normal, those of squeeze-and-excitation (".se.") with a tenth of the variance: else the weights of
    channels saturate, and EfficientNet-B0 in float32 is 1e-4 off itself in float64. BatchNorm has scales and variances
    in [0.5, 1.5] and shifts and means around 0.
    """
    arrays = {}
    for name, shape in shapes.items():
        generator = np.random.default_rng(zlib.crc32(name.encode()))
        if len(shape) > 1:
            gain = 0.2 if ".se." in name else 2.0
            values = generator.normal(0.0, np.sqrt(gain / np.prod(shape[1:])), shape)
        elif name.endswith(("bias", "mean")):
            values = generator.normal(0.0, 0.1, shape)
        else:
            values = generator.uniform(0.5, 1.5, shape)
        arrays[name] = values.astype(np.float32)
    return arrays
