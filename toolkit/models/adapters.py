"""Training few of a network's weights: low-rank adapters, shifts only, or normalisations only.

LoRA leaves a kernel W as it is and learns a correction of low rank beside it,

    W' = W + A B,    A (.., inputs, rank), B (rank, outputs), B = 0 at the start

for every dense and convolution kernel (depthwise ones have no outputs to share and stay frozen). After training A B is
added to W, so what is saved is a plain network of the same size. BitFit trains the shifts alone (biases, and the beta
of normalisations); "norm" trains the scales and shifts of normalisations alone, their statistics kept.

References:
    LoRA: Hu et al. 2022, https://arxiv.org/abs/2106.09685
    BitFit: Ben Zaken et al. 2022, https://arxiv.org/abs/2106.10199
    Normalisations only: Frankle et al. 2021, https://arxiv.org/abs/2003.00152
"""

from __future__ import annotations

import keras
import numpy as np

from toolkit import ToolkitError

ADAPTERS = ("lora", "bias", "norm")
_TRAINED = {"bias": ("bias", "beta"), "norm": ("gamma", "beta")}


def adapt(network: keras.Model, kind: str, *, rank: int = 8) -> None:
    """Makes all weights of a network untrainable but those of one kind. Calling it again changes nothing.

    Args:
        network: built; "lora" adds weights to its layers, which compute what they did before.
        kind: one of ``ADAPTERS``.
        rank: of the corrections of "lora".

    Raises:
        ToolkitError: the network has no such weights.

    Example:
        >>> images = keras.Input((8, 8, 3))
        >>> network = keras.Model(images, keras.layers.Conv2D(4, 3)(images))
        >>> adapt(network, "lora", rank=2)
        >>> [tuple(variable.shape) for variable in network.trainable_variables]
        [(3, 3, 3, 2), (2, 4)]
        >>> [array.shape for array in merged_weights(network)]
        [(3, 3, 3, 4), (4,)]
    """
    for variable in network.weights:
        variable.trainable = variable.name in _TRAINED[kind] if kind in _TRAINED else _is_correction(variable)
    if kind == "lora":
        for layer in network._flatten_layers():
            if hasattr(layer, "enable_lora") and hasattr(layer, "kernel") and not layer.lora_enabled:
                layer.enable_lora(rank)
    if not network.trainable_variables:
        missing = {"lora": "dense or convolution layers", "bias": "biases", "norm": "normalisation layers"}[kind]
        raise ToolkitError(f"--unfreeze {kind} would train nothing: this backbone has no {missing}. Use another value.")


def merged_weights(model: keras.Model) -> list[np.ndarray]:
    """The weights of the same model without adapters: every correction added to its kernel.

    Args:
        model: any; with or without adapters, nested models among its layers.

    Returns:
        Copies, in the order of ``weights`` of a plain model of the same graph.
    """
    kernels = {id(layer.weights[0]): layer.kernel for layer in model._flatten_layers()
               if getattr(layer, "lora_enabled", False)}
    return [np.array(keras.ops.convert_to_numpy(kernels.get(id(variable), variable)))
            for variable in model.weights if not _is_correction(variable)]


def _is_correction(variable: keras.Variable) -> bool:
    return variable.name.startswith("lora_kernel_")
