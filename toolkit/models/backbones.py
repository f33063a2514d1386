"""The one door to the networks: from a name to a `keras.Model` that takes raw images and gives features.

    image uint8 (B, H, W, 3)  ->  pixels  ->  resizing  ->  centre_crop  ->  network  ->  features (B, F)

`network` is a nested model on float32 pictures in [0, 255] of one fixed size; its first layers are the normalisation
its weights were trained with. Every layer is a stock Keras one, so a saved model loads without this package. Networks
on texts and series are built likewise, see `sequence_backbones`.
Names are those of `catalogue.describe()`: our own networks, then every family of `keras.applications`.
"""

import contextlib
import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from toolkit import ToolkitError
from toolkit.models import (
    applications,
    catalogue,
    keras_hub_backbones,
    saved_networks,
    sequence_backbones,
    text_encoders,
    weight_sources,
)
from toolkit.models import weights as weight_files
from toolkit.models.blocks import blocks
from toolkit.models.catalogue import Entry, describe
from toolkit.models.fingerprints import fingerprint
from toolkit.models.folding import fold_batch_normalization
from toolkit.models.layers import initialiser, normalise, zeros_at_first
from toolkit.models.own_networks import COUNTERPARTS, GRAPHS
from toolkit.models.sequence_backbones import SeriesPreprocessing, TextPreprocessing
from toolkit.models.weight_sources import Source

__all__ = ["Preprocessing", "SeriesPreprocessing", "TextPreprocessing", "blocks", "build", "check_kind", "describe",
           "fingerprint", "fold_batch_normalization", "network", "origin", "preprocessing"]

_NETWORKS_LAYER = "network"


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
    examples: Sequence[str] | Sequence[np.ndarray] = (),
    **options: Any,
) -> keras.Model:
    """A model from raw images, texts or series to features, trainable throughout.

    Args:
        name: of a backbone, as `describe()` lists them; case, `_` and `-` do not matter. Or a directory that names one
            and, unless `weights` says otherwise, holds its weights: as a hub cache has it, or a finished run.
        weights: "imagenet", "none" (random), or where they are: a checkpoint of the PyTorch world (`.safetensors`,
            `.pth`, `.pt`, `.bin`, a directory as a hub cache has it), a finished run or its `.keras`, `.weights.h5`.
        image_size: side in pixels of the square the network sees; by default that of the weights, or the backbone's.
        channels: 3; or 1 for a network from scratch on the average of red, green and blue. A run brings its own.
        antialias: low-pass pictures before they are made smaller; by default as for `image_size`.
        include_top: end in the classification head: logits (B, num_classes) in place of features.
        num_classes: of that head.
        examples: for a new network on texts or series, those of the training rows: see `sequence_backbones.build`.
        **options: of the network's own function (`small_networks.small_cnn`, `alexnet.alexnet`, ...).

    Returns:
        A model named like the backbone, from Input "image", uint8 (B, H, W, 3) of any height and width, to features
        (B, F). Its layers: "pixels" (float32), "resizing" (short side to the resize size, centre square),
        "centre_crop" (absent where nothing is cut off), "network". Or from "text" or "series", as in
        `sequence_backbones`.

    Raises:
        ToolkitError: unknown name or option, a picture too small for the network, weights that are not there.

    Example:
        >>> model = build("small_cnn", "none", image_size=16, filters=(4, 8))
        >>> model.output_shape
        (None, 8)
    """
    source = _with_preset(weight_sources.find(str(name), weights))
    if "image" not in source.entry.kinds:
        return _on_sequences(source, examples, options)
    size = source.entry.image_size if image_size is None else image_size
    _check(source.entry, str(source.weights), size, channels)
    entry, options = source.at(size), source.options | options
    known = _parameters(entry)
    if source.padding and "padding" in known:
        options = {"padding": source.padding} | options
    classes = num_classes if include_top else None
    if source.preprocessing == weight_sources.RUN:
        known, net = {}, _trained_network(entry, Path(source.weights), size, classes, options)
    else:
        net = _new_network(entry, source.weights, size, channels, classes, options)
    model = _from_raw_images(net, entry, size, entry.antialias if antialias is None else antialias)
    model.sources = (str(source.weights), source.preprocessing, options.get("padding", known.get("padding")))
    return model


def check_kind(entry: Entry, kind: str) -> None:
    """Refuses a backbone that does not read rows of a kind.

    Raises:
        ToolkitError: then; the message names those that do.
    """
    if kind in entry.kinds:
        return
    others = [other.name for other in catalogue.ENTRIES.values() if kind in other.kinds]
    more = ", a finished run or the directory of a text encoder" if kind == "text" else " or a finished run"
    raise ToolkitError(f"backbone {entry.name} reads {' and '.join(entry.kinds)}, and the rows are of kind {kind}: "
                       f"choose --backbone {', '.join(others[:5])} with --weights none{more}.")


def _on_sequences(source: Source, examples: Sequence[Any], options: dict[str, Any]) -> keras.Model:
    """The model of a backbone on texts or series."""
    if source.entry.family == "text_encoder":
        return text_encoders.build(source, **options)
    if str(source.weights) == "imagenet":
        raise ToolkitError(f"{source.entry.name} has no pretrained weights here; use weights 'none' to train from "
                           "scratch, or a finished run.")
    model = sequence_backbones.build(source.entry.name, source.weights, examples=examples,
                                     **(source.options | options))
    model.sources = (str(source.weights), source.preprocessing, None)
    return model


def _with_preset(source: Source) -> Source:
    """With the preprocessing of a preset or directory of KerasHub, where it is one."""
    if source.entry.family != "keras_hub" or source.preprocessing == weight_sources.RUN:
        return source
    entry = keras_hub_backbones.resolve(source.entry.name)
    return replace(source, entry=entry, preprocessing=weight_sources.CONFIGURATION)


def _from_raw_images(net: keras.Model, entry: Entry, size: int, antialias: bool) -> keras.Model:
    """Put the preprocessing of an entry before its network."""
    image = keras.Input((None, None, 3), dtype="uint8", name="image")
    x = resized(image, Preprocessing(size, entry.resize_size(size), entry.interpolation, antialias))
    if entry.resize_size(size) != size:
        x = layers.CenterCrop(size, size, dtype="float32", name="centre_crop")(x, training=False)
    name = re.sub(r"[^\w.-]", "_", re.sub(r":.*/", ":", entry.name))  # a directory by its last part
    return keras.Model(image, net(x), name=name)


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


def _parameters(entry: Entry) -> dict[str, Any]:
    """The options that the function of one of our own networks takes, and their defaults."""
    known = inspect.signature(GRAPHS[entry.name]).parameters if entry.name in GRAPHS else {}
    return {name: parameter.default for name, parameter in list(known.items())[1:]}


def _new_network(
    entry: Entry, weights: str | Path, size: int, channels: int, classes: int | None, options: dict[str, Any]
) -> keras.Model:
    if entry.constructor:
        return applications.network(entry, weights, size, channels, classes, options)
    known = _parameters(entry)
    for option in options:
        if option not in known:
            raise ToolkitError(f"{entry.name} has no option {option!r}; it has {', '.join(known) or 'none'}.")
    if entry.family == "keras_hub":
        return keras_hub_backbones.network(entry, weights, size, channels, classes)
    pixels = keras.Input((size, size, 3), name="pixels")
    x = ops.mean(pixels, axis=-1, keepdims=True) if channels == 1 else pixels
    with contextlib.nullcontext([]) if str(weights) == "none" else zeros_at_first() as networks:
        try:
            x = GRAPHS[entry.name](normalise(x, entry.mean, entry.std), **options)
        except ValueError as error:
            raise ToolkitError(f"{entry.name}: {error}.") from error
        if classes is not None:
            x = layers.Dense(classes, kernel_initializer=initialiser(options.get("initialiser", "glorot")),
                             name="head_logits")(x)
        networks.append(keras.Model(pixels, x, name=_NETWORKS_LAYER))
    return weight_files.load(networks[0], entry, weights, COUNTERPARTS.get(entry.name))


def _trained_network(
    entry: Entry, path: Path, size: int, classes: int | None, options: dict[str, Any]
) -> keras.Model:
    """The network of a run, with its own graph, if it is one of this backbone."""

    def expected() -> Iterator[keras.Model]:
        for channels in (3, 1):
            with zeros_at_first() as networks:
                networks.append(_new_network(entry, "none", found.input_shape[1], channels, classes, options))
            yield networks[0]
            yield fold_batch_normalization(networks[0])  # as a linear probe saves it

    found = saved_networks.network(path)
    if entry.constructor or entry.name in GRAPHS:
        saved_networks.check_shapes(expected(), found, path)
    return saved_networks.adapted(found, size, path)


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
    """The nested network of a built model or of one made from it: (B, S, S, 3) float32 in [0, 255], tokens (B, T) or
    series (B, T, C) to features."""
    return model.get_layer(_NETWORKS_LAYER)


def preprocessing(model: keras.Model) -> Preprocessing | TextPreprocessing | SeriesPreprocessing:
    """The preprocessing of a built model or of one made from it."""
    if of_sequences := sequence_backbones.preprocessing(model):
        return of_sequences
    resizing = model.get_layer("resizing")
    return Preprocessing(network(model).input_shape[1], resizing.height, resizing.interpolation, resizing.antialias)


def origin(model: keras.Model) -> dict[str, Any]:
    """Where the weights of a built model come from, and how it prepares its pictures: for reports.

    Returns:
        JSON-ready: weights ("imagenet", "none" or a path; "" where the model was not built here), preprocessing (whose:
        "the family's default", "the checkpoint's own configuration" or "the run's"), mean and std (of pixels in
        [0, 255]; None where the network has its own normalisation inside), image_size, resize_size, interpolation,
        antialias, and padding where the network knows two conventions. Of a network on texts or series: weights,
        preprocessing, max_length, and vocabulary_size or channels.
    """
    weights, whose, padding = getattr(model, "sources", ("", "", None))
    if of_sequences := sequence_backbones.preprocessing(model):
        return {"weights": weights, "preprocessing": whose, **sequence_backbones.described(of_sequences)}
    rescaling = next((layer for layer in network(model).layers if layer.name == "normalisation"), None)
    mean = std = None
    if isinstance(rescaling, layers.Rescaling):
        pairs = zip(rescaling.offset, rescaling.scale, strict=True)
        mean = [float(f"{-offset / scale:.7g}") for offset, scale in pairs]
        std = [float(f"{1 / scale:.7g}") for scale in rescaling.scale]
    return {"weights": weights, "preprocessing": whose, "mean": mean, "std": std, **asdict(preprocessing(model)),
            **({"padding": padding} if padding else {})}


def facts(model: keras.Model) -> dict[str, Any]:
    """What every report says of a built model: backbone, weights, image_size, and preprocessing as in `origin`.

    Of a network on texts or series there is no image_size.
    """
    found = origin(model)
    size = {"image_size": found["image_size"]} if "image_size" in found else {}
    return {"backbone": model.name, "weights": found["weights"], **size, "preprocessing": found}
