"""AlexNet as its paper of 2012 has it: five convolutions, local response normalisation, overlapping pooling.

| layer | picture | channels | | parameters, groups=2 |
|---|---|---|---|---|
| 1 | 55x55 | 96 | 11x11, stride 4; normalisation; pooling 3x3, stride 2 | 34,944 |
| 2 | 27x27 | 256 | 5x5; normalisation; pooling | 307,456 |
| 3 | 13x13 | 384 | 3x3 | 885,120 |
| 4 | 13x13 | 384 | 3x3 | 663,936 |
| 5 | 13x13 | 256 | 3x3; pooling | 442,624 |
| 6, 7 | | 4096 | fully connected, dropout 0.5 | 37,752,832 + 16,781,312 |

With 1,000 classes that is 60,965,224 parameters; 62,378,344 when layers 2, 4 and 5 see all maps below (groups=1).

The paper says 224x224 pixels, but an 11x11 window at stride 4 gives 55x55 only on 227x227: three rows and columns of
zeros are added (one at the top and left, two at the bottom and right). It also prints 253,440 neurons for the first
layer; 55 x 55 x 96 = 290,400.

The paper subtracts the mean picture of the training set; here it is the mean colour of ImageNet.

References:
    Krizhevsky, Sutskever and Hinton 2012, ImageNet classification with deep convolutional neural networks:
    https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks
"""

import keras
from keras import KerasTensor, layers, ops

from toolkit.models.layers import initialiser as kernel_initialiser


def alexnet(x: KerasTensor, *, groups: int = 2, dropout: float = 0.5, initialiser: str = "gaussian") -> KerasTensor:
    """The graph from pixels less their mean to the features of the second fully connected layer.

    Args:
        x: (B, S, S, C); S is 224 in the paper.
        groups: 2: layers 2, 4 and 5 see only the half of the maps that lay on the same GPU; 1: all of them.
        dropout: rate in [0, 1) after each fully connected layer.
        initialiser: of the kernels: "gaussian" (0.01, the paper's), "glorot" or "he". Biases of layers 2, 4 and 5 and
            of the fully connected ones begin at 1, those of layers 1 and 3 at 0.

    Returns:
        (B, 4096) features.

    Raises:
        ValueError: groups is neither 1 nor 2.
    """
    if groups not in (1, 2):
        raise ValueError(f"groups is {groups}; expected 1 or 2")
    x = layers.ZeroPadding2D(((1, 2), (1, 2)), name="layer1_pad")(x)
    x = _convolution(x, 1, 96, 11, 0.0, initialiser, strides=4, padding="valid")
    x = _pool(_local_response_normalisation(x), 1)
    x = _convolution(x, 2, 256, 5, 1.0, initialiser, groups=groups)
    x = _pool(_local_response_normalisation(x), 2)
    x = _convolution(x, 3, 384, 3, 0.0, initialiser)
    x = _convolution(x, 4, 384, 3, 1.0, initialiser, groups=groups)
    x = _convolution(x, 5, 256, 3, 1.0, initialiser, groups=groups)
    x = layers.Flatten(name="layer5_flatten")(_pool(x, 5))
    for number in (6, 7):
        x = layers.Dense(4096, activation="relu", kernel_initializer=kernel_initialiser(initialiser),
                         bias_initializer="ones", name=f"layer{number}_dense")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"layer{number}_dropout")(x)
    return x


def _convolution(x: KerasTensor, number: int, filters: int, kernel_size: int, bias: float, initialiser: str,
                 strides: int = 1, padding: str = "same", groups: int = 1) -> KerasTensor:
    return layers.Conv2D(filters, kernel_size, strides, padding, groups=groups, activation="relu",
                         kernel_initializer=kernel_initialiser(initialiser),
                         bias_initializer=keras.initializers.Constant(bias), name=f"layer{number}_conv")(x)


def _pool(x: KerasTensor, number: int) -> KerasTensor:
    """Windows of 3 at every second pixel: neighbours overlap."""
    return layers.MaxPooling2D(3, 2, name=f"layer{number}_pool")(x)


def _local_response_normalisation(
    x: KerasTensor, n: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75
) -> KerasTensor:
    """Each unit damped by its neighbours in the channels:  b_i = a_i / (k + alpha sum_j a_j^2)^beta,  |i - j| <= n / 2.

    The paper's alpha multiplies the sum; PyTorch and Caffe divide it by n first.

    Args:
        x: (B, H, W, C).
        n: channels in the sum, odd; those beyond the first and last count as zero.
        k: the constant.
        alpha: the weight of the sum.
        beta: the exponent.

    Returns:
        (B, H, W, C).
    """
    channels = x.shape[-1]
    squares = ops.pad(ops.square(x), ((0, 0), (0, 0), (0, 0), (n // 2, n // 2)))
    total = squares[..., :channels]
    for shift in range(1, n):
        total = total + squares[..., shift : shift + channels]
    return x * ops.power(k + alpha * total, -beta)
