"""MobileNetV3-Small: inverted residual blocks, half of them with hard swish and most with squeeze-and-excitation.

hard swish(x) = x min(max(x + 3, 0), 6) / 6 is swish without an exponential. The last 1x1 convolution comes after the
average over the picture, where it costs a 49th. With 1,000 classes the network has 2,542,856 trainable parameters.
Keras' own `mobilenet_v3_small` is the same in another convention, and its features end before that convolution.

References:
    Howard et al. 2019, Searching for MobileNetV3, table 2: https://arxiv.org/abs/1905.02244
    https://github.com/huggingface/pytorch-image-models, whose names the counterparts are
"""

from collections.abc import Collection, Iterator

from keras import KerasTensor, layers

from toolkit.models import inverted_residuals
from toolkit.models.inverted_residuals import Block
from toolkit.models.layers import initialiser as kernel_initialiser
from toolkit.models.weights import Counterpart


def _block(kernel_size: int, stride: int, expanded: int, filters: int, activation: str, squeezed: int = 0) -> Block:
    return Block(kernel_size, stride, expanded, filters, activation, squeezed, "relu", "hard_sigmoid")


_STAGES = (
    (_block(3, 2, 0, 16, "relu", 8),),
    (_block(3, 2, 72, 24, "relu"), _block(3, 1, 88, 24, "relu")),
    (_block(5, 2, 96, 40, "hard_swish", 24), *2 * (_block(5, 1, 240, 40, "hard_swish", 64),)),
    (_block(5, 1, 120, 48, "hard_swish", 32), _block(5, 1, 144, 48, "hard_swish", 40)),
    (_block(5, 2, 288, 96, "hard_swish", 72), *2 * (_block(5, 1, 576, 96, "hard_swish", 144),)),
)


def mobilenetv3_small_100(x: KerasTensor, *, padding: str = "symmetric", initialiser: str = "he") -> KerasTensor:
    """The graph from normalised pixels to features.

    Args:
        x: (B, S, S, C) normalised pixels.
        padding: "symmetric" (PyTorch's, BatchNorm's epsilon 1e-5) or "same" (TensorFlow's, 1e-3).
        initialiser: of the kernels, where no weights are loaded: "gaussian", "glorot" or "he".

    Returns:
        (B, 1024) features.

    Raises:
        ValueError: another padding or initialiser.
    """
    convention = inverted_residuals.convention(padding, initialiser)
    x = inverted_residuals.convolution(x, "stem", 16, 3, 2, "hard_swish", convention)
    x = inverted_residuals.chain(x, _STAGES, convention)
    x = inverted_residuals.convolution(x, "stage6", 576, 1, 1, "hard_swish", convention)
    x = layers.GlobalAveragePooling2D(name="head_pool")(x)
    x = layers.Dense(1024, kernel_initializer=kernel_initialiser(initialiser), name="head_dense")(x)
    return layers.Activation("hard_swish", name="head_hard_swish")(x)


def torch_counterparts(names: Collection[str] = ()) -> Iterator[Counterpart]:
    """Where the tensors of timm's checkpoints (both conventions have the same names) belong, `head_logits` included."""
    for layer, convolution, normalisation in (("stem", "conv_stem", "bn1"),
                                              ("stage6", "blocks.5.0.conv", "blocks.5.0.bn1")):
        yield f"{layer}_conv", convolution, "convolution"
        yield f"{layer}_norm", normalisation, "normalisation"
    yield from inverted_residuals.torch_counterparts(_STAGES)
    yield "head_dense", "conv_head", "convolution_as_dense"
    yield "head_logits", "classifier", "dense"
