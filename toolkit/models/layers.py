"""Small pieces that several of our own networks share: initialisers, activations, the normalisation of pixels.

Every layer is named `<block>_<part>`, where the block is `stem`, `stage3`, `block2`, `layer4` or `head`:
`backbones.blocks` reads the order of unfreezing from these names.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import KerasTensor, layers, ops

ACTIVATIONS = ("relu", "leaky_relu", "elu", "maxout", "tanh", "sigmoid")
INITIALISERS = ("gaussian", "glorot", "he")


def initialiser(name: str) -> keras.Initializer:
    """A new initialiser of kernels.

    Args:
        name: "gaussian" (standard deviation 0.01, as in the AlexNet paper), "glorot" (uniform) or "he" (normal).

    Raises:
        ValueError: another name.
    """
    if name == "gaussian":
        return keras.initializers.RandomNormal(stddev=0.01)
    if name == "glorot":
        return keras.initializers.GlorotUniform()
    if name == "he":
        return keras.initializers.HeNormal()
    raise ValueError(f"initialiser is {name!r}; expected one of {', '.join(INITIALISERS)}")


def widening(activation: str) -> int:
    """How many linear units feed one unit of the activation: 2 for maxout, else 1."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation is {activation!r}; expected one of {', '.join(ACTIVATIONS)}")
    return 2 if activation == "maxout" else 1


def activate(x: KerasTensor, activation: str, name: str) -> KerasTensor:
    """Apply an activation to the last axis.

    Args:
        x: (..., widening * C).
        activation: one of ACTIVATIONS. Maxout takes the larger of two neighbouring units (Goodfellow et al. 2013).
        name: the layer's name.

    Returns:
        (..., C).
    """
    if activation == "maxout":
        pairs = layers.Reshape((*x.shape[1:-1], x.shape[-1] // 2, 2), name=name)(x)
        return ops.max(pairs, axis=-1)
    if activation == "leaky_relu":
        return layers.LeakyReLU(negative_slope=0.01, name=name)(x)
    return layers.Activation(activation, name=name)(x)


def normalise(
    x: KerasTensor, mean: Sequence[float], std: Sequence[float], reverse_channels: bool = False
) -> KerasTensor:
    """(x - mean) / std, always in float32.

    Args:
        x: (B, S, S, C) pixels in [0, 255]; C is 3, or 1 for grey, which takes the averages of mean and std.
        mean: one number, or one for each of red, green, blue.
        std: likewise.
        reverse_channels: hand on blue, green, red.

    Returns:
        (B, S, S, C) float32.
    """
    mean, std = np.broadcast_to(mean, 3), np.broadcast_to(std, 3)
    if x.shape[-1] == 1:
        mean, std = mean.mean(keepdims=True), std.mean(keepdims=True)
    x = layers.Rescaling((1 / std).tolist(), (-mean / std).tolist(), dtype="float32", name="normalisation")(x)
    return ops.flip(x, axis=-1) if reverse_channels and x.shape[-1] == 3 else x
