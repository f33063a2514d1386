"""Random changes of an image that keep its class; every draw is a function of the seed given for the image.

Steps, each off unless asked for: crop, reflection, colour, RandAugment, erasing. Nothing mirrors an image unless
``reflect`` is set: digits and text do not survive it.

References:
    A. Krizhevsky, I. Sutskever, G. Hinton (2012). ImageNet classification with deep convolutional neural networks.
    A. Howard (2013). Some improvements on deep convolutional neural network based image classification.
        https://arxiv.org/abs/1312.5402 (brightness, contrast and colour by random factors)
    C. Szegedy et al. (2015). Going deeper with convolutions. https://arxiv.org/abs/1409.4842 (area and aspect)
    T. DeVries, G. Taylor (2017). Improved regularization of convolutional neural networks with Cutout.
        https://arxiv.org/abs/1708.04552
    H. Zhang, M. Cisse, Y. Dauphin, D. Lopez-Paz (2018). mixup. https://arxiv.org/abs/1710.09412
    E. Cubuk, B. Zoph, J. Shlens, Q. Le (2020). RandAugment. https://arxiv.org/abs/1909.13719
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.inputs import operations

SMALLEST_AREA = 0.35
WIDEST_ASPECT = 4 / 3
COLOUR_RANGE = 0.4  # at strength 1: brightness, contrast, saturation, up and down
HUE_RANGE = 0.1  # of a full turn
MID_GREY = 127.5


@dataclass(frozen=True)
class Augmentation:
    """What may be changed, and how much.

    Attributes:
        crop: from the resized image, "shift" takes a window of the network's size at a random place, as AlexNet did (if
            the image is no larger than that, an eighth of its side is added all around first, repeating its edge:
            reflection would add mirrored strokes to a digit);
            "resized" takes a window of 35 to 100 % of the area and an aspect from 3:4 to 4:3 and resizes it
            bilinearly; "none" takes the centre.
        reflect: mirror one image in two, left to right.
        colour: in [0, 1], strength of the random changes of brightness, contrast, saturation and hue; 0 is off.
        rand_augment: in [0, 1], strength of the operations of RandAugment; 0 is off.
        num_operations: operations of RandAugment an image, drawn with repetition.
        erase: in [0, 1], longest side, relative to the image's, of the square that is painted grey; 0 is off.

    Raises:
        ToolkitError: if a value is outside its range or choices.
    """

    crop: str = "none"
    reflect: bool = False
    colour: float = 0.0
    rand_augment: float = 0.0
    num_operations: int = 2
    erase: float = 0.0

    def __post_init__(self) -> None:
        if self.crop not in _CROPS:
            raise ToolkitError(f"crop is {self.crop!r}; it must be one of {', '.join(_CROPS)}.")
        for name in ("colour", "rand_augment", "erase"):
            if not 0 <= getattr(self, name) <= 1:
                raise ToolkitError(f"{name} is {getattr(self, name)}; it must lie between 0 and 1.")
        if self.num_operations < 0:
            raise ToolkitError(f"num_operations is {self.num_operations}; it must be 0 or more.")


def augment(image: tf.Tensor, seed: tf.Tensor, augmentation: Augmentation, image_size: int) -> tf.Tensor:
    """Draws one random version of an image.

    Args:
        image: (S, S, 3) float32 in [0, 255], S >= image_size known when the graph is made.
        seed: (2,) integers, from ``images.row_seed``.
        augmentation: what is drawn.
        image_size: side of the result.

    Returns:
        (image_size, image_size, 3) float32 in [0, 255]. A crop or reflection keeps the overshoot of bicubic resizing as
        it is in the network's other inputs; every other step clips it.
    """
    seeds = tf.unstack(tf.random.split(seed, 5))
    image = _CROPS[augmentation.crop](image, seeds[0], image_size)
    if augmentation.reflect:
        image = _reflect(image, seeds[1])
    if augmentation.colour:
        image = _jitter_colour(image, seeds[2], augmentation.colour)
    if augmentation.rand_augment:
        image = _rand_augment(image, seeds[3], augmentation.rand_augment, augmentation.num_operations)
    if augmentation.erase:
        image = _erase(image, seeds[4], augmentation.erase)
    return image


def centre_crop(image: tf.Tensor, size: int) -> tf.Tensor:
    """The middle (size, size, 3) of a square image, as ``keras.layers.CenterCrop`` cuts it."""
    start = (image.shape[0] - size) // 2
    return image[start:start + size, start:start + size]


def mix_up(images: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, *, alpha: float, seed: tf.Tensor
           ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Replaces each row of a batch by a mixture of it and the next row (the last by one with the first).

    With lambda from Beta(alpha, alpha), drawn for each row, the loss of a mixture is
    lambda w_i CE(y_i, p) + (1 - lambda) w_j CE(y_j, p): cross-entropy is linear in the target, so this is one target
    and one weight again.

    Args:
        images: (B, S, S, 3) float32.
        targets: (B, C) float32, distributions over the classes.
        weights: (B,) float32, of the rows in the loss.
        alpha: above 0; small values leave most rows nearly unmixed.
        seed: (2,) integers.

    Returns:
        Mixed images, targets and weights, of the same shapes.
    """
    size = tf.shape(images)[0]
    draws = tf.random.stateless_gamma([2, size], seed, tf.constant(alpha, tf.float64), dtype=tf.float64)
    share = tf.cast(tf.math.divide_no_nan(draws[0], draws[0] + draws[1]), tf.float32)

    def mixed(values: tf.Tensor, ratio: tf.Tensor) -> tf.Tensor:
        ratio = tf.reshape(ratio, (size, *[1] * (values.shape.rank - 1)))
        return ratio * values + (1 - ratio) * tf.roll(values, -1, 0)

    weight = mixed(weights, share)
    return mixed(images, share), mixed(targets, tf.math.divide_no_nan(share * weights, weight)), weight


# ---- Crops -----------------------------------------------------------------------------------------------------------


def _centre(image: tf.Tensor, seed: tf.Tensor, size: int) -> tf.Tensor:
    return centre_crop(image, size)


def _shift(image: tf.Tensor, seed: tf.Tensor, size: int) -> tf.Tensor:
    if image.shape[0] == size:
        margin = max(1, size // 8)
        places = np.arange(-margin, size + margin).clip(0, size - 1)
        image = tf.gather(tf.gather(image, places), places, axis=1)
    top, left = tf.unstack(tf.random.stateless_uniform([2], seed, 0, image.shape[0] - size + 1, tf.int32))
    return tf.slice(image, [top, left, 0], [size, size, 3])


def _resized(image: tf.Tensor, seed: tf.Tensor, size: int) -> tf.Tensor:
    side = image.shape[0]
    area, aspect, top, left = tf.unstack(tf.random.stateless_uniform([4], seed))
    area = SMALLEST_AREA + (1 - SMALLEST_AREA) * area
    aspect = tf.exp((2 * aspect - 1) * math.log(WIDEST_ASPECT))

    def interval(length: tf.Tensor, place: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        length = tf.clip_by_value(tf.cast(tf.round(side * length), tf.int32), 1, side)
        room = side - length
        start = tf.minimum(tf.cast(place * tf.cast(room + 1, tf.float32), tf.int32), room)
        return start, start + length

    first_row, end_row = interval(tf.sqrt(area / aspect), top)
    first_column, end_column = interval(tf.sqrt(area * aspect), left)
    return tf.image.resize(image[first_row:end_row, first_column:end_column], (size, size))


_CROPS = {"none": _centre, "shift": _shift, "resized": _resized}


# ---- The other steps -------------------------------------------------------------------------------------------------


def _reflect(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    mirrored = tf.random.stateless_uniform([], seed) < 0.5
    return tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image)


def _jitter_colour(image: tf.Tensor, seed: tf.Tensor, strength: float) -> tf.Tensor:
    draws = tf.random.stateless_uniform([4], seed, -strength, strength)
    amount = COLOUR_RANGE * draws
    image = operations.saturation(operations.contrast(operations.brightness(image, amount[0]), amount[1]), amount[2])
    return operations.clip(255 * tf.image.adjust_hue(image / 255, HUE_RANGE * draws[3]))


def _rand_augment(image: tf.Tensor, seed: tf.Tensor, strength: float, num_operations: int) -> tf.Tensor:
    """Applies random operations, each at the full strength and with a random sign, as in the paper."""
    image = operations.clip(image)
    draws = tf.random.stateless_uniform([num_operations, 2], seed, 0, 2 ** 30, tf.int32)
    for choice, sign in (tf.unstack(draw) for draw in tf.unstack(draws)):
        level = tf.where(sign % 2 == 0, strength, -strength)
        changes = [partial(operation, image, level) for operation in operations.OPERATIONS.values()]
        image = tf.switch_case(choice % len(changes), changes)
    return image


def _erase(image: tf.Tensor, seed: tf.Tensor, longest: float) -> tf.Tensor:
    size = image.shape[0]
    draws = size * tf.random.stateless_uniform([3], seed)
    places = tf.range(size, dtype=tf.float32) + 0.5
    rows, columns = (tf.abs(places - centre) < longest * draws[0] / 2 for centre in (draws[1], draws[2]))
    return tf.where((rows[:, None] & columns[None])[..., None], MID_GREY, operations.clip(image))


identity = Augmentation()
