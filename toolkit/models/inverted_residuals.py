"""Inverted residual blocks: expand, filter each channel, weigh the channels, project. EfficientNet and MobileNetV3.

The same graphs exist in two conventions, and weights trained in one lose accuracy in the other:

| padding | where the stride is 2 | BatchNorm | who |
|---|---|---|---|
| "same" | more on the right and at the bottom | epsilon 1e-3 | TensorFlow; timm's names that begin with `tf_` |
| "symmetric" | equally on all sides | epsilon 1e-5 | PyTorch; timm's other names |

References:
    Sandler et al. 2018, MobileNetV2: https://arxiv.org/abs/1801.04381
    Hu et al. 2018, Squeeze-and-excitation networks: https://arxiv.org/abs/1709.01507
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keras import KerasTensor, layers

from toolkit.models.layers import initialiser as kernel_initialiser
from toolkit.models.weights import Counterpart

PADDINGS = ("same", "symmetric")


@dataclass(frozen=True)
class Block:
    """One block: the numbers of channels `expanded` (0: not expanded), `filters` (put out), `squeezed` (0: unweighed).

    `gate` is what turns the outputs of squeeze-and-excitation into weights of the channels, `squeeze_activation` what
    lies between its two layers.
    """

    kernel_size: int
    stride: int
    expanded: int
    filters: int
    activation: str
    squeezed: int = 0
    squeeze_activation: str = "relu"
    gate: str = "sigmoid"


@dataclass(frozen=True)
class Convention:
    """How convolutions pad and BatchNorm computes; `momentum` is that of the old average. And how kernels begin."""

    padding: str
    epsilon: float
    momentum: float
    initialiser: str


def convention(padding: str, initialiser: str) -> Convention:
    """The convention of a padding.

    Args:
        padding: "same" (TensorFlow's) or "symmetric" (PyTorch's).
        initialiser: of the kernels: "gaussian", "glorot" or "he".

    Raises:
        ValueError: another padding.
    """
    if padding not in PADDINGS:
        raise ValueError(f"padding is {padding!r}; expected {' or '.join(PADDINGS)}")
    epsilon, momentum = (1e-3, 0.99) if padding == "same" else (1e-5, 0.9)
    return Convention(padding, epsilon, momentum, initialiser)


def chain(x: KerasTensor, stages: Sequence[Sequence[Block]], convention: Convention) -> KerasTensor:
    """Blocks one after another, their layers named `stage<n>_block<m>_<part>`.

    Args:
        x: (B, H, W, C).
        stages: the blocks.
        convention: of padding and BatchNorm.

    Returns:
        (B, H', W', filters of the last block).
    """
    for name, _, block in _named(stages):
        x = _block(x, name, block, convention)
    return x


def _named(stages: Sequence[Sequence[Block]]) -> Iterator[tuple[str, str, Block]]:
    """Our name, timm's name, block."""
    for stage, blocks in enumerate(stages, start=1):
        for number, block in enumerate(blocks, start=1):
            yield f"stage{stage}_block{number}", f"blocks.{stage - 1}.{number - 1}", block


def _block(x: KerasTensor, name: str, block: Block, convention: Convention) -> KerasTensor:
    """Added to its input where the shapes agree."""
    shortcut = x
    if block.expanded:
        x = convolution(x, f"{name}_expand", block.expanded, 1, 1, block.activation, convention)
    x = convolution(x, f"{name}_depthwise", None, block.kernel_size, block.stride, block.activation, convention)
    if block.squeezed:
        x = _weighed(x, name, block, convention)
    x = convolution(x, f"{name}_project", block.filters, 1, 1, None, convention)
    if block.stride == 1 and shortcut.shape[-1] == block.filters:
        x = layers.Add(name=f"{name}_add")([shortcut, x])
    return x


def _weighed(x: KerasTensor, name: str, block: Block, convention: Convention) -> KerasTensor:
    """Squeeze-and-excitation: each channel times a weight that depends on the averages of all."""
    weight = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze_pool")(x)
    parts = (("squeeze", block.squeezed, block.squeeze_activation), ("excite", x.shape[-1], block.gate))
    for part, filters, activation in parts:
        weight = layers.Conv2D(filters, 1, kernel_initializer=kernel_initialiser(convention.initialiser),
                               name=f"{name}_{part}_conv")(weight)
        weight = layers.Activation(activation, name=f"{name}_{part}_{activation}")(weight)
    return layers.Multiply(name=f"{name}_weigh")([x, weight])


def convolution(x: KerasTensor, name: str, filters: int | None, kernel_size: int, stride: int,
                activation: str | None, convention: Convention) -> KerasTensor:
    """Convolution, BatchNorm, activation.

    Args:
        x: (B, H, W, C).
        name: of the layers, before `_conv`, `_norm` and the activation's name.
        filters: channels put out; None: each channel is filtered for itself.
        kernel_size: odd.
        stride: 1 or 2.
        activation: a name of Keras', or None.
        convention: of padding and BatchNorm.

    Returns:
        (B, ceil(H / stride), ceil(W / stride), filters or C).
    """
    padding = "same"
    if convention.padding == "symmetric" and stride > 1 and kernel_size > 1:
        x = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
        padding = "valid"
    if filters is None:
        kernel = kernel_initialiser(convention.initialiser, kernel_size**2)
        x = layers.DepthwiseConv2D(kernel_size, stride, padding, use_bias=False, depthwise_initializer=kernel,
                                   name=f"{name}_conv")(x)
    else:
        kernel = kernel_initialiser(convention.initialiser)
        x = layers.Conv2D(filters, kernel_size, stride, padding, use_bias=False, kernel_initializer=kernel,
                          name=f"{name}_conv")(x)
    x = layers.BatchNormalization(momentum=convention.momentum, epsilon=convention.epsilon, name=f"{name}_norm")(x)
    return layers.Activation(activation, name=f"{name}_{activation}")(x) if activation else x


def torch_counterparts(stages: Sequence[Sequence[Block]]) -> Iterator[Counterpart]:
    """Where the tensors of the blocks of timm's checkpoints belong."""
    for layer, prefix, block in _named(stages):
        parts = [("depthwise", "conv_dw", "depthwise"), ("project", "conv_pw", "convolution")]
        if block.expanded:
            parts = [("expand", "conv_pw", "convolution"), parts[0], ("project", "conv_pwl", "convolution")]
        for number, (part, name, kind) in enumerate(parts, start=1):
            yield f"{layer}_{part}_conv", f"{prefix}.{name}", kind
            yield f"{layer}_{part}_norm", f"{prefix}.bn{number}", "normalisation"
        if block.squeezed:
            yield f"{layer}_squeeze_conv", f"{prefix}.se.conv_reduce", "biased_convolution"
            yield f"{layer}_excite_conv", f"{prefix}.se.conv_expand", "biased_convolution"
