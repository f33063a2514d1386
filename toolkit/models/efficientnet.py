"""EfficientNet-B0: inverted residual blocks with squeeze-and-excitation and swish, found by search and scaled up.

| stage | blocks | kernel | stride | expansion | channels | picture |
|---|---|---|---|---|---|---|
| stem | 1 | 3x3 | 2 | | 32 | 112x112 |
| 1 | 1 | 3x3 | 1 | 1 | 16 | 112x112 |
| 2 | 2 | 3x3 | 2 | 6 | 24 | 56x56 |
| 3 | 2 | 5x5 | 2 | 6 | 40 | 28x28 |
| 4 | 3 | 3x3 | 2 | 6 | 80 | 14x14 |
| 5 | 3 | 5x5 | 1 | 6 | 112 | 14x14 |
| 6 | 4 | 5x5 | 2 | 6 | 192 | 7x7 |
| 7 | 1 | 3x3 | 1 | 6 | 320 | 7x7 |
| head | 1 | 1x1 | 1 | | 1280 | 7x7, averaged |

With 1,000 classes that is 5,288,548 trainable parameters.

References:
    Tan and Le 2019, EfficientNet: https://arxiv.org/abs/1905.11946
    https://github.com/huggingface/pytorch-image-models, whose names the counterparts are
"""

from collections.abc import Collection, Iterator

from keras import KerasTensor, layers

from toolkit.models import inverted_residuals
from toolkit.models.inverted_residuals import Block
from toolkit.models.weights import Counterpart

_STEM_FILTERS, _HEAD_FILTERS = 32, 1280
_STAGES = (  # blocks, kernel size, stride of the first block, expansion, filters
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def efficientnet_b0(x: KerasTensor, *, padding: str = "symmetric", initialiser: str = "he") -> KerasTensor:
    """The graph from normalised pixels to features.

    Args:
        x: (B, S, S, C) normalised pixels.
        padding: "symmetric" (PyTorch's, BatchNorm's epsilon 1e-5) or "same" (TensorFlow's, 1e-3).
        initialiser: of the kernels, where no weights are loaded: "gaussian", "glorot" or "he".

    Returns:
        (B, 1280) features, averaged over the picture.

    Raises:
        ValueError: another padding or initialiser.
    """
    return features(x, stages(squeeze=True, activation="silu"), "silu", padding, initialiser)


def stages(squeeze: bool, activation: str) -> list[list[Block]]:
    """The blocks of the table above.

    Args:
        squeeze: with squeeze-and-excitation, to a quarter of the channels that come into a block.
        activation: a name of Keras'.
    """
    chain, channels = [], _STEM_FILTERS
    for repeats, kernel_size, stride, expansion, filters in _STAGES:
        blocks = []
        for repeat in range(repeats):
            blocks.append(Block(kernel_size, 1 if repeat else stride, expansion * channels if expansion > 1 else 0,
                                filters, activation, channels // 4 if squeeze else 0, activation))
            channels = filters
        chain.append(blocks)
    return chain


def features(x: KerasTensor, stages: list[list[Block]], activation: str, padding: str, initialiser: str) -> KerasTensor:
    """Stem, blocks and head: (B, S, S, C) normalised pixels to (B, 1280) features."""
    convention = inverted_residuals.convention(padding, initialiser)
    x = inverted_residuals.convolution(x, "stem", _STEM_FILTERS, 3, 2, activation, convention)
    x = inverted_residuals.chain(x, stages, convention)
    x = inverted_residuals.convolution(x, "head", _HEAD_FILTERS, 1, 1, activation, convention)
    return layers.GlobalAveragePooling2D(name="head_pool")(x)


def torch_counterparts(names: Collection[str] = ()) -> Iterator[Counterpart]:
    """Where the tensors of timm's checkpoints (both conventions have the same names) belong, `head_logits` included."""
    yield from timm_counterparts(stages(squeeze=True, activation="silu"))


def timm_counterparts(stages: list[list[Block]]) -> Iterator[Counterpart]:
    """The same for any such blocks."""
    for layer, convolution, normalisation in (("stem", "conv_stem", "bn1"), ("head", "conv_head", "bn2")):
        yield f"{layer}_conv", convolution, "convolution"
        yield f"{layer}_norm", normalisation, "normalisation"
    yield from inverted_residuals.torch_counterparts(stages)
    yield "head_logits", "classifier", "dense"
