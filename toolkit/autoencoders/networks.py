"""The graphs of autoencoders: fully connected layers with their way back, and the mirror of any backbone.

What is trained has values (B, d) or images (B, S, S, C) in [0, 1] at both ends. What is saved takes raw images, and is
made of stock Keras layers only:

    image uint8 (B, H, W, 3)  ->  pixels  ->  resizing  ->  network  ->  codes (B, F)  ->  decoder  ->  (B, S, S, 3)

``network`` is what ``--backbone RUN`` takes of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import KerasTensor, layers, ops

from toolkit import ToolkitError, atomic_files
from toolkit.models import backbones, explanations
from toolkit.models.layers import initialiser as new_initialiser
from toolkit.models.layers import normalise

MAX_CHANNELS = 256  # of a mirrored decoder
SMALLEST_MEAN = 0.01  # of a value in [0, 1], whose logit a decoder begins with


# ---- Fully connected ----------------------------------------------------------------------------------------------


class Transposed(layers.Layer):
    """The way back through the kernel W of a dense layer: h -> h W^T + b (tied weights)."""

    def __init__(self, dense: layers.Dense, **options: str) -> None:
        super().__init__(**options)
        self.dense = dense

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Makes the bias; the kernel is there."""
        self.bias = self.add_weight(shape=(self.dense.kernel.shape[0],), initializer="zeros", name="bias")

    def call(self, codes: KerasTensor) -> KerasTensor:
        """Codes (B, F) -> (B, d)."""
        return tf.matmul(codes, self.dense.kernel, transpose_b=True) + self.bias


def dense_pair(width: int, hidden: Sequence[int], *, activation: str, tied: bool, code_activation: str | None = None,
               code_width: int | None = None, initialiser: str = "glorot") -> tuple[keras.Model, keras.Model]:
    """Encoder and decoder of fully connected layers, for training.

    Args:
        width: d, of the values.
        hidden: units of each layer; the last ones are the codes.
        activation: of the layers.
        tied: the decoder uses the encoder's kernels, transposed.
        code_activation: of the last layer of the encoder; None: as of the others.
        code_width: what the encoder ends in, where that is more than the codes: mean and log variance.
        initialiser: of the kernels, one of ``models.layers.INITIALISERS``.

    Returns:
        Values (B, d) -> (B, code_width or F), and codes (B, F) -> (B, d), linear.
    """
    values = x = keras.Input((width,), name="values")
    dense = []
    for index, units in enumerate(hidden, start=1):
        last = index == len(hidden)
        dense.append(layers.Dense(code_width or units if last else units, name=f"layer{index}_dense",
                                  activation=(code_activation or activation) if last else activation,
                                  kernel_initializer=new_initialiser(initialiser)))
        x = dense[-1](x)
    encoder = keras.Model(values, x, name="encoder")
    codes = x = keras.Input((hidden[-1],), name="codes")
    for index, units in reversed(list(enumerate((width, *hidden[:-1]), start=1))):
        back = Transposed(dense[index - 1]) if tied else \
            layers.Dense(units, name=f"layer{index}_back", kernel_initializer=new_initialiser(initialiser))
        x = back(x)
        x = x if index == 1 else layers.Activation(activation)(x)
    return encoder, keras.Model(codes, x, name="decoder")


def begin_at(decoder: keras.Model, centre: np.ndarray, *, logits: bool) -> None:
    """Sets the last biases of a decoder of ``dense_pair`` to the mean row (d,), or to the logits of its values."""
    last = [layer for layer in decoder.layers if layer.weights][-1]
    inside = np.clip(centre, SMALLEST_MEAN, 1 - SMALLEST_MEAN)
    last.bias.assign(np.log(inside / (1 - inside)) if logits else centre)


def uncentre(encoder: keras.Model, centre: np.ndarray) -> None:
    """Makes an encoder of ``dense_pair`` that saw values less their mean (d,) one of the values themselves."""
    first = next(layer for layer in encoder.layers if layer.weights)
    first.bias.assign(first.bias.numpy() - centre @ first.kernel.numpy())


@dataclass(frozen=True, eq=False)
class TrainedLayer:
    """One fully connected layer and its way back.

    Attributes:
        kernel: (d, F).
        bias: (F,).
        activation: of the codes.
        back_kernel: (F, d).
        back_bias: (d,).
        back_activation: of the reconstruction.
        kept: number of largest codes that are kept on the way back; 0: all.
        kept_codes: likewise in the codes themselves.
    """

    kernel: np.ndarray
    bias: np.ndarray
    activation: str
    back_kernel: np.ndarray
    back_bias: np.ndarray
    back_activation: str
    kept: int = 0
    kept_codes: int = 0


def trained_layers(encoder: keras.Model, decoder: keras.Model, *, activation: str, code_activation: str,
                   back_activation: str, kept: int = 0, kept_codes: int = 0) -> list[TrainedLayer]:
    """The layers of a pair from ``dense_pair``, from the values up.

    Args:
        encoder: of the pair.
        decoder: of the pair.
        activation: of the layers.
        code_activation: of the last layer of the encoder.
        back_activation: of the reconstructed values.
        kept: as in ``TrainedLayer``, of the codes.
        kept_codes: likewise.
    """
    forth = [layer for layer in encoder.layers if layer.weights]
    back = [layer for layer in decoder.layers if layer.weights][::-1]
    found = []
    for index, (one, other) in enumerate(zip(forth, back, strict=True)):
        kernel, bias = (weight.numpy() for weight in (one.kernel, one.bias))
        width = other.dense.units if isinstance(other, Transposed) else other.kernel.shape[0]
        back_kernel = kernel.T if isinstance(other, Transposed) else other.kernel.numpy()
        last = index == len(forth) - 1
        found.append(TrainedLayer(kernel[:, :width], bias[:width], code_activation if last else activation,
                                  back_kernel, other.bias.numpy(), activation if index else back_activation,
                                  kept if last else 0, kept_codes if last else 0))
    return found


def dense_network(size: int, channels: int, stack: Sequence[TrainedLayer]) -> keras.Model:
    """The layers of a stack as the network of a backbone, (B, S, S, 3) float32 in [0, 255] to codes (B, F).

    Its layers name Glorot's initialiser, whatever they began with here: by it the network from scratch is drawn that a
    pretrained one is compared with, and small weights, which suit reconstructing, would hold that one back.
    """
    pixels = keras.Input((size, size, 3), name="pixels")
    x = ops.mean(pixels, axis=-1, keepdims=True) if channels == 1 else pixels
    x = layers.Flatten(name="layer1_flatten")(normalise(x, (0.0,), (255.0,)))
    for index, layer in enumerate(stack, start=1):
        dense = layers.Dense(len(layer.bias), activation=layer.activation, name=f"layer{index}_dense")
        x = dense(x)
        dense.set_weights([layer.kernel, layer.bias])
        x = largest(x, layer.kept_codes)
    return keras.Model(pixels, x, name="network")


def dense_decoder(size: int, channels: int, stack: Sequence[TrainedLayer]) -> keras.Model:
    """The way back of a stack, codes (B, F) to (B, S, S, 3) float32 in [0, 255]."""
    codes = x = keras.Input((len(stack[-1].bias),), name="codes")
    for index, layer in reversed(list(enumerate(stack, start=1))):
        dense = layers.Dense(len(layer.back_bias), activation=layer.back_activation, name=f"layer{index}_back")
        x = dense(largest(x, layer.kept))
        dense.set_weights([layer.back_kernel, layer.back_bias])
    return keras.Model(codes, _as_pixels(layers.Reshape((size, size, channels))(x)), name="decoder")


def dense_codes(layer: TrainedLayer) -> keras.Model:
    """One trained layer: values (B, d) to codes (B, F)."""
    values = keras.Input((len(layer.kernel),), name="values")
    dense = layers.Dense(len(layer.bias), activation=layer.activation)
    model = keras.Model(values, largest(dense(values), layer.kept_codes))
    dense.set_weights([layer.kernel, layer.bias])
    return model


def largest(codes: KerasTensor, kept: int) -> KerasTensor:
    """The ``kept`` largest of each row of codes (B, F), the others zero; all of them where ``kept`` is 0."""
    if not 0 < kept < codes.shape[-1]:
        return codes
    smallest = ops.top_k(codes, kept)[0][..., -1:]
    return ops.where(ops.greater_equal(codes, smallest), codes, 0.0)


# ---- Any backbone -------------------------------------------------------------------------------------------------


def mirrored_decoder(backbone: keras.Model, channels: int) -> keras.Model:
    """A decoder that goes back through the sizes of the maps of a backbone, smallest first.

    Args:
        backbone: of ``backbones.build``, with convolutions.
        channels: of the images.

    Returns:
        Features (B, F) -> images (B, S, S, channels), linear. Each step doubles the maps (nearest pixel) and convolves;
        their channels are those of the backbone at that size, at most 256.

    Raises:
        ToolkitError: the backbone has no convolution.
    """
    explanations.last_layer(backbone)
    sizes = {shape[0]: min(shape[2], MAX_CHANNELS) for shape in explanations.spatial_layers(backbone).values()}
    side = backbones.network(backbone).input_shape[1]
    sides = sorted({*sizes, side})
    codes = keras.Input(backbone.output_shape[1:], name="codes")
    x = layers.Dense(sides[0] ** 2 * sizes[sides[0]], activation="relu", name="decoder_dense")(codes)
    x = layers.Reshape((sides[0], sides[0], sizes[sides[0]]))(x)
    for size in sides[1:]:
        double = size == 2 * x.shape[1]
        larger = layers.UpSampling2D(2) if double else layers.Resizing(size, size, "nearest", dtype="float32")
        x = larger(x) if double else larger(x, training=False)
        x = layers.Conv2D(sizes.get(size, sizes[sides[0]] // 4 or 1), 3, padding="same", activation="relu",
                          name=f"decoder_conv{size}")(x)
    x = layers.Conv2D(channels, 3, padding="same", name="decoder_pixels")(x)
    return keras.Model(codes, x, name="decoder")


def backbone_encoder(backbone: keras.Model, channels: int, *, code_width: int = 1) -> keras.Model:
    """The network of a backbone, for training: images (B, S, S, channels) in [0, 1] -> features (B, F).

    With a ``code_width`` of 2 a log variance, linear in the features, stands beside each feature: (B, 2 F).
    """
    network = backbones.network(backbone)
    images = keras.Input((*network.input_shape[1:3], channels), name="values")
    codes = network(layers.Rescaling(255.0)(layers.Concatenate()([images] * 3) if channels == 1 else images))
    if code_width == 2:
        log_variance = layers.Dense(codes.shape[-1], kernel_initializer="zeros", name="log_variance")(codes)
        codes = layers.Concatenate()([codes, log_variance])
    return keras.Model(images, codes, name="encoder")


def image_decoder(decoder: keras.Model, *, activation: str) -> keras.Model:
    """A trained decoder with its activation, codes (B, F) to (B, S, S, 3) float32 in [0, 255]."""
    codes = keras.Input(decoder.input_shape[1:], name="codes")
    return keras.Model(codes, _as_pixels(layers.Activation(activation)(decoder(codes))), name="decoder")


# ---- What is saved ------------------------------------------------------------------------------------------------


def from_raw_images(network: keras.Model, backbone: keras.Model, decoder: keras.Model | None = None) -> keras.Model:
    """From raw images uint8 (B, H, W, 3) to codes, or through a decoder to reconstructed images.

    Args:
        network: (B, S, S, 3) float32 in [0, 255] to codes.
        backbone: of ``backbones.build``, whose preprocessing is used.
        decoder: codes to images; None: the model ends in codes, as a backbone does.
    """
    preprocessing = backbones.preprocessing(backbone)
    image = keras.Input((None, None, 3), dtype="uint8", name="image")
    x, size = backbones.resized(image, preprocessing), preprocessing.image_size
    if preprocessing.resize_size != size:
        x = layers.CenterCrop(size, size, dtype="float32", name="centre_crop")(x, training=False)
    x = network(x)
    model = keras.Model(image, x if decoder is None else decoder(x), name=backbone.name if decoder is None else
                        "autoencoder")
    model.sources = backbone.sources
    return model


def redrawn(network: keras.Model, seed: int) -> keras.Model:
    """The same network without pretraining: new weights, each drawn by the initialiser that its layer names.

    Args:
        network: of a run, of stock layers.
        seed: of the draws.
    """
    keras.utils.set_random_seed(seed)
    return keras.Model.from_config(network.get_config())


def save(model: keras.Model, path: Path) -> None:
    """Writes a model, under a temporary name first.

    Raises:
        ToolkitError: if the disk refuses.
    """
    try:
        with atomic_files.in_place_of(path) as temporary:
            model.save(temporary)
    except OSError as error:
        raise ToolkitError(f"Could not write {path}: {error.strerror or error}. Free space or choose another "
                           f"--output.") from error


def _as_pixels(x: KerasTensor) -> KerasTensor:
    x = layers.Concatenate()([x] * 3) if x.shape[-1] == 1 else x
    return layers.Rescaling(255.0, dtype="float32", name="reconstruction")(x)
