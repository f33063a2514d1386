"""The crops of a picture that a model looks at: which member sees which part, and where that part lies in the picture.

A model of `backbones.build` sees one square of a picture. The model of a run (`classifiers.assemble`) averages members
over crops and reflections of it. Both are taken apart by the names of their layers, so that a saved model serves too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from toolkit import ToolkitError


# ---- The parts of a model ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """One member of a model on one crop of the resized picture.

    Attributes:
        crop: (B, R, R, 3) resized pictures -> (B, S, S, 3), what the network sees.
        network: crops -> features.
        head: the layers from features to logits; none in a model that ends in features.
        resized: R.
        places: (S, S, 2) int, row and column in the resized picture of each pixel of the crop.
    """

    crop: keras.Model
    network: keras.Model
    head: tuple[keras.layers.Layer, ...]
    resized: int
    places: np.ndarray


def of(model: keras.Model) -> list[View]:
    """Takes a model apart.

    Args:
        model: of `backbones.build` or of a run.

    Returns:
        Every member on every crop, the first member on the centre first.

    Raises:
        ToolkitError: it is another model.
    """
    names = {layer.name for layer in model.layers}
    if "resizing" not in names or not {"prediction", "network"} & names:
        raise ToolkitError(f"{model.name} cannot be explained: expected a model of backbones.build or of a run, with "
                           f"the layers resizing and network or prediction.")
    side = model.get_layer("resizing").height
    grid = np.stack([*np.mgrid[:side, :side], np.zeros((side, side))], axis=-1)[None].astype(np.float32)
    return [View(crop, *_opened(member), side, crop(grid)[0, ..., :2].numpy().astype(int))
            for member, crop in _members(model)]


def _members(model: keras.Model) -> Iterator[tuple[keras.Model, keras.Model]]:
    """Each member with each model that crops for it."""
    layers = {layer.name: layer for layer in model.layers}
    if "prediction" not in layers:
        squares, size = keras.Input(layers["resizing"].output.shape[1:]), layers["network"].input_shape[1]
        crop = keras.layers.CenterCrop(size, size, dtype="float32")
        yield layers["network"], keras.Model(squares, crop(squares, training=False))
        return
    prediction = layers["prediction"]
    operations = {operation.name: operation for operation in prediction.operations}
    for layer in prediction.get_config()["layers"]:
        member = operations[layer["name"]]
        for node in layer["inbound_nodes"] if isinstance(member, keras.Model) else ():
            source = node["args"][0]["config"]["keras_history"][0]
            yield member, keras.Model(prediction.input, operations[source].output)


def outputs(model: keras.Model, square: tf.Tensor) -> np.ndarray:
    """The probabilities of a run, or the features of a backbone, (F,), for one resized picture (1, R, R, 3)."""
    if "prediction" in {layer.name for layer in model.layers}:
        return model.get_layer("prediction")(square, training=False)[0].numpy()
    view = of(model)[0]
    return view.network(view.crop(square), training=False)[0].numpy()


def _opened(member: keras.Model) -> tuple[keras.Model, tuple[keras.layers.Layer, ...]]:
    """Network and head of a member (`classifiers.with_head`); the network of a backbone has no head."""
    names = [layer.name for layer in member.layers]
    if "network" not in names:
        return _with_own_graph(member), ()
    return _with_own_graph(member.get_layer("network")), tuple(member.layers[names.index("network") + 1:])


def _with_own_graph(network: keras.Model) -> keras.Model:
    """The network, or a copy if its layers were called elsewhere first, as KerasHub's are: `output` would be there."""
    try:
        keras.Model(network.input, [output(operation) for operation in network.operations])
        return network
    except ValueError:  # not connected
        copy = keras.Model.from_config(network.get_config())
        copy.set_weights(network.get_weights())
        return copy


def output(operation: keras.Operation) -> keras.KerasTensor:
    """In the graph around a layer: of a nested model `layer.output` is the output in its own graph."""
    return keras.Operation.output.fget(operation)


def resized(model: keras.Model, image: np.ndarray) -> tf.Tensor:
    """One picture as the model resizes it, (1, R, R, 3)."""
    if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
        raise ToolkitError(f"the picture is {image.dtype} of shape {image.shape}; expected uint8 (height, width, 3), "
                           f"as tables.image_files.read gives it.")
    return keras.Model(model.input, model.get_layer("resizing").output)(image[None])


def crop(model: keras.Model, image: np.ndarray) -> np.ndarray:
    """What the first view shows the network of a picture (H, W, 3) uint8: (S, S, 3) uint8."""
    pixels = of(model)[0].crop(resized(model, image))[0].numpy()
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


# ---- Coordinates --------------------------------------------------------------------------------------------------


def seen(model: keras.Model, height: int, width: int) -> tuple[float, float, float, float]:
    """The part of a picture that reaches the network.

    Args:
        model: of `backbones.build` or of a run.
        height: of the picture, in pixels.
        width: likewise.

    Returns:
        Top, left, bottom and right edge in pixels from the upper left corner of the picture.
    """
    found = of(model)
    places = np.concatenate([view.places.reshape(-1, 2) for view in found])
    scale = min(height, width) / found[0].resized
    corner = np.array([(height - min(height, width)) // 2, (width - min(height, width)) // 2])
    (top, left), (bottom, right) = corner + places.min(axis=0) * scale, corner + (places.max(axis=0) + 1) * scale
    return float(top), float(left), float(bottom), float(right)


def in_picture(heats: Sequence[tuple[View, np.ndarray]], shape: tuple[int, int]) -> np.ndarray:
    """Brings maps to their places in the picture.

    Args:
        heats: each view with a map (h, w) of its crop, 0 or above.
        shape: H and W of the picture.

    Returns:
        (H, W) float32 in [0, 1], their mean over the largest; 0 where no view looks.
    """
    resized, side = heats[0][0].resized, min(shape)
    total, count = np.zeros((resized, resized, 1), np.float32), np.zeros((resized, resized, 1), np.float32)
    for view, heat in heats:
        rows, columns = view.places[..., 0], view.places[..., 1]
        total[rows, columns] += _enlarged(heat[..., None], rows.shape)
        count[rows, columns] += 1
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    picture = np.zeros(shape, np.float32)
    picture[top:top + side, left:left + side] = _enlarged(total / np.maximum(count, 1), (side, side))[..., 0]
    return picture / picture.max() if picture.max() > 0 else picture


def _enlarged(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return tf.image.resize(values, size).numpy()
