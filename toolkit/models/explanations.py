"""What a network looks at: its first filters, its activations, the rows that excite a unit, and Grad-CAM.

Every function takes a model of `backbones.build` or the model of a run (`classifiers.load`), frozen, folded or not.
With the activations A (h, w, K) of a layer and the logit y_c of a class, Grad-CAM is

    alpha_k = 1 / (h w) sum_ij dy_c / dA_ijk,        heat_ij = max(0, sum_k alpha_k A_ijk).

A run may average several members and views: the heat of each is brought to its place in the picture, then averaged.
The other functions show the first member and the first view, which is the centre.

References:
    R. Selvaraju, M. Cogswell, A. Das, R. Vedantam, D. Parikh, D. Batra (2017). Grad-CAM: visual explanations from deep
        networks via gradient-based localization. https://arxiv.org/abs/1610.02391
    R. Girshick, J. Donahue, T. Darrell, J. Malik (2014). Rich feature hierarchies for accurate object detection and
        semantic segmentation. https://arxiv.org/abs/1311.2524 (section 3.1: the inputs that excite a unit most)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.models import backbones, views
from toolkit.models.views import View

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
_PASSIVE = ("Dropout", "SpatialDropout2D", "MaxPooling2D", "AveragePooling2D", "ZeroPadding2D", "Cropping2D", "Permute",
            "Reshape", "Einsum", "Pad", "Transpose")  # the last three are operations of keras.ops


# ---- Weights ------------------------------------------------------------------------------------------------------


def first_layer_filters(model: keras.Model) -> np.ndarray:
    """The kernels of the first convolution.

    Args:
        model: of `backbones.build` or of a run.

    Returns:
        (K, h, w, C) float32, C in the order red, green, blue where it is 3.

    Raises:
        ToolkitError: the network has no convolution.

    Example:
        >>> first_layer_filters(backbones.build("small_cnn", "none", image_size=16, filters=(4, 8))).shape
        (4, 3, 3, 3)
    """
    network = views.of(model)[0].network
    first = next((leaf for leaf in _leaves(network) if isinstance(leaf, _CONVOLUTIONS)), None)
    if first is None:
        raise ToolkitError("the network has no convolution, so it has no filters to show: choose a run or a backbone "
                           "with convolutions.")
    kernel = next(weight for weight in first.weights if "kernel" in weight.name)
    filters = np.transpose(np.asarray(kernel.numpy(), np.float32), (3, 0, 1, 2))
    reversed_channels = any(type(operation).__name__ == "Flip" for operation in network.operations)
    return filters[..., ::-1] if reversed_channels else filters


def _leaves(layer: keras.Operation) -> Iterator[keras.Operation]:
    """The layer itself; of a model the layers in it, those of models nested in it among them."""
    if isinstance(layer, keras.Model):
        for part in layer.layers:
            yield from _leaves(part)
    else:
        yield layer


# ---- Activations --------------------------------------------------------------------------------------------------


def spatial_layers(model: keras.Model) -> dict[str, tuple[int, int, int]]:
    """The layers whose output is a picture of more than one place, in the order of computation.

    Args:
        model: of `backbones.build` or of a run.

    Returns:
        Their names and the (h, w, C) of their outputs, from the first convolution on; operations such as a sum count
        as layers, and a model nested in the network as one layer. Those that only pool, pad, crop, drop or reorder are
        left out: the layer before a last pooling sees more places. Empty for a network without convolutions.
    """
    layers = views.of(model)[0].network.operations
    begun = next((position for position, layer in enumerate(layers)
                  if any(isinstance(leaf, _CONVOLUTIONS) for leaf in _leaves(layer))), len(layers))
    shapes = {layer.name: tuple(getattr(views.output(layer), "shape", ())[1:]) for layer in layers[begun:]
              if type(layer).__name__ not in _PASSIVE}
    return {name: shape for name, shape in shapes.items() if len(shape) == 3 and None not in shape
            and shape[0] * shape[1] > 1}


def _output_of(network: keras.Model, name: str) -> keras.KerasTensor:
    return next(views.output(operation) for operation in network.operations if operation.name == name)


def layer_activations(model: keras.Model, image: np.ndarray, layers: Sequence[str] | None = None
                      ) -> dict[str, np.ndarray]:
    """What layers make of one picture.

    Args:
        model: of `backbones.build` or of a run.
        image: (H, W, 3) uint8.
        layers: names, of `spatial_layers`; None: of each block (`backbones.blocks`) the last one with a spatial output.

    Returns:
        (h, w, C) float32 by name, in the order of ``layers``.

    Raises:
        ToolkitError: a layer without a spatial output, or a network without any.
    """
    view = views.of(model)[0]
    names = _last_of_blocks(model, view.network) if layers is None else [_known(model, name) for name in layers]
    outputs = {name: _output_of(view.network, name) for name in names}
    values = keras.Model(view.network.input, outputs)(view.crop(views.resized(model, image)), training=False)
    return {name: values[name][0].numpy().astype(np.float32) for name in names}


def _last_of_blocks(model: keras.Model, network: keras.Model) -> list[str]:
    spatial = spatial_layers(model)
    blocks = [[layer.name for layer in block if layer.name in spatial] for block in backbones.blocks(network)]
    return [block[-1] for block in blocks if block] or [_known(model, None)]


def _known(model: keras.Model, layer: str | None) -> str:
    """The name of a layer with a spatial output; None: of the last one that all paths to the features pass through."""
    spatial = list(spatial_layers(model))
    if not spatial:
        raise ToolkitError("the network has no layer with a spatial output, only vectors: choose a run or a backbone "
                           "with convolutions.")
    if layer is not None and layer not in spatial:
        few = spatial if len(spatial) < 10 else [*spatial[:3], "...", *spatial[-3:]]
        raise ToolkitError(f"the network has no layer {layer!r} with a spatial output; it has {', '.join(few)}.")
    return layer or next((name for name in _bottlenecks(views.of(model)[0].network) if name in spatial), spatial[-1])


def _bottlenecks(network: keras.Model) -> Iterator[str]:
    """The operations without which nothing reaches the output, the last first: of branches none is one."""
    sources = {id(tensor): operation for operation in network.operations
               for tensor in keras.tree.flatten(views.output(operation))}
    pending = {sources.get(id(network.outputs[0]))}
    for operation in reversed(network.operations):  # sorted by their distance from the output
        if None in pending:  # a layer that is called twice: which call this is, is not known
            return
        if operation in pending:
            if len(pending) == 1:
                yield operation.name
            pending.remove(operation)
            if not isinstance(operation, keras.layers.InputLayer):
                inputs = keras.tree.flatten(keras.Operation.input.fget(operation))
                pending |= {sources.get(id(tensor)) for tensor in inputs}


def last_layer(model: keras.Model) -> str:
    """The layer that is looked at unless another is named: the last of `spatial_layers` that everything passes through.

    Raises:
        ToolkitError: there is none.
    """
    return _known(model, None)


# ---- The inputs of a unit -----------------------------------------------------------------------------------------


def exciting_rows(model: keras.Model, batches: Iterable[tf.Tensor], layer: str | None, unit: int, count: int
                  ) -> tuple[np.ndarray, np.ndarray]:
    """The pictures to which a unit responds most.

    Its response is its largest activation anywhere in the picture; among equal ones, as ReLU6 makes them, the mean over
    the picture decides.

    Args:
        model: of `backbones.build` or of a run.
        batches: (B, R, R, 3) float32 in [0, 255], as `inputs.evaluation_batches` makes them with the preprocessing
            `classifiers.preprocessing_of(model)`; walked through once.
        layer: name, of `spatial_layers`; None: `last_layer`.
        unit: which of the layer's channels, from 0.
        count: at most so many pictures are named.

    Returns:
        Positions among the pictures, (k,) int64, strongest first, and their responses, (k,) float32.

    Raises:
        ToolkitError: there is no such layer or unit.
    """
    view, activation = views.of(model)[0], _unit(model, layer, unit)

    @tf.function(reduce_retracing=True)
    def respond(squares: tf.Tensor) -> tf.Tensor:
        values = tf.cast(activation(view.crop(squares), training=False)[..., unit], tf.float32)
        return tf.stack([tf.reduce_max(values, axis=(1, 2)), tf.reduce_mean(values, axis=(1, 2))])

    empty = np.zeros((2, 0), np.float32)
    largest, means = np.concatenate([empty, *(respond(squares).numpy() for squares in batches)], axis=1)
    strongest = np.lexsort((-means, -largest))[:count]
    return strongest, largest[strongest]


def unit_map(model: keras.Model, image: np.ndarray, layer: str | None, unit: int) -> np.ndarray:
    """Where in a picture a unit responds.

    Args:
        model: of `backbones.build` or of a run.
        image: (H, W, 3) uint8.
        layer: name, of `spatial_layers`; None: `last_layer`.
        unit: which of the layer's channels, from 0.

    Returns:
        (H, W) float32 in [0, 1] in the coordinates of the picture, 0 where the response is negative or nothing is seen.

    Raises:
        ToolkitError: there is no such layer or unit.
    """
    view, activation = views.of(model)[0], _unit(model, layer, unit)
    heat = activation(view.crop(views.resized(model, image)), training=False)[0, ..., unit]
    return views.in_picture([(view, np.maximum(heat.numpy(), 0))], image.shape[:2])


def _unit(model: keras.Model, layer: str | None, unit: int) -> keras.Model:
    """From a crop to the activations of a layer that has this unit."""
    name = _known(model, layer)
    channels = spatial_layers(model)[name][-1]
    if not 0 <= unit < channels:
        raise ToolkitError(f"unit {unit} was asked for, but layer {name} has the units 0 to {channels - 1}.")
    network = views.of(model)[0].network
    return keras.Model(network.input, _output_of(network, name))


# ---- Grad-CAM -----------------------------------------------------------------------------------------------------


def grad_cam(model: keras.Model, image: np.ndarray, class_index: int | None = None, *, layer: str | None = None
             ) -> np.ndarray:
    """Where in a picture a model sees evidence for a class.

    Args:
        model: of `backbones.build` or of a run.
        image: (H, W, 3) uint8.
        class_index: number of the class, of a model that ends in features of the feature; None: the most probable.
        layer: name, of `spatial_layers`; None: `last_layer`.

    Returns:
        (H, W) float32 in [0, 1] in the coordinates of the picture: 1 where the evidence is strongest, 0 where there is
        none, also around the square that the model sees (`seen`). All 0 if nothing speaks for the class.

    Raises:
        ToolkitError: there is no such class or layer, or the network has no layer with a spatial output.
    """
    name, square = _known(model, layer), views.resized(model, image)
    chosen = int(views.outputs(model, square).argmax()) if class_index is None else class_index
    if not 0 <= chosen < model.output_shape[-1]:
        raise ToolkitError(f"class {chosen} was asked for, but the model has the classes 0 to "
                           f"{model.output_shape[-1] - 1}.")
    return views.in_picture([(view, _heat(view, view.crop(square), name, chosen)) for view in views.of(model)],
                       image.shape[:2])


def _heat(view: View, crop: tf.Tensor, layer: str, class_index: int) -> np.ndarray:
    """The formula above, (h, w), for one member on one crop (1, S, S, 3)."""
    both = keras.Model(view.network.input, [_output_of(view.network, layer), view.network.output])
    with tf.GradientTape() as tape:
        tape.watch(crop)  # so that all is recorded, whichever weights are frozen
        activations, x = both(crop, training=False)
        for head in view.head:
            x = head(x, training=False) if isinstance(head, keras.layers.Dropout) else head(x)
        logit = x[:, class_index]
    alpha = tf.reduce_mean(tape.gradient(logit, activations), axis=(1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(alpha * activations, axis=-1))[0].numpy().astype(np.float32)
