"""Small pieces that several of our own networks share: initialisers, activations, pooling, normalisation of pixels.

Every layer is named `<block>_<part>`, where the block is `stem`, `stage3`, `block2`, `layer4` or `head`:
`backbones.blocks` reads the order of unfreezing from these names.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from toolkit.models import shared_memory

ACTIVATIONS = ("relu", "leaky_relu", "elu", "maxout", "tanh", "sigmoid")
INITIALISERS = ("gaussian", "glorot", "he")
_waiting: list[tuple[Callable, keras.Initializer]] | None = None  # zeros, and what they stand for


def initialiser(name: str, window: int = 0) -> keras.Initializer:
    """A new initialiser of kernels.

    Args:
        name: "gaussian" (standard deviation 0.01, as in the AlexNet paper), "glorot" (uniform) or "he" (normal).
        window: pixels of the kernel where each channel is filtered for itself: Keras would count all channels as the
            inputs of each, and the maps would shrink to nothing.

    Raises:
        ValueError: another name.
    """
    if name not in INITIALISERS:
        raise ValueError(f"initialiser is {name!r}; expected one of {', '.join(INITIALISERS)}")
    if name == "gaussian":
        found = keras.initializers.RandomNormal(stddev=0.01)
    elif window and name == "he":
        found = keras.initializers.RandomNormal(stddev=(2 / window) ** 0.5)
    elif window:
        found = keras.initializers.RandomUniform(-((3 / window) ** 0.5), (3 / window) ** 0.5)
    else:
        found = keras.initializers.GlorotUniform() if name == "glorot" else keras.initializers.HeNormal()
    if _waiting is None:
        return found
    _waiting.append((lambda shape, dtype=None: shared_memory.tensor(shared_memory.zeros(shape)), found))
    return _waiting[-1][0]


@contextlib.contextmanager
def zeros_at_first() -> Iterator[list[keras.Model]]:
    """Networks built inside begin with zeros: for those whose weights come from a file.

    Drawing random numbers takes four times the memory of the largest kernel; zeros take none until the weights come.
    What the layers say of their initialisers, and what the next random number is, stays as without.

    Yields:
        A list: append the networks.
    """
    global _waiting
    networks: list[keras.Model] = []
    _waiting = []
    try:
        yield networks
        meant = {id(zeros): initialiser for zeros, initialiser in _waiting}
        for layer in (layer for network in networks for layer in network.layers):
            for attribute in ("kernel_initializer", "depthwise_initializer"):
                if id(getattr(layer, attribute, None)) in meant:
                    setattr(layer, attribute, meant[id(getattr(layer, attribute))])
    finally:
        _waiting = None


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


def adaptive_average_pooling(x: KerasTensor, side: int) -> KerasTensor:
    """Averages over side x side windows that cover the maps, however large these are.

    Window i of n rows begins at row floor(i n / side) and ends before row ceil((i + 1) n / side), as in PyTorch:
    windows overlap where side does not divide n, and repeat where n is smaller. (Keras' layer refuses smaller maps.)

    Args:
        x: (B, H, W, C).
        side: of the result.

    Returns:
        (B, side, side, C); x itself where it has that size.
    """
    if x.shape[1:3] == (side, side):
        return x
    return ops.einsum("bhwc,ih,jw->bijc", x, _averaging(x.shape[1], side), _averaging(x.shape[2], side))


def _averaging(size: int, windows: int) -> np.ndarray:
    """(windows, size) float32: row i averages over window i."""
    window, position = np.arange(windows)[:, None], np.arange(size)
    inside = (position >= window * size // windows) & (position < -(-(window + 1) * size // windows))
    return (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32)


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
