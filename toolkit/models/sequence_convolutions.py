"""Convolutions over time: Kim's network for texts, and the fully convolutional and residual networks for series.

Padding is brought back to zero after every layer, so that the border of a sequence looks the same with and without it.

References:
    Kim 2014, https://arxiv.org/abs/1408.5882; Wang et al. 2017, https://arxiv.org/abs/1611.06455
"""

from collections.abc import Sequence

from keras import KerasTensor, layers, ops

from toolkit.models.sequence_layers import masked, max_over_time, mean_over_time

_KERNELS = (8, 5, 3)


def text_cnn(
    x: KerasTensor,
    mask: KerasTensor,
    *,
    widths: Sequence[int] = (3, 4, 5),
    filters: Sequence[int] = (100,),
    dropout: float = 0.5,
) -> KerasTensor:
    """One layer of filters of several widths; of each the largest answer anywhere in the text.

    Args:
        x: (B, T, E).
        mask: (B, T) bool, false at padding.
        widths: tokens that a filter sees.
        filters: of each width; one number is for all.
        dropout: rate in [0, 1) before the filters, and before the features.

    Returns:
        (B, F) features, F = all filters.

    Raises:
        ValueError: numbers of filters that are not one a width.
    """
    filters = filters * len(widths) if len(filters) == 1 else filters
    if len(filters) != len(widths):
        raise ValueError(f"{len(filters)} numbers of filters for {len(widths)} widths; expected one, or one a width")
    x = masked(layers.Dropout(dropout, name="layer1_dropout")(x), mask)
    answers = [layers.Conv1D(number, width, padding="same", activation="relu", name=f"layer1_width{width}")(x)
               for number, width in zip(filters, widths, strict=True)]
    best = [max_over_time(answer, mask) for answer in answers]
    return layers.Dropout(dropout, name="head_dropout")(ops.concatenate(best, axis=-1) if len(best) > 1 else best[0])


def series_fcn(x: KerasTensor, mask: KerasTensor, *, filters: Sequence[int] = (128, 256, 128)) -> KerasTensor:
    """Three convolutions of widths 8, 5 and 3, each normalised, and the mean over time.

    Args:
        x: (B, T, C).
        mask: (B, T) bool, false at padding.
        filters: of each convolution.

    Returns:
        (B, filters[-1]) features.
    """
    x = masked(x, mask)
    for number, channels in enumerate(filters, start=1):
        width = _KERNELS[min(number, len(_KERNELS)) - 1]
        x = masked(ops.relu(_convolution(x, mask, channels, width, f"layer{number}")), mask)
    return mean_over_time(x, mask)


def series_resnet(x: KerasTensor, mask: KerasTensor, *, filters: Sequence[int] = (64, 128, 128)) -> KerasTensor:
    """Blocks of three convolutions of widths 8, 5 and 3 with a shortcut around them, and the mean over time.

    Args:
        x: (B, T, C).
        mask: (B, T) bool, false at padding.
        filters: of the convolutions of each block.

    Returns:
        (B, filters[-1]) features.
    """
    x = masked(x, mask)
    for number, channels in enumerate(filters, start=1):
        name, y = f"block{number}", x
        for part, width in enumerate(_KERNELS, start=1):
            y = _convolution(y, mask, channels, width, f"{name}_part{part}")
            if part < len(_KERNELS):
                y = masked(ops.relu(y), mask)
        if x.shape[-1] == channels:
            shortcut = _normalised(x, mask, f"{name}_shortcut")
        else:
            shortcut = _convolution(x, mask, channels, 1, f"{name}_shortcut")
        x = masked(ops.relu(ops.add(y, shortcut)), mask)
    return mean_over_time(x, mask)


def _convolution(x: KerasTensor, mask: KerasTensor, channels: int, width: int, name: str) -> KerasTensor:
    x = layers.Conv1D(channels, width, padding="same", use_bias=False, kernel_initializer="he_uniform",
                      name=f"{name}_conv")(x)
    return _normalised(x, mask, name)


def _normalised(x: KerasTensor, mask: KerasTensor, name: str) -> KerasTensor:
    """BatchNorm whose statistics are those of the steps that are no padding."""
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name=f"{name}_norm")(x, mask=mask)
