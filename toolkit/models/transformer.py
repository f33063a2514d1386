r"""A transformer encoder: every step looks at every other, as often as there are heads.

.. math:: \mathrm{attention}(Q, K, V) = \mathrm{softmax}(Q K^T / \sqrt{d})\, V

    x <- x + attention(norm(x)),    x <- x + W_2 gelu(W_1 norm(x))

The normalisation comes first (pre-norm), which trains without warm-up tricks. Sines and cosines of falling frequency
tell the positions, so that no length is too long; steps of padding are never looked at.

References:
    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; pre-norm: Xiong et al. 2020, https://arxiv.org/abs/2002.04745
"""

import numpy as np
from keras import KerasTensor, layers, ops

from toolkit.models.sequence_layers import pooled, positions

_LONGEST_WAVE = 10_000.0


def transformer(
    x: KerasTensor,
    mask: KerasTensor,
    *,
    units: int = 128,
    num_layers: int = 2,
    heads: int = 4,
    pooling: str = "mean",
    dropout: float = 0.1,
    causal: bool = False,
) -> KerasTensor:
    """Pre-norm blocks of attention and two dense layers, and one vector from all their steps.

    Args:
        x: (B, T, E).
        mask: (B, T) bool, false at padding.
        units: of each step, and a multiple of heads; the hidden layer of a block has four times as many.
        num_layers: blocks.
        heads: of the attention.
        pooling: "attention", "max", "mean", "last", "concatenation" (of last, max, mean), or "none".
        dropout: rate in [0, 1) after the positions and each half of a block.
        causal: no step knows a later one.

    Returns:
        (B, F) features, F = units, or three times that if concatenated; (B, T, F) with pooling "none".

    Raises:
        ValueError: an unknown pooling, or units that the heads do not divide.
    """
    if units % heads:
        raise ValueError(f"units is {units}, which {heads} heads do not divide; use a multiple of heads")
    if x.shape[-1] != units:
        x = layers.Dense(units, name="stem_width")(x)
    x = layers.Dropout(dropout, name="stem_dropout")(ops.add(x, position_waves(mask, units, x.dtype)))
    for number in range(1, num_layers + 1):
        name = f"block{number}"
        y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_attention_norm")(x)
        y = layers.MultiHeadAttention(heads, units // heads, dropout=dropout, name=f"{name}_attention")(
            y, y, attention_mask=ops.expand_dims(mask, 1), use_causal_mask=causal)
        x = ops.add(x, layers.Dropout(dropout, name=f"{name}_attention_dropout")(y))
        y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")(x)
        y = layers.Dense(4 * units, activation="gelu", name=f"{name}_hidden")(y)
        y = layers.Dense(units, name=f"{name}_dense")(y)
        x = ops.add(x, layers.Dropout(dropout, name=f"{name}_dropout")(y))
    x = layers.LayerNormalization(epsilon=1e-6, name="head_norm")(x)
    return pooled(x, mask, pooling)


def position_waves(mask: KerasTensor, units: int, dtype: str) -> KerasTensor:
    """(B, T, units): half sines, half cosines of the position, the longest wave 10,000 steps times two pi."""
    frequencies = _LONGEST_WAVE ** -(np.arange((units + 1) // 2, dtype=np.float32) / max(units // 2, 1))
    position = ops.cast(positions(ops.cast(mask, "int32")), "float32")
    angles = ops.multiply(ops.expand_dims(position, -1), frequencies)
    return ops.cast(ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)[..., :units], dtype)
