"""Networks for small pictures, trained from scratch: a convolutional network and a multilayer perceptron."""

from collections.abc import Sequence

from keras import KerasTensor, layers

from toolkit.models.layers import activate, widening
from toolkit.models.layers import initialiser as kernel_initialiser

_MOMENTUM = 0.9  # of the moving averages: Keras' 0.99 lags behind in trainings of a few hundred steps


def small_cnn(
    x: KerasTensor,
    *,
    filters: Sequence[int] = (32, 64, 128),
    activation: str = "relu",
    initialiser: str = "he",
    pooling: str = "max",
    dropout: float = 0.1,
    batch_normalisation: bool = True,
) -> KerasTensor:
    """Blocks of two 3x3 convolutions and a pooling that halves the picture; then the average over the picture.

    Args:
        x: (B, S, S, C) pixels in [0, 1].
        filters: channels of each block; S must be at least 2 ** len(filters).
        activation: "relu", "leaky_relu", "elu", "maxout", "tanh" or "sigmoid".
        initialiser: of the kernels: "gaussian", "glorot" or "he".
        pooling: "max" or "average".
        dropout: rate in [0, 1) after each block.
        batch_normalisation: between convolution and activation.

    Returns:
        (B, filters[-1]) features.

    Raises:
        ValueError: an unknown activation, initialiser or pooling, or a picture too small to be halved so often.
    """
    if x.shape[1] < 2 ** len(filters):
        raise ValueError(f"pictures of {x.shape[1]} pixels cannot be halved {len(filters)} times; use at least "
                         f"{2 ** len(filters)} pixels or fewer filters")
    if pooling not in ("max", "average"):
        raise ValueError(f"pooling is {pooling!r}; expected max or average")
    pool = layers.MaxPooling2D if pooling == "max" else layers.AveragePooling2D
    for block, channels in enumerate(filters, start=1):
        for part in (1, 2):
            name = f"block{block}_conv{part}"
            x = layers.Conv2D(widening(activation) * channels, 3, padding="same", use_bias=not batch_normalisation,
                              kernel_initializer=kernel_initialiser(initialiser), name=name)(x)
            if batch_normalisation:
                x = layers.BatchNormalization(momentum=_MOMENTUM, name=f"block{block}_norm{part}")(x)
            x = activate(x, activation, f"block{block}_{activation}{part}")
        x = pool(2, name=f"block{block}_pool")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"block{block}_dropout")(x)
    return layers.GlobalAveragePooling2D(name="head_pool")(x)


def mlp(
    x: KerasTensor,
    *,
    hidden: Sequence[int] = (256, 128),
    activation: str = "relu",
    initialiser: str = "he",
    dropout: float = 0.2,
    batch_normalisation: bool = False,
) -> KerasTensor:
    """Fully connected layers on the flattened picture.

    Args:
        x: (B, S, S, C) pixels in [0, 1].
        hidden: units of each layer.
        activation: "relu", "leaky_relu", "elu", "maxout", "tanh" or "sigmoid".
        initialiser: of the kernels: "gaussian", "glorot" or "he".
        dropout: rate in [0, 1) after each layer.
        batch_normalisation: between the linear units and the activation.

    Returns:
        (B, hidden[-1]) features.

    Raises:
        ValueError: an unknown activation or initialiser.
    """
    x = layers.Flatten(name="layer1_flatten")(x)
    for index, units in enumerate(hidden, start=1):
        name = f"layer{index}"
        x = layers.Dense(widening(activation) * units, use_bias=not batch_normalisation, name=f"{name}_dense",
                         kernel_initializer=kernel_initialiser(initialiser))(x)
        if batch_normalisation:
            x = layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_norm")(x)
        x = activate(x, activation, f"{name}_{activation}")
        if dropout:
            x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return x
