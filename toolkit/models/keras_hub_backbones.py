"""Backbones of KerasHub (extra `hub`), for families that we do not build.

| name | what |
|---|---|
| `keras_hub:resnet_101_imagenet` | one of its presets, downloaded on first use and kept by `kagglehub` |
| a directory | `config.json`, `image_converter.json`, `model.weights.h5`, as KerasHub saves them |
| a directory | `config.json`, `model.safetensors`, as timm saves them, of an architecture known to be right |

The normalisation comes from the preset's image converter or from timm's configuration and lies inside the network.
KerasHub's composite layers are opened, so that layers of Keras remain and a saved model loads without KerasHub; layers
that hold weights of their own (vision transformers) stay, and a line on stderr says so.
"""

import contextlib
import io
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, layers

from toolkit import ToolkitError
from toolkit.models import checkpoint_files, keras_hub_presets
from toolkit.models import weights as weight_files
from toolkit.models.catalogue import KERAS_HUB, Entry
from toolkit.models.keras_hub_presets import FAMILIES, VERIFIED, Place, first_line
from toolkit.models.layers import initialiser, normalise


def resolve(name: str) -> Entry:
    """What a preset or directory is, and how its pictures are prepared; a preset is downloaded for that.

    Args:
        name: of a preset or a directory, `keras_hub:` before it or not.

    Raises:
        ToolkitError: there is none, it cannot be had, or its conversion is not known to be right.
    """
    place, plain = keras_hub_presets.located(name), name.removeprefix(KERAS_HUB)
    values: dict[str, Any] = {"image_size": 224} | (_timms(place) if place.architecture else _converters(place))
    title = Path(plain).absolute() if keras_hub_presets.is_directory(plain) else plain
    return Entry(f"{KERAS_HUB}{title}", "keras_hub", num_features=0, num_parameters=0, weights="download", **values)


def network(
    entry: Entry, weights: str | Path, size: int, channels: int = 3, classes: int | None = None
) -> keras.Model:
    """Build the network of a preset or a directory.

    Args:
        entry: from `resolve`.
        weights: "imagenet" or the directory for its own, "none", or a `.keras` or `.weights.h5` file of an earlier run.
        size: side in pixels of the pictures; a vision transformer takes its own only.
        channels: 3.
        classes: end in logits of that many classes, from a new head; None: in features.

    Returns:
        A flat model named "network", from float32 (B, size, size, 3) in [0, 255] to (B, F): the average of the last
        feature map, or the class token.

    Raises:
        ToolkitError: as for `resolve`; or the directory is damaged, or holds more or less than the network.
    """
    if channels != 3:
        raise ToolkitError(f"{entry.name} needs channels=3; grey pictures have three equal channels.")
    place, plain = keras_hub_presets.located(entry.name), Path(entry.name.removeprefix(KERAS_HUB))
    own = str(weights) == "imagenet" or Path(weights).absolute() in (place.folder, plain.absolute())
    backbone = _backbone(place, own)
    if FAMILIES[type(backbone).__name__] == "class token" and backbone.input_shape[1:3] != (size, size):
        raise ToolkitError(f"{entry.name} takes pictures of {backbone.input_shape[1]} pixels, not of {size}: its "
                           "position embeddings are made for that. Leave the image size to it.")
    pixels = keras.Input((size, size, 3), name="pixels")
    x = _features(backbone, normalise(pixels, entry.mean, entry.std))
    if classes is not None:
        x = layers.Dense(classes, kernel_initializer=initialiser("glorot"), name="head_logits")(x)
    net = keras.Model(pixels, x, name="network")
    _tell_what_remains(net, entry.name)
    return net if own else weight_files.load(net, entry, weights)


def converted(folder: Path, size: int) -> keras.Model:
    """The network that KerasHub makes of a directory of timm, right or wrong: for the benchmark that finds out.

    Args:
        folder: with `config.json` and `model.safetensors`.
        size: side in pixels of the pictures.
    """
    values = checkpoint_files.preprocessing(checkpoint_files.configuration(folder), str(folder))
    pixels = keras.Input((size, size, 3), name="pixels")
    x = normalise(pixels, values["mean"], values["std"])
    return keras.Model(pixels, _features(_loaded(folder, True), x), name="network")


# ---- The preprocessing that travels --------------------------------------------------------------------------------


def _timms(place: Place) -> dict[str, Any]:
    values = checkpoint_files.preprocessing(place.configuration, str(place.folder))
    if not {"mean", "std"} <= set(values):
        raise ToolkitError(f"{place.folder}: its config.json does not say how pictures are prepared; expected timm's, "
                           "with mean and std under pretrained_cfg.")
    return values


def _converters(place: Place) -> dict[str, Any]:
    """What the image converter of a preset does, as values of an `Entry`."""
    path, hub = place.folder / "image_converter.json", keras_hub_presets.library()
    if not path.is_file():
        raise ToolkitError(f"{path}: no such file, expected the image converter of the preset, which says how pictures "
                           "are prepared. Save it there with its save_to_preset.")
    with _readable(place.folder):
        converter = hub.layers.ImageConverter.from_preset(str(place.folder))
        scale, offset = (np.broadcast_to(default if value is None else value, 3).astype(float)
                         for value, default in ((converter.scale, 1.0), (converter.offset, 0.0)))
        height, width = converter.image_size or (224, 224)
        if height != width or converter.pad_to_aspect_ratio or not np.all(scale):
            raise ValueError(f"pictures of {height} x {width} pixels, padded, or scaled by 0")
    return {"image_size": height, "crop_ratio": 1.0, "interpolation": converter.interpolation,
            "antialias": converter.antialias, "mean": tuple(-offset / scale), "std": tuple(1 / scale)}


# ---- KerasHub's model ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """What KerasHub raises about a directory, in one sentence; what it prints, nowhere."""
    from safetensors import SafetensorError

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise ToolkitError(f"{folder}: cannot be read as a preset of KerasHub ({first_line(error)}); download it "
                           "again.") from error


def _backbone(place: Place, own_weights: bool) -> keras.Model:
    """KerasHub's model of a directory; every number of the file has found its place in it."""
    if place.architecture and own_weights and not (place.folder / "model.safetensors").is_file():
        raise ToolkitError(f"{place.folder}: holds no model.safetensors, the only file that KerasHub reads of "
                           f"{place.architecture}; download that one.")
    backbone = _loaded(place.folder, own_weights)
    if place.architecture and own_weights:
        spans, heads = checkpoint_files.read(place.folder).tensors.spans, VERIFIED[place.architecture]
        found = sum(math.prod(span.shape) for name, span in spans.items()
                    if not name.startswith(heads) and not name.endswith("num_batches_tracked"))
        if found != backbone.count_params():
            raise ToolkitError(f"{place.folder}: holds {found:,} numbers beside the head, but {place.architecture} has "
                               f"{backbone.count_params():,}; use a checkpoint of this very network.")
    return backbone


def _loaded(folder: Path, own_weights: bool) -> keras.Model:
    hub = keras_hub_presets.library()
    with _readable(folder):
        return hub.models.Backbone.from_preset(str(folder), load_weights=own_weights)


# ---- Its graph -----------------------------------------------------------------------------------------------------


def _features(backbone: keras.Model, x: KerasTensor) -> KerasTensor:
    """The backbone's graph on another input, opened and pooled: (B, F)."""
    model = keras.Model(backbone.inputs[0], backbone.outputs[0])
    while any(map(_is_composite, model.layers)):
        model = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=_open)
    x = model.call(x)  # unlike model(x): every layer becomes one of ours
    if FAMILIES[type(backbone).__name__] == "class token":
        return x[:, 0]
    return layers.GlobalAveragePooling2D(name="pooling")(x)


def _is_composite(layer: keras.layers.Layer) -> bool:
    """Whether a layer of KerasHub is made of other layers, which hold all its weights."""
    if not isinstance(layer, layers.Layer) or not type(layer).__module__.startswith("keras_hub"):
        return False
    parts = list(layer._flatten_layers(include_self=False, recursive=False))
    return bool(parts) and len(layer.weights) == sum(len(part.weights) for part in parts)


def _open(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> KerasTensor:
    """Call the parts of a composite layer in its place, each under a name of its own."""
    if not _is_composite(layer):
        return layer(*args, **kwargs)
    for part in layer._flatten_layers(include_self=False, recursive=False):
        if not part.name.startswith(layer.name):
            part.name = f"{layer.name}_{part.name}"
    return layer.call(*args, **kwargs)


def _tell_what_remains(net: keras.Model, name: str) -> None:
    remain = sorted({type(layer).__name__ for layer in net.layers if type(layer).__module__.startswith("keras_hub")})
    if remain:
        print(f"{name}: layers of KerasHub remain in the network ({', '.join(remain)}); a saved model loads only where "
              "keras-hub is installed", file=sys.stderr)
