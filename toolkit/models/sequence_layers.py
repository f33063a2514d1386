"""Small pieces that the networks on sequences share: masks, filling of missing values, pooling over time.

A sequence is padded at its end, and what a network makes of it must not depend on how much: every operation over time
takes the mask, (B, T) bool, of the steps that are no padding. The first step always counts, so that a text of unknown
signs only, which has no token, is one step of padding and not a division by zero. All is stock Keras.
"""

from collections.abc import Callable

from keras import KerasTensor, layers, ops

POOLINGS: dict[str, Callable[[KerasTensor, KerasTensor], KerasTensor]] = {}
_FAR_BELOW = -1e9
_SMALL_VARIANCE = 1e-12


def token_mask(tokens: KerasTensor) -> KerasTensor:
    """Which steps of tokens (B, T) int, 0 = padding, are no padding: (B, T) bool."""
    return ops.logical_or(ops.not_equal(tokens, 0), first_step(tokens))


def series_mask(series: KerasTensor) -> KerasTensor:
    """Which steps of series (B, T, C), NaN = missing, are no padding: all up to the last one with a value."""
    known = ops.cast(ops.any(ops.isfinite(series), axis=-1), "int32")
    later = ops.flip(ops.cumsum(ops.flip(known, axis=1), axis=1), axis=1)
    return ops.logical_or(later > 0, first_step(known))


def first_step(steps: KerasTensor) -> KerasTensor:
    """(B, T) bool, true at the first step; of (B, T) int of any values."""
    return ops.equal(positions(steps), 0)


def positions(steps: KerasTensor) -> KerasTensor:
    """(B, T) int, 0, 1, 2, ...; of (B, T) int of any values."""
    return ops.cumsum(ops.ones_like(steps), axis=1) - 1


def filled(series: KerasTensor, *, mean: list[float], variance: list[float]) -> KerasTensor:
    """Series with every channel normalised and zeros, its mean, where a value is missing.

    Args:
        series: (B, T, C) float32, NaN = missing.
        mean: of each channel.
        variance: likewise.

    Returns:
        (B, T, C) float32.
    """
    known = ops.isfinite(series)
    x = ops.where(known, series, 0.0)
    if min(variance) < _SMALL_VARIANCE:  # Keras divides by 1e-7 at least
        scales = [value**-0.5 for value in variance]
        x = layers.Rescaling(scales, dtype="float32", name="rescaling")(x)
        mean, variance = [value * scale for value, scale in zip(mean, scales)], [1.0] * len(scales)
    x = layers.Normalization(axis=-1, mean=mean, variance=variance, dtype="float32", name="normalisation")(x)
    return ops.where(known, x, 0.0)


def masked(x: KerasTensor, mask: KerasTensor) -> KerasTensor:
    """x (B, T, F) with zeros at padding."""
    return ops.multiply(x, ops.cast(ops.expand_dims(mask, -1), x.dtype))


def mean_over_time(x: KerasTensor, mask: KerasTensor) -> KerasTensor:
    """(B, F) means of x (B, T, F) over the steps of the mask."""
    count = ops.sum(ops.cast(mask, x.dtype), axis=1, keepdims=True)
    return ops.divide(ops.sum(masked(x, mask), axis=1), count)


def max_over_time(x: KerasTensor, mask: KerasTensor) -> KerasTensor:
    """(B, F) maxima of x (B, T, F) over the steps of the mask."""
    return ops.max(ops.where(ops.expand_dims(mask, -1), x, ops.cast(_FAR_BELOW, x.dtype)), axis=1)


def last_over_time(x: KerasTensor, mask: KerasTensor) -> KerasTensor:
    """(B, F), x (B, T, F) at the last step of the mask."""
    is_last = ops.equal(positions(ops.cast(mask, "int32")), ops.sum(ops.cast(mask, "int32"), axis=1, keepdims=True) - 1)
    return ops.sum(masked(x, is_last), axis=1)


def attention_over_time(x: KerasTensor, mask: KerasTensor) -> KerasTensor:
    """(B, F) = sum over t of a_t x_t, with a = softmax over the steps of the mask of v . tanh(W x_t + b).

    References:
        Yang et al. 2016, https://aclanthology.org/N16-1174/
    """
    hidden = layers.Dense(min(x.shape[-1], 128), activation="tanh", name="head_attention_hidden")(x)
    scores = layers.Dense(1, use_bias=False, name="head_attention_scores")(hidden)
    shares = layers.Softmax(axis=1, dtype="float32", name="head_attention")(scores, mask=ops.expand_dims(mask, -1))
    return ops.sum(ops.multiply(x, ops.cast(shares, x.dtype)), axis=1)


def concatenated_over_time(x: KerasTensor, mask: KerasTensor) -> KerasTensor:
    """(B, 3 F): last step, maximum and mean (Howard and Ruder 2018, https://arxiv.org/abs/1801.06146)."""
    parts = [last_over_time(x, mask), max_over_time(x, mask), mean_over_time(x, mask)]
    return ops.concatenate(parts, axis=-1)


POOLINGS |= {"attention": attention_over_time, "max": max_over_time, "mean": mean_over_time, "last": last_over_time,
             "concatenation": concatenated_over_time}


def pooled(x: KerasTensor, mask: KerasTensor, pooling: str) -> KerasTensor:
    """One vector a sequence.

    Args:
        x: (B, T, F).
        mask: (B, T) bool.
        pooling: a key of `POOLINGS`, or "none": x as it is.

    Returns:
        (B, F), (B, 3 F) or (B, T, F).

    Raises:
        ValueError: another pooling.
    """
    if pooling == "none":
        return x
    if pooling not in POOLINGS:
        raise ValueError(f"pooling is {pooling!r}; expected one of {', '.join(POOLINGS)}")
    x = layers.Identity(name="head_steps")(x)
    return POOLINGS[pooling](x, mask)
