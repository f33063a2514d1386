"""AlexNet as torchvision has it: 64-192-384-256-256 channels and no normalisation, for which public weights exist.

| layer | picture | channels | |
|---|---|---|---|
| 1 | 55x55 | 64 | 11x11, stride 4, padding 2; pooling 3x3, stride 2 |
| 2 | 27x27 | 192 | 5x5; pooling |
| 3 | 13x13 | 384 | 3x3 |
| 4 | 13x13 | 256 | 3x3 |
| 5 | 13x13 | 256 | 3x3; pooling |
| 6, 7 | | 4096 | dropout 0.5, fully connected |

With 1,000 classes that is 61,100,840 parameters. It is the network of a later paper on parallel training, not that of
2012 (which is `alexnet`: 96-256-384-384-256 channels, two groups, local response normalisation).

References:
    Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks: https://arxiv.org/abs/1404.5997
    https://pytorch.org/vision/stable/models/alexnet.html
"""

from collections.abc import Collection, Iterator, Sequence

from keras import KerasTensor, layers

from toolkit.models.layers import adaptive_average_pooling
from toolkit.models.layers import initialiser as kernel_initialiser
from toolkit.models.weights import Counterpart

_LAYERS = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))  # filters, size, stride, pad
_POOLED = (1, 2, 5)
_TENSORS = (0, 3, 6, 8, 10)  # positions of the convolutions among torchvision's layers


def alexnet_torchvision(
    x: KerasTensor, *, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, initialiser: str = "he"
) -> KerasTensor:
    """The graph from normalised pixels to the features of the last hidden layer.

    Args:
        x: (B, S, S, C) normalised pixels; S is at least 63. The maps are averaged to 6x6 whatever S is.
        hidden: units of the fully connected layers.
        dropout: rate in [0, 1) before each of them.
        initialiser: of the kernels: "gaussian", "glorot" or "he".

    Returns:
        (B, hidden[-1]) features.

    Raises:
        ValueError: an unknown initialiser.
    """
    for number, (filters, kernel_size, stride, padding) in enumerate(_LAYERS, start=1):
        x = layers.ZeroPadding2D(padding, name=f"layer{number}_pad")(x)
        x = layers.Conv2D(filters, kernel_size, stride, activation="relu", name=f"layer{number}_conv",
                          kernel_initializer=kernel_initialiser(initialiser))(x)
        if number in _POOLED:
            x = layers.MaxPooling2D(3, 2, name=f"layer{number}_pool")(x)
    x = layers.Permute((3, 1, 2), name="layer6_channels_first")(adaptive_average_pooling(x, 6))  # PyTorch's order
    x = layers.Flatten(name="layer6_flatten")(x)
    for number, units in enumerate(hidden, start=6):
        if dropout:
            x = layers.Dropout(dropout, name=f"layer{number}_dropout")(x)
        x = layers.Dense(units, activation="relu", kernel_initializer=kernel_initialiser(initialiser),
                         name=f"layer{number}_dense")(x)
    return x


def torch_counterparts(names: Collection[str] = ()) -> Iterator[Counterpart]:
    """Where the tensors of torchvision's checkpoints belong, `head_logits` included."""
    for number, position in enumerate(_TENSORS, start=1):
        yield f"layer{number}_conv", f"features.{position}", "biased_convolution"
    yield "layer6_dense", "classifier.1", "dense"
    yield "layer7_dense", "classifier.4", "dense"
    yield "head_logits", "classifier.6", "dense"
