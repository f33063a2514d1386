"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation and with ReLU6, for ordinary processors.

The embedded ImageNet weights were trained with TensorFlow: convolutions pad "same" as TensorFlow does (more on the
right and at the bottom when the stride is 2), and BatchNorm has epsilon 1e-3. With symmetric padding or another epsilon
the same weights lose accuracy. timm has weights in both conventions.

References:
    Tan and Le 2019, EfficientNet: https://arxiv.org/abs/1905.11946
    https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
"""

from collections.abc import Collection, Iterator

from keras import KerasTensor

from toolkit.models import efficientnet
from toolkit.models.weights import Counterpart

_STAGES = efficientnet.stages(squeeze=False, activation="relu6")


def efficientnet_lite0(x: KerasTensor, *, padding: str = "same", initialiser: str = "he") -> KerasTensor:
    """The graph from normalised pixels to features.

    Args:
        x: (B, S, S, C) pixels, normalised as (x - 127) / 128 for the embedded weights.
        padding: "same" (TensorFlow's, BatchNorm's epsilon 1e-3) or "symmetric" (PyTorch's, 1e-5).
        initialiser: of the kernels, where no weights are loaded: "gaussian", "glorot" or "he".

    Returns:
        (B, 1280) features, averaged over the picture.

    Raises:
        ValueError: another padding or initialiser.
    """
    return efficientnet.features(x, _STAGES, "relu6", padding, initialiser)


def torch_counterparts(names: Collection[str] = ()) -> Iterator[Counterpart]:
    """Where the tensors of a PyTorch file belong, `head_logits` included.

    Args:
        names: of its tensors: timm's, or else those of EfficientNet-PyTorch, as in the embedded file.
    """
    if "conv_stem.weight" in names:
        yield from efficientnet.timm_counterparts(_STAGES)
        return
    yield from _pair("stem", "_conv_stem", "_bn0")
    blocks = [f"stage{stage}_block{number}" for stage, blocks in enumerate(_STAGES, start=1)
              for number in range(1, len(blocks) + 1)]
    for position, layer in enumerate(blocks):
        prefix = f"_blocks.{position}."
        if position:  # the first block does not expand
            yield from _pair(f"{layer}_expand", f"{prefix}_expand_conv", f"{prefix}_bn0")
        yield f"{layer}_depthwise_conv", f"{prefix}_depthwise_conv", "depthwise"
        yield f"{layer}_depthwise_norm", f"{prefix}_bn1", "normalisation"
        yield from _pair(f"{layer}_project", f"{prefix}_project_conv", f"{prefix}_bn2")
    yield from _pair("head", "_conv_head", "_bn1")
    yield "head_logits", "_fc", "dense"


def _pair(layer: str, convolution: str, normalisation: str) -> Iterator[Counterpart]:
    yield f"{layer}_conv", convolution, "convolution"
    yield f"{layer}_norm", normalisation, "normalisation"
