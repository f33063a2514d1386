"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation and with ReLU6, for ordinary processors.

The ImageNet weights were trained with TensorFlow: convolutions pad "same" as TensorFlow does (more on the right and
at the bottom when the stride is 2), and BatchNorm has epsilon 1e-3. With symmetric padding or another epsilon the same
weights lose accuracy.

References:
    Tan and Le 2019, EfficientNet: https://arxiv.org/abs/1905.11946
    https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
"""

from collections.abc import Iterator
from dataclasses import dataclass

from keras import KerasTensor, layers

from toolkit.models.layers import initialiser as kernel_initialiser
from toolkit.models.weights import Counterpart

NUM_FEATURES = 1280
_STEM_FILTERS = 32
_EPSILON = 1e-3


@dataclass(frozen=True)
class _Stage:
    repeats: int
    kernel_size: int
    stride: int  # of the first block
    expansion: int
    filters: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def efficientnet_lite0(x: KerasTensor, *, initialiser: str = "he") -> KerasTensor:
    """The graph from normalised pixels to features.

    Args:
        x: (B, S, S, C) pixels, normalised as (x - 127) / 128.
        initialiser: of the kernels, where no weights are loaded: "gaussian", "glorot" or "he".

    Returns:
        (B, 1280) features, averaged over the picture.
    """
    x = _convolution(x, "stem", _STEM_FILTERS, 3, 2, initialiser)
    for index, stage in enumerate(_STAGES, start=1):
        for repeat in range(1, stage.repeats + 1):
            x = _block(x, f"stage{index}_block{repeat}", stage, stage.stride if repeat == 1 else 1, initialiser)
    x = _convolution(x, "head", NUM_FEATURES, 1, 1, initialiser)
    return layers.GlobalAveragePooling2D(name="head_pool")(x)


def _block(x: KerasTensor, name: str, stage: _Stage, stride: int, initialiser: str) -> KerasTensor:
    """Expand, filter each channel, project; added to its input where the shapes agree."""
    shortcut, channels = x, x.shape[-1]
    if stage.expansion > 1:
        x = _convolution(x, f"{name}_expand", stage.expansion * channels, 1, 1, initialiser)
    x = layers.DepthwiseConv2D(stage.kernel_size, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv",
                               depthwise_initializer=kernel_initialiser(initialiser))(x)
    x = layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_depthwise_norm")(x)
    x = layers.Activation("relu6", name=f"{name}_depthwise_relu")(x)
    x = _convolution(x, f"{name}_project", stage.filters, 1, 1, initialiser, activation=False)
    if stride == 1 and channels == stage.filters:
        x = layers.Add(name=f"{name}_add")([shortcut, x])
    return x


def _convolution(x: KerasTensor, name: str, filters: int, kernel_size: int, stride: int, initialiser: str,
                 activation: bool = True) -> KerasTensor:
    x = layers.Conv2D(filters, kernel_size, stride, padding="same", use_bias=False, name=f"{name}_conv",
                      kernel_initializer=kernel_initialiser(initialiser))(x)
    x = layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_norm")(x)
    return layers.Activation("relu6", name=f"{name}_relu")(x) if activation else x


def torch_counterparts() -> Iterator[Counterpart]:
    """Where the tensors of the PyTorch file (names of EfficientNet-PyTorch) belong, `head_logits` included."""
    yield from _pair("stem", "_conv_stem", "_bn0")
    number = 0
    for index, stage in enumerate(_STAGES, start=1):
        for repeat in range(1, stage.repeats + 1):
            layer, prefix = f"stage{index}_block{repeat}", f"_blocks.{number}."
            if stage.expansion > 1:
                yield from _pair(f"{layer}_expand", f"{prefix}_expand_conv", f"{prefix}_bn0")
            yield f"{layer}_depthwise_conv", f"{prefix}_depthwise_conv", "depthwise"
            yield f"{layer}_depthwise_norm", f"{prefix}_bn1", "normalisation"
            yield from _pair(f"{layer}_project", f"{prefix}_project_conv", f"{prefix}_bn2")
            number += 1
    yield from _pair("head", "_conv_head", "_bn1")
    yield "head_logits", "_fc", "dense"


def _pair(layer: str, convolution: str, normalisation: str) -> Iterator[Counterpart]:
    yield f"{layer}_conv", convolution, "convolution"
    yield f"{layer}_norm", normalisation, "normalisation"
