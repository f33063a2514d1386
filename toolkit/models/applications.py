"""Every family of `keras.applications` as a backbone: with its own normalisation inside and its head cut off."""

import contextlib
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import keras
from keras import ops

from toolkit import ToolkitError
from toolkit.models import downloads, keras_files
from toolkit.models import weights as weight_files
from toolkit.models.catalogue import Entry
from toolkit.models.layers import normalise

_NAME = "network"
_BUILT_IN = ("ConvNeXt", "EfficientNetV2", "MobileNetV3")  # take include_preprocessing, which we do ourselves
_UNEQUAL_GRAPHS = "EfficientNetB"  # with ImageNet weights Keras adds one more rescaling to its graph


def network(
    entry: Entry, weights: str | Path, size: int, channels: int, classes: int | None, options: dict[str, Any]
) -> keras.Model:
    """Build the network of one entry.

    Args:
        entry: one with a constructor.
        weights: "imagenet" (from `~/.keras/models`, downloaded there on first use), "none", or a `.keras` or
            `.weights.h5` file of an earlier run.
        size: side in pixels of the pictures.
        channels: 3, or 1 for the average of red, green and blue.
        classes: end in logits of that many classes; None: in features.
        options: further arguments of the constructor, such as `alpha` of MobileNetV2.

    Returns:
        A flat model named "network", from float32 (B, size, size, 3) in [0, 255] to (B, F).

    Raises:
        ToolkitError: arguments that the family does not take, or weights that cannot be had.
    """
    pixels = keras.Input((size, size, 3), name="pixels")
    x = ops.mean(pixels, axis=-1, keepdims=True) if channels == 1 else pixels
    if entry.mean != (0.0,):
        x = normalise(x, entry.mean, entry.std, entry.reverse_channels)
    top = {"include_top": False, "pooling": "avg"} if classes is None else {"classes": classes}
    if classes is not None:
        top["classifier_activation"] = None
    if entry.constructor.startswith(_BUILT_IN):
        top["include_preprocessing"] = False
    pretrained = str(weights) == "imagenet"
    if pretrained and classes is None and not options:
        _fetch(entry, size)
    arguments = top | options | {"weights": "imagenet" if pretrained else None, "input_shape": (size, size, channels)}
    net = keras.Model(pixels, _call(entry, x, arguments).output, name=_NAME)
    if pretrained:
        return net
    if entry.constructor.startswith(_UNEQUAL_GRAPHS) and str(weights) != "none":
        return _saved(entry, net, Path(weights))
    return weight_files.load(net, entry, weights)


def _fetch(entry: Entry, size: int) -> None:
    """Put the ImageNet weights where Keras looks for them, resumed and verified; other variants it fetches itself."""
    name = keras_files.file_for(entry.name, entry.file, size)
    checksum = keras_files.CHECKSUMS.get(name, "")
    downloads.fetch(keras_files.URLS[name], entry.weights_path().with_name(name), checksum=checksum,
                    algorithm="sha256" if len(checksum) == 64 else "md5")


def _saved(entry: Entry, net: keras.Model, path: Path) -> keras.Model:
    """The network of a `.keras` file with its own graph, where the weights alone do not tell which graph they fit."""
    if path.suffix != ".keras" or not path.is_file():
        raise ToolkitError(f"{path}: weights of {entry.name} are read from an existing .keras file of a run; the graph "
                           "that Keras builds with ImageNet weights is another one than without.")
    found = weight_files.saved_network(net, path)
    if found.input_shape != net.input_shape:
        raise ToolkitError(f"{path}: was made for pictures of {found.input_shape[1]} pixels; use that image size.")
    return keras.Model(found.inputs, found.outputs[0], name=_NAME)


def _call(entry: Entry, x: keras.KerasTensor, arguments: dict[str, Any]) -> keras.Model:
    constructor = getattr(keras.applications, entry.constructor)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")  # MobileNet: weights for 224 pixels are used at other sizes, as intended
            return constructor(input_tensor=x, **arguments)
    except (ValueError, TypeError) as error:
        message = str(error).strip().partition("\n")[0].rstrip(".")
        raise ToolkitError(f"{entry.name}: {message}.") from error
    except Exception as error:  # get_file raises bare Exception
        if not str(error).startswith("URL fetch failure"):
            raise
        address = re.search(r"https?://\S+?(?=:? )", str(error))[0]
        raise ToolkitError(
            f"the ImageNet weights of {entry.name} cannot be downloaded; download {address} elsewhere and put it at "
            f"{entry.weights_path().with_name(keras_files.name_of(address))}."
        ) from error
