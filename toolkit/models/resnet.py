"""Residual networks of 18, 34 and 50 layers, as torchvision builds them (which is what public weights fit).

Padding is symmetric, BatchNorm has epsilon 1e-5, and the 50-layer network takes its stride in the 3x3 convolution of a
block (Keras' own ResNet50 takes it in the first 1x1). Layers are named after torchvision's: `stage1_block1_conv1` is
`layer1.0.conv1`.

References:
    He et al. 2016, Deep residual learning: https://arxiv.org/abs/1512.03385
    https://pytorch.org/vision/stable/models/resnet.html
"""

from collections.abc import Collection, Iterator
from functools import partial

from keras import KerasTensor, layers

from toolkit.models.layers import initialiser as kernel_initialiser
from toolkit.models.weights import Counterpart

_FILTERS = (64, 128, 256, 512)
_EPSILON = 1e-5
_MOMENTUM = 0.9  # of the old average; torch counts the other way round


def resnet18(x: KerasTensor, *, initialiser: str = "he") -> KerasTensor:
    """18 layers: two 3x3 convolutions a block; (B, S, S, C) normalised pixels to (B, 512) features."""
    return _resnet(x, (2, 2, 2, 2), False, initialiser)


def resnet34(x: KerasTensor, *, initialiser: str = "he") -> KerasTensor:
    """34 layers: two 3x3 convolutions a block; (B, S, S, C) normalised pixels to (B, 512) features."""
    return _resnet(x, (3, 4, 6, 3), False, initialiser)


def resnet50(x: KerasTensor, *, initialiser: str = "he") -> KerasTensor:
    """50 layers: 1x1, 3x3 and 1x1 convolution a block; (B, S, S, C) normalised pixels to (B, 2048) features."""
    return _resnet(x, (3, 4, 6, 3), True, initialiser)


def _resnet(x: KerasTensor, repeats: tuple[int, ...], bottleneck: bool, initialiser: str) -> KerasTensor:
    x = _convolution(x, "stem", "", 64, 7, 2, initialiser)
    x = layers.Activation("relu", name="stem_relu")(x)
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)  # zeros are below or equal to anything ReLU gives
    x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    for stage, (filters, count) in enumerate(zip(_FILTERS, repeats, strict=True), start=1):
        for block in range(1, count + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            x = _block(x, f"stage{stage}_block{block}", filters, stride, bottleneck, initialiser)
    return layers.GlobalAveragePooling2D(name="head_pool")(x)


def _block(x: KerasTensor, name: str, filters: int, stride: int, bottleneck: bool, initialiser: str) -> KerasTensor:
    shortcut = x
    if bottleneck:
        shapes = [(filters, 1, 1), (filters, 3, stride), (4 * filters, 1, 1)]
    else:
        shapes = [(filters, 3, stride), (filters, 3, 1)]
    for part, (width, kernel_size, step) in enumerate(shapes, start=1):
        x = _convolution(x, name, str(part), width, kernel_size, step, initialiser)
        if part < len(shapes):
            x = layers.Activation("relu", name=f"{name}_relu{part}")(x)
    if shortcut.shape != x.shape:
        shortcut = _convolution(shortcut, name, "_shortcut", x.shape[-1], 1, stride, initialiser)
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.Activation("relu", name=f"{name}_relu")(x)


def _convolution(x: KerasTensor, name: str, part: str, filters: int, kernel_size: int, stride: int,
                 initialiser: str) -> KerasTensor:
    """Symmetric padding, convolution, BatchNorm."""
    if kernel_size > 1:
        x = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad{part}")(x)
    x = layers.Conv2D(filters, kernel_size, stride, use_bias=False, name=f"{name}_conv{part}",
                      kernel_initializer=kernel_initialiser(initialiser))(x)
    return layers.BatchNormalization(momentum=_MOMENTUM, epsilon=_EPSILON, name=f"{name}_norm{part}")(x)


def _counterparts(repeats: tuple[int, ...], bottleneck: bool, names: Collection[str] = ()) -> Iterator[Counterpart]:
    """Where the tensors of torchvision's and timm's checkpoints (of the same names) belong, `head_logits` included."""
    yield "stem_conv", "conv1", "convolution"
    yield "stem_norm", "bn1", "normalisation"
    for stage, count in enumerate(repeats, start=1):
        for block in range(1, count + 1):
            layer, prefix = f"stage{stage}_block{block}", f"layer{stage}.{block - 1}"
            for part in range(1, 4 if bottleneck else 3):
                yield f"{layer}_conv{part}", f"{prefix}.conv{part}", "convolution"
                yield f"{layer}_norm{part}", f"{prefix}.bn{part}", "normalisation"
            if block == 1 and (stage > 1 or bottleneck):
                yield f"{layer}_conv_shortcut", f"{prefix}.downsample.0", "convolution"
                yield f"{layer}_norm_shortcut", f"{prefix}.downsample.1", "normalisation"
    yield "head_logits", "fc", "dense"


torch_counterparts18 = partial(_counterparts, (2, 2, 2, 2), False)
torch_counterparts34 = partial(_counterparts, (3, 4, 6, 3), False)
torch_counterparts50 = partial(_counterparts, (3, 4, 6, 3), True)
