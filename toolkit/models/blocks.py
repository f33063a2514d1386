"""The layers of a network: in groups from input to output, and those that are BatchNorm."""

import re

import keras
from keras import layers

_BLOCK_NAME = re.compile(r"(stem|stage\d+|block\d+|layer\d+|head)_")
_NUM_POSITIONAL_BLOCKS = 8


def blocks(network: keras.Model) -> list[list[keras.layers.Layer]]:
    """The layers of a network in groups from input to output: the order of unfreezing and of layer-wise rates.

    Args:
        network: the nested network of a built model.

    Returns:
        Lists of layers, each with weights in it. Our own networks: stem, stages, head as their layers' names say.
        Others: about eight runs of equally many layers with weights, none beginning with a normalisation.
    """
    all_layers = [layer for layer in network.layers if not isinstance(layer, layers.InputLayer)]
    names = [_BLOCK_NAME.match(layer.name) for layer in all_layers if layer.weights]
    if all(names):
        groups: dict[str, list[keras.layers.Layer]] = {}
        for layer in all_layers:
            if match := _BLOCK_NAME.match(layer.name):
                groups.setdefault(match[1], []).append(layer)
    else:
        groups = _positional_groups(all_layers)
    return [group for group in groups.values() if any(layer.weights for layer in group)]


def batch_normalisations(network: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Every BatchNorm of a network, those of nested networks too, in the order of the layers."""
    return [layer for layer in network._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]


def _positional_groups(all_layers: list[keras.layers.Layer]) -> dict[str, list[keras.layers.Layer]]:
    groups: dict[str, list[keras.layers.Layer]] = {}
    share = sum(bool(layer.weights) for layer in all_layers) / _NUM_POSITIONAL_BLOCKS
    number = seen = 0
    for layer in all_layers:
        kernel = bool(layer.weights) and "normalization" not in type(layer).__name__.lower()
        if kernel and seen >= share * (number + 1):
            number += 1
        groups.setdefault(str(number), []).append(layer)
        seen += bool(layer.weights)
    return groups
