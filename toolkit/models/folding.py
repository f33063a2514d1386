"""BatchNorm folded into the layer before it: the same outputs in inference from fewer operations.

In inference BatchNorm is a scaling of each channel: with s = gamma / sqrt(variance + epsilon),

    s (W * x + b - mean) + beta  =  (s W) * x + (beta + s (b - mean)),

so that a convolution or dense layer with kernel s W and bias beta + s (b - mean) does both.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

_FOLDABLE = ("Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D", "Dense", "SeparableConv2D")


def fold_batch_normalization(network: keras.Model) -> keras.Model:
    """A new model with the same outputs in inference, BatchNorm folded away wherever that is possible.

    It is possible where a convolution or dense layer without activation is the only input of a BatchNorm over its
    channels, and the BatchNorm its only consumer. Nested functional models are folded too.

    Args:
        network: a functional model; it is left as it is.

    Returns:
        A model for inference, its layers named as before; BatchNorm that cannot be folded stays.
    """
    graph = json.loads(network.to_json())
    folds = _rewire(graph["config"])
    folded = keras.models.model_from_json(json.dumps(graph))
    _copy_weights(network, folded, folds)
    return folded


# ---- The graph, as configuration ----------------------------------------------------------------------------------


def _rewire(config: dict[str, Any]) -> dict[str, Any]:
    """Take the foldable BatchNorm layers out of a functional model's configuration, in place.

    Returns:
        Name of a layer to the name of the BatchNorm that it takes in; of a nested model to its own such dict.
    """
    layers = {layer["name"]: layer for layer in config["layers"]}
    nested = {name: _rewire(layer["config"]) for name, layer in layers.items() if layer["class_name"] == "Functional"}
    uses = Counter(reference[0] for reference in _references([config["layers"], config["output_layers"]], layers))
    folds = {}
    for name, layer in layers.items():
        sources = [reference[0] for reference in _references(layer["inbound_nodes"], layers)]
        if len(sources) == 1 and uses[sources[0]] == 1 and _can_fold(layers[sources[0]], layer):
            folds[sources[0]] = name
            layers[sources[0]]["config"]["use_bias"] = True
    config["layers"] = [layer for name, layer in layers.items() if name not in folds.values()]
    renamed = {name: source for source, name in folds.items()}
    for reference in list(_references([config["layers"], config["output_layers"]], layers)):
        reference[0] = renamed.get(reference[0], reference[0])
    return folds | nested


def _references(node: Any, layers: dict[str, Any]) -> Iterator[list]:
    """Every [layer name, node index, tensor index] in a part of the configuration."""
    if isinstance(node, dict):
        for child in node.values():
            if not (isinstance(child, dict) and "input_layers" in child):  # a nested model refers to its own layers
                yield from _references(child, layers)
    elif isinstance(node, list):
        if len(node) == 3 and isinstance(node[0], str) and node[0] in layers and isinstance(node[1], int):
            yield node
        else:
            for child in node:
                yield from _references(child, layers)


def _can_fold(before: dict[str, Any], layer: dict[str, Any]) -> bool:
    if layer["class_name"] != "BatchNormalization" or before["class_name"] not in _FOLDABLE:
        return False
    called_once = len(before["inbound_nodes"]) == len(layer["inbound_nodes"]) == 1
    linear = before["config"]["activation"] == "linear"
    channels_last = before["config"].get("data_format", "channels_last") == "channels_last"
    over_channels = layer["config"]["axis"] in (-1, _rank(layer) - 1)
    return called_once and linear and channels_last and over_channels


def _rank(layer: dict[str, Any]) -> int:
    return len(layer["inbound_nodes"][0]["args"][0]["config"]["shape"])


# ---- The weights --------------------------------------------------------------------------------------------------


def _copy_weights(network: keras.Model, folded: keras.Model, folds: dict[str, Any]) -> None:
    for target in folded.layers:
        source, fold = network.get_layer(target.name), folds.get(target.name)
        if isinstance(fold, dict):
            _copy_weights(source, target, fold)
        elif fold:
            _fold(source, network.get_layer(fold), target)
        else:
            target.set_weights(source.get_weights())


def _fold(before: keras.layers.Layer, normalisation: keras.layers.BatchNormalization,
          target: keras.layers.Layer) -> None:
    values = {variable.name: variable.numpy().astype(np.float64) for variable in normalisation.weights}
    scale = values.get("gamma", 1.0) / np.sqrt(values["moving_variance"] + normalisation.epsilon)
    arrays = {variable.name: variable.numpy().astype(np.float64) for variable in before.weights}
    bias = values.get("beta", 0.0) + scale * (arrays.get("bias", 0.0) - values["moving_mean"])
    for variable in target.weights:
        if variable.name == "bias":
            variable.assign(bias)
        elif variable.name == "depthwise_kernel" and "pointwise_kernel" in arrays:
            variable.assign(arrays[variable.name])
        else:  # (..., out), or (..., channels, multiplier) where the layer is depthwise
            depthwise = isinstance(before, (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D))
            shape = arrays[variable.name].shape[-2:] if depthwise else (-1,)
            variable.assign(arrays[variable.name] * scale.reshape(shape))
