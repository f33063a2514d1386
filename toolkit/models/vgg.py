"""VGG networks of 11 and 16 layers: 3x3 convolutions in five stages, each ended by a pooling that halves the picture.

Without BatchNorm. With 1,000 classes they have 132,863,336 and 138,357,544 parameters, of which 119,545,856 in the two
hidden fully connected layers. Features are the outputs of the second of them; Keras' own (`keras_vgg16`) end before
both. Of maps larger than 7x7, from 256 pixels on, these layers see averages, as in torchvision; timm's slide over them.

References:
    Simonyan and Zisserman 2015, Very deep convolutional networks for large-scale image recognition:
    https://arxiv.org/abs/1409.1556
    https://pytorch.org/vision/stable/models/vgg.html
"""

from collections.abc import Collection, Iterator, Sequence
from functools import partial

from keras import KerasTensor, layers

from toolkit.models.layers import adaptive_average_pooling
from toolkit.models.layers import initialiser as kernel_initialiser
from toolkit.models.weights import Counterpart

_FILTERS = (64, 128, 256, 512, 512)
_CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3)}  # of each stage


def vgg11(
    x: KerasTensor, *, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, initialiser: str = "he"
) -> KerasTensor:
    """11 layers: one or two convolutions a stage. Arguments as for `vgg16`."""
    return _vgg(x, _CONVOLUTIONS[11], hidden, dropout, initialiser)


def vgg16(
    x: KerasTensor, *, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5, initialiser: str = "he"
) -> KerasTensor:
    """16 layers: two or three convolutions a stage.

    Args:
        x: (B, S, S, C) normalised pixels; S is at least 32. The maps are averaged to 7x7 whatever S is.
        hidden: units of the two hidden fully connected layers.
        dropout: rate in [0, 1) after each of them.
        initialiser: of the kernels: "gaussian", "glorot" or "he".

    Returns:
        (B, hidden[-1]) features.

    Raises:
        ValueError: an unknown initialiser.
    """
    return _vgg(x, _CONVOLUTIONS[16], hidden, dropout, initialiser)


def _vgg(x: KerasTensor, convolutions: Sequence[int], hidden: Sequence[int], dropout: float,
         initialiser: str) -> KerasTensor:
    for stage, (filters, count) in enumerate(zip(_FILTERS, convolutions, strict=True), start=1):
        for part in range(1, count + 1):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"stage{stage}_conv{part}",
                              kernel_initializer=kernel_initialiser(initialiser))(x)
        x = layers.MaxPooling2D(2, name=f"stage{stage}_pool")(x)
    x = layers.Permute((3, 1, 2), name="head_channels_first")(adaptive_average_pooling(x, 7))  # PyTorch's order
    x = layers.Flatten(name="head_flatten")(x)
    for part, units in enumerate(hidden, start=1):
        x = layers.Dense(units, activation="relu", kernel_initializer=kernel_initialiser(initialiser),
                         name=f"head_dense{part}")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"head_dropout{part}")(x)
    return x


def _counterparts(convolutions: Sequence[int], names: Collection[str] = ()) -> Iterator[Counterpart]:
    """Where the tensors of torchvision's checkpoints belong, or of timm's, where `names` holds timm's names."""
    position = 0
    for stage, count in enumerate(convolutions, start=1):
        for part in range(1, count + 1):
            yield f"stage{stage}_conv{part}", f"features.{position}", "biased_convolution"
            position += 2  # a convolution and its ReLU
        position += 1  # the pooling
    if "head.fc.weight" in names or "pre_logits.fc1.weight" in names:
        yield "head_dense1", "pre_logits.fc1", "convolution_as_dense"
        yield "head_dense2", "pre_logits.fc2", "convolution_as_dense"
        yield "head_logits", "head.fc", "dense"
    else:
        yield "head_dense1", "classifier.0", "dense"
        yield "head_dense2", "classifier.3", "dense"
        yield "head_logits", "classifier.6", "dense"


torch_counterparts11 = partial(_counterparts, _CONVOLUTIONS[11])
torch_counterparts16 = partial(_counterparts, _CONVOLUTIONS[16])
