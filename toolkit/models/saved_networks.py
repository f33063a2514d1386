"""The network in the `.keras` file of a run, with the graph, the normalisation and the options of its training.

A run's classifier holds it as a nested model "network"; that of a linear probe has its BatchNorm folded away.
"""

import math
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras

from toolkit import ToolkitError

_NAME = "network"
_ALWAYS_FLOAT32 = "normalisation"


def network(path: Path) -> keras.Model:
    """The network in a `.keras` file: its layer "network", or the whole model where there is none.

    Args:
        path: the file.

    Raises:
        ToolkitError: it is no model that Keras can read.
    """
    saved = model(path)
    return next((layer for layer in saved._flatten_layers() if layer.name == _NAME), saved)


def model(path: Path) -> keras.Model:
    """The model in a `.keras` file.

    Args:
        path: the file.

    Raises:
        ToolkitError: it is no model that Keras can read.
    """
    try:
        return keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, ImportError, zipfile.BadZipFile) as error:
        raise ToolkitError(f"{path}: not a model that Keras can read ({first_line(error)}).") from error


def first_line(error: Exception) -> str:
    """What an exception says, as far as it fits in brackets."""
    return str(error).strip().partition("\n")[0].rstrip(".")


def check_shapes(networks: Iterable[keras.Model], found: keras.Model, path: Path) -> None:
    """Refuse a network whose weights have the shapes of none of some others.

    Args:
        networks: these, built one after another; the first is named in the message.
        found: the network.
        path: its file.

    Raises:
        ToolkitError: then.
    """
    theirs, known = shapes(found), []
    for other in networks:
        known.append(shapes(other))
        if known[-1] == theirs:
            return
    raise ToolkitError(f"{path}: its {len(theirs)} arrays, {sum(map(math.prod, theirs)):,} numbers, do not fit the "
                       f"{len(known[0])} arrays, {sum(map(math.prod, known[0])):,} numbers, of this network.")


def shapes(model: keras.Model) -> list[tuple[int, ...]]:
    """The shapes of all weights, in order."""
    return [tuple(variable.shape) for variable in model.weights]


def adapted(found: keras.Model, size: int, path: Path) -> keras.Model:
    """The same network for pictures of a size and for the precision now in force, trainable throughout.

    Args:
        found: from `network`; it is not used otherwise any more.
        size: side in pixels.
        path: its file, for messages.

    Raises:
        ToolkitError: its fully connected layers take no other size than its own.
    """
    if found.input_shape[1] == size and keras.config.dtype_policy().name == "float32":
        result = keras.Model(found.inputs[0], found.outputs[0], name=_NAME)
    else:
        try:
            result = keras.Model.from_config(_changed(found.get_config(), size))
        except ValueError:
            raise ToolkitError(f"{path}: was made for pictures of {found.input_shape[1]} pixels, and its fully "
                               "connected layers take no other; use that image size.") from None
        for ours, theirs in zip(result.weights, found.weights, strict=True):
            ours.assign(theirs)
    for layer in result._flatten_layers():  # of itself Keras hands on nothing but changes
        layer.trainable = True
    return result


def _changed(config: dict[str, Any], size: int) -> dict[str, Any]:
    """The configuration of a network for another size, every layer but the normalisation in the precision in force."""
    for layer in config["layers"]:
        own = layer["config"]
        if layer["class_name"] == "InputLayer" and layer is config["layers"][0]:
            own["batch_shape"] = [None, size, size, own["batch_shape"][-1]]
        elif isinstance(own.get("dtype"), dict) and own["name"] != _ALWAYS_FLOAT32:
            del own["dtype"]
        if "layers" in own:
            _without_precision(own)
    return config


def _without_precision(config: dict[str, Any]) -> None:
    """The same for the layers of a model within."""
    for layer in config["layers"]:
        if isinstance(layer["config"].get("dtype"), dict):
            del layer["config"]["dtype"]
        if "layers" in layer["config"]:
            _without_precision(layer["config"])
