"""A classifier in one file: from a decoded image of any size to the probabilities of its classes.

``model.keras`` holds stock Keras layers only: it resizes and crops inside, averages the members and the views, and
loads in any process with ``keras.models.load_model``. The class names lie in the same file, as ``classes.json``.

    model = keras.models.load_model("model.keras")
    names = json.loads(zipfile.ZipFile("model.keras").read("classes.json"))
    probabilities = model.predict(image[None])          # image: uint8 (height, width, 3)
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from toolkit import ToolkitError, atomic_files
from toolkit.models import backbones, sequence_backbones


def with_head(network: keras.Model, num_classes: int, *, dropout: float = 0.0,
              kernel: np.ndarray | None = None, bias: np.ndarray | None = None,
              hidden: Sequence[tuple[np.ndarray, np.ndarray]] = (), name: str = "classifier") -> keras.Model:
    """``network`` with dropout and a Dense layer on top.

    Args:
        network: images (B, S, S, 3) float32 in [0, 255] -> features (B, F).
        num_classes: C.
        dropout: rate before the head.
        kernel: (F, C) to start from, for example a logistic regression; None: Glorot.
        bias: (C,), with ``kernel``.
        hidden: kernel and bias of each rectified layer between the network and ``kernel``.
        name: of the model; the members of one assembled model need different names.

    Returns:
        Model images -> logits (B, C), its layers "network", "hidden_0"..., "dropout" and "head".
    """
    steps = keras.Input(network.input_shape[1:], dtype=network.inputs[0].dtype, name="crop")
    x = network(steps)
    between = [keras.layers.Dense(len(values[1]), "relu", name=f"hidden_{number}", dtype="float32")
               for number, values in enumerate(hidden)]
    for layer in between:
        x = layer(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    head = keras.layers.Dense(num_classes, name="head", dtype="float32")
    model = keras.Model(steps, head(x), name=name)
    for layer, values in zip(between, hidden, strict=True):
        layer.set_weights([value.astype(np.float32) for value in values])
    if kernel is not None:
        head.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    return model


def assemble(members: Sequence[keras.Model], preprocessing: "backbones.Preprocessing", *, test_views: int = 1
             ) -> keras.Model:
    """One model from decoded image to probabilities, averaged over members and views.

    Args:
        members: models from ``with_head``: crops (B, S, S, 3) -> logits (B, C).
        preprocessing: how the image becomes a crop.
        test_views: 1 (centre), 2 (and its reflection), 5 (centre and corners) or 10 (both).

    Returns:
        Model with layers "resizing" (to float32 (B, R, R, 3)) and "prediction" (from there to (B, C)).

    Raises:
        ToolkitError: if corners are asked for but the whole resized image is the crop.
    """
    check_views(preprocessing, test_views)
    if not isinstance(preprocessing, backbones.Preprocessing):
        return _of_sequences(members, preprocessing)
    size, resized = preprocessing.image_size, preprocessing.resize_size
    image = keras.Input((resized, resized, 3), name="resized")
    outputs = []
    for view in _views(image, size, resized, test_views):
        outputs += [keras.layers.Softmax(dtype="float32")(member(view)) for member in members]
    prediction = keras.Model(image, _mean(outputs), name="prediction")
    raw = keras.Input((None, None, 3), dtype="uint8", name="image")
    return keras.Model(raw, prediction(backbones.resized(raw, preprocessing)), name="image_classifier")


def _of_sequences(members: Sequence[keras.Model],
                  preprocessing: "backbones.TextPreprocessing | backbones.SeriesPreprocessing") -> keras.Model:
    """One model from raw text or series to probabilities; its "prediction" takes tokens, or series as they are cut."""
    steps = keras.Input(members[0].input_shape[1:], dtype=members[0].inputs[0].dtype, name="steps")
    outputs = [keras.layers.Softmax(dtype="float32")(member(steps)) for member in members]
    prediction = keras.Model(steps, _mean(outputs), name="prediction")
    raw, cut = sequence_backbones.raw_input(preprocessing)
    return keras.Model(raw, prediction(cut), name=f"{raw.name}_classifier")


def _mean(outputs: list[keras.KerasTensor]) -> keras.KerasTensor:
    return keras.layers.Average(name="mean")(outputs) if len(outputs) > 1 else outputs[0]


def check_views(preprocessing: "backbones.Preprocessing", test_views: int) -> None:
    """Refuses corners where the whole resized image is the crop, and views of what is no image.

    Raises:
        ToolkitError: then.
    """
    if test_views > 1 and not isinstance(preprocessing, backbones.Preprocessing):
        raise ToolkitError(f"--test-views {test_views} averages views of images; texts and series have one: use 1.")
    if test_views >= 5 and preprocessing.image_size == preprocessing.resize_size:
        raise ToolkitError(f"--test-views {test_views} needs a margin to crop from, but this backbone sees the whole "
                           f"resized image ({preprocessing.image_size} pixels): use 1 or 2.")


def _views(image: keras.KerasTensor, size: int, resized: int, count: int) -> list[keras.KerasTensor]:
    """Crops of ``image``: the centre, then corners, then reflections."""
    margin = resized - size
    crops = [keras.layers.CenterCrop(size, size, name="centre_crop")(image, training=False) if margin else image]
    if count >= 5:
        crops += [keras.layers.Cropping2D(((top, margin - top), (left, margin - left)))(image)
                  for top in (0, margin) for left in (0, margin)]
    if count in (2, 10):
        crops += [keras.ops.flip(crop, axis=2) for crop in crops]
    return crops


def save(model: keras.Model, path: Path, class_names: Sequence[str]) -> None:
    """Writes the model and its class names into one file, under a temporary name first.

    Raises:
        ToolkitError: if the disk refuses.
    """
    try:
        with atomic_files.in_place_of(path) as temporary:
            model.save(temporary)
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr("classes.json", json.dumps(list(class_names), ensure_ascii=False))
    except OSError as error:
        raise ToolkitError(f"Could not write {path}: {error.strerror or error}. Free space or choose another "
                           f"--output.") from error


def save_on_frozen(backbone: keras.Model, layers: Sequence[tuple[np.ndarray, np.ndarray]], path: Path,
                   class_names: Sequence[str], *, test_views: int = 1) -> None:
    """Writes a classifier on the features of a frozen backbone, whose BatchNorm is folded away.

    Args:
        backbone: from ``backbones.build``.
        layers: kernel and bias of each, (F, C) and (C,) of a linear one; all but the last are rectified.
        path: the file, as for ``save``.
        class_names: C names.
        test_views: as for ``assemble``.

    Raises:
        ToolkitError: if the disk refuses.
    """
    folded = backbones.fold_batch_normalization(backbones.network(backbone))
    *hidden, (kernel, bias) = layers
    member = with_head(folded, len(class_names), kernel=kernel, bias=bias, hidden=hidden)
    save(assemble([member], backbones.preprocessing(backbone), test_views=test_views), path, class_names)


def load(path: Path) -> tuple[keras.Model, tuple[str, ...]]:
    """The model and the class names of a file written by ``save``.

    Raises:
        ToolkitError: if the file is missing or is not such a file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            class_names = tuple(json.loads(archive.read("classes.json")))
        return keras.models.load_model(path, compile=False), class_names
    except FileNotFoundError as error:
        raise ToolkitError(f"{path} does not exist: name the folder of a finished run, or its model.keras.") from error
    except KeyError as error:
        raise ToolkitError(f"{path} has no classes, so it is no classifier. Of an autoencoder toolkit linear-probe "
                           f"--backbone RUN makes one, such as the classifier.keras beside it.") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ToolkitError(f"{path} is not a model that toolkit wrote ({error}).") from error


def preprocessing_of(
    model: keras.Model,
) -> "backbones.Preprocessing | backbones.TextPreprocessing | backbones.SeriesPreprocessing":
    """The preprocessing of an assembled model; its "prediction" takes the whole resized image, or tokens, or series."""
    if of_sequences := sequence_backbones.preprocessing(model):
        return of_sequences
    layer = model.get_layer("resizing")
    return backbones.Preprocessing(image_size=layer.height, resize_size=layer.height,
                                   interpolation=layer.interpolation, antialias=layer.antialias)
