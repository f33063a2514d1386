"""The one door to the networks: from a name to a `keras.Model` that takes raw images and gives features.

    image uint8 (B, H, W, 3)  ->  pixels  ->  resizing  ->  centre_crop  ->  network  ->  features (B, F)

`network` is a nested model on float32 pictures in [0, 255] of one fixed size; its first layers are the normalisation
its weights were trained with. Every layer is a stock Keras one, so a saved model loads without this package.
Names are those of `catalogue.describe()`: our own networks, then every family of `keras.applications`.
"""

import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from toolkit import ToolkitError
from toolkit.models import applications, catalogue, efficientnet_lite, resnet
from toolkit.models import weights as weight_files
from toolkit.models.alexnet import alexnet
from toolkit.models.catalogue import Entry, describe
from toolkit.models.folding import fold_batch_normalization
from toolkit.models.layers import initialiser, normalise
from toolkit.models.small_networks import mlp, small_cnn
from toolkit.models.weights import Counterpart

__all__ = ["Preprocessing", "blocks", "build", "describe", "fingerprint", "fold_batch_normalization", "network",
           "preprocessing"]

_GRAPHS: dict[str, Callable[..., KerasTensor]] = {
    "efficientnet_lite0": efficientnet_lite.efficientnet_lite0,
    "resnet18": resnet.resnet18,
    "resnet34": resnet.resnet34,
    "resnet50": resnet.resnet50,
    "alexnet": alexnet,
    "small_cnn": small_cnn,
    "mlp": mlp,
}
_COUNTERPARTS: dict[str, Callable[[], Iterable[Counterpart]]] = {
    "efficientnet_lite0": efficientnet_lite.torch_counterparts,
    "resnet18": resnet.torch_counterparts18,
    "resnet34": resnet.torch_counterparts34,
    "resnet50": resnet.torch_counterparts50,
}
_NETWORKS_LAYER = "network"
_BLOCK_NAME = re.compile(r"(stem|stage\d+|block\d+|layer\d+|head)_")
_NUM_POSITIONAL_BLOCKS = 8
_NAMES_IN_CONFIG = ("name", "trainable", "shared_object_id")  # no part of what a model computes


# ---- Building -----------------------------------------------------------------------------------------------------


def build(
    name: str,
    weights: str | Path = "imagenet",
    image_size: int | None = None,
    *,
    channels: int = 3,
    antialias: bool | None = None,
    include_top: bool = False,
    num_classes: int = 1000,
    **options: Any,
) -> keras.Model:
    """A model from raw images to features, trainable throughout.

    Args:
        name: of a backbone, as `describe()` lists them; case, `_` and `-` do not matter.
        weights: "imagenet", "none" (random), or a file: `.keras` or `.weights.h5` of an earlier run, `.pth`.
        image_size: side in pixels of the square the network sees; the backbone's own by default.
        channels: 3; or 1 for a network from scratch on the average of red, green and blue.
        antialias: low-pass pictures before they are made smaller; the backbone's own choice by default.
        include_top: end in the classification head: logits (B, num_classes) in place of features.
        num_classes: of that head.
        **options: of the network's own function (`small_networks.small_cnn`, `alexnet.alexnet`, ...).

    Returns:
        A model named like the backbone, from Input "image", uint8 (B, H, W, 3) of any height and width, to features
        (B, F). Its layers: "pixels" (float32), "resizing" (short side to the resize size, centre square),
        "centre_crop" (absent where nothing is cut off), "network".

    Raises:
        ToolkitError: unknown name or option, a picture too small for the network, weights that are not there.

    Example:
        >>> model = build("small_cnn", "none", image_size=16, filters=(4, 8))
        >>> model.output_shape
        (None, 8)
    """
    entry = catalogue.resolve(name)
    size = entry.image_size if image_size is None else image_size
    _check(entry, str(weights), size, channels)
    classes = num_classes if include_top else None
    if entry.constructor:
        net = applications.network(entry, weights, size, channels, classes, options)
    else:
        net = _own_network(entry, weights, size, channels, classes, options)
    antialias = entry.antialias if antialias is None else antialias
    return _from_raw_images(net, entry, size, antialias)


def _from_raw_images(net: keras.Model, entry: Entry, size: int, antialias: bool) -> keras.Model:
    """Put the preprocessing of an entry before its network."""
    image = keras.Input((None, None, 3), dtype="uint8", name="image")
    x = resized(image, Preprocessing(size, entry.resize_size(size), entry.interpolation, antialias))
    if entry.resize_size(size) != size:
        x = layers.CenterCrop(size, size, dtype="float32", name="centre_crop")(x, training=False)
    return keras.Model(image, net(x), name=entry.name)


def _check(entry: Entry, weights: str, size: int, channels: int) -> None:
    if not isinstance(size, int):
        raise ToolkitError(f"image size is {size!r}; expected a whole number of pixels.")
    if size < entry.minimum_size:
        raise ToolkitError(f"image size {size} is too small for {entry.name}; it needs at least {entry.minimum_size}.")
    if channels not in (1, 3):
        raise ToolkitError(f"channels is {channels}; expected 3, or 1 for grey pictures.")
    if weights == "imagenet" and channels == 1:
        raise ToolkitError("ImageNet weights need channels=3 (grey pictures have three equal channels); "
                           "channels=1 goes with weights 'none'.")
    if weights == "imagenet" and entry.weights == "none":
        with_weights = ", ".join(e.name for e in catalogue.ENTRIES.values() if e.weights == "embedded")
        raise ToolkitError(f"{entry.name} has no ImageNet weights here; use weights 'none' to train from scratch, "
                           f"a file of weights, or another backbone ({with_weights}).")


def _own_network(
    entry: Entry, weights: str | Path, size: int, channels: int, classes: int | None, options: dict[str, Any]
) -> keras.Model:
    graph = _GRAPHS[entry.name]
    known = list(inspect.signature(graph).parameters)[1:]
    for option in options:
        if option not in known:
            raise ToolkitError(f"{entry.name} has no option {option!r}; it has {', '.join(known)}.")
    pixels = keras.Input((size, size, 3), name="pixels")
    x = ops.mean(pixels, axis=-1, keepdims=True) if channels == 1 else pixels
    try:
        x = graph(normalise(x, entry.mean, entry.std), **options)
    except ValueError as error:
        raise ToolkitError(f"{entry.name}: {error}.") from error
    if classes is not None:
        x = layers.Dense(classes, kernel_initializer=initialiser(options.get("initialiser", "glorot")),
                         name="head_logits")(x)
    net = keras.Model(pixels, x, name=_NETWORKS_LAYER)
    return weight_files.load(net, entry, weights, _COUNTERPARTS.get(entry.name, list)())


# ---- Parts of a built model ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Preprocessing:
    """How a picture is brought to the size of the network: exactly what the model's own first layers do.

    `image_size` and `resize_size` are sides in pixels, `interpolation` a name of `keras.layers.Resizing`.
    """

    image_size: int
    resize_size: int
    interpolation: str
    antialias: bool


def resized(image: KerasTensor, preprocessing: Preprocessing) -> KerasTensor:
    """Raw images uint8 (B, H, W, 3) as float32 (B, R, R, 3) in [0, 255]: layers "pixels" and "resizing".

    Keras' image layers say training=True where nobody says anything, and so would every layer behind them.
    """
    x = layers.Rescaling(1.0, dtype="float32", name="pixels")(image)  # else Resizing rounds to uint8
    side = preprocessing.resize_size
    return layers.Resizing(side, side, preprocessing.interpolation, crop_to_aspect_ratio=True, dtype="float32",
                           antialias=preprocessing.antialias, name="resizing")(x, training=False)


def network(model: keras.Model) -> keras.Model:
    """The nested network, (B, S, S, 3) float32 in [0, 255] to features, of a built model or of one made from it."""
    return model.get_layer(_NETWORKS_LAYER)


def preprocessing(model: keras.Model) -> Preprocessing:
    """The preprocessing of a built model or of one made from it."""
    resizing = model.get_layer("resizing")
    return Preprocessing(network(model).input_shape[1], resizing.height, resizing.interpolation, resizing.antialias)


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


def fingerprint(model: keras.Model) -> str:
    """SHA-256 (hexadecimal) of what a model computes: its graph and weights.

    The names of layers, which Keras counts up within a process, and what is frozen do not matter.
    """
    digest = hashlib.sha256(json.dumps(_anonymous(model.get_config(), {}), sort_keys=True, default=str).encode())
    for variable in model.weights:
        array = np.ascontiguousarray(variable.numpy())
        digest.update(f"{array.shape}{array.dtype}".encode() + array.tobytes())
    return digest.hexdigest()


def _anonymous(node: Any, names: dict[str, str]) -> Any:
    """A copy of a configuration in which layers are called by their position in their model."""
    if isinstance(node, dict):
        if "input_layers" in node:
            names = {layer["name"]: str(position) for position, layer in enumerate(node["layers"])}
        return {key: _anonymous(value, names) for key, value in node.items() if key not in _NAMES_IN_CONFIG}
    if isinstance(node, (list, tuple)):
        if len(node) == 3 and isinstance(node[0], str) and node[0] in names:
            return [names[node[0]], *node[1:]]
        return [_anonymous(value, names) for value in node]
    return node
