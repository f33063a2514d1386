"""What RandAugment and the colour jitter do to an image; nothing here is random.

``OPERATIONS`` are the fourteen of RandAugment, operation(image, level): images are square, (S, S, 3) float32 in
[0, 255], before and after; a level lies in [-1, 1], and 0 changes nothing, except in autocontrast and equalize, which
have no level. What a moved image leaves bare is filled by repeating its edge, so that a black background stays black.
"""

from __future__ import annotations

import math

import tensorflow as tf

ENHANCEMENT_RANGE = 0.9  # at level 1 or -1: how far from or towards the grey, black or smooth image
ROTATION_RANGE = math.radians(30)
SHEAR_RANGE = 0.3
TRANSLATION_RANGE = 0.3  # of the side
LOST_BITS = 4


def clip(image: tf.Tensor) -> tf.Tensor:
    """Cuts values off to [0, 255]."""
    return tf.clip_by_value(image, 0.0, 255.0)


def _away(image: tf.Tensor, other: tf.Tensor | float, amount: tf.Tensor) -> tf.Tensor:
    """Moves an image away from another one, or towards it where the amount is negative."""
    return clip(image + amount * (image - other))


def brightness(image: tf.Tensor, amount: tf.Tensor) -> tf.Tensor:
    """Away from black."""
    return _away(image, 0.0, amount)


def contrast(image: tf.Tensor, amount: tf.Tensor) -> tf.Tensor:
    """Away from the mean grey of the image."""
    return _away(image, tf.reduce_mean(tf.image.rgb_to_grayscale(image)), amount)


def saturation(image: tf.Tensor, amount: tf.Tensor) -> tf.Tensor:
    """Away from the grey image."""
    return _away(image, tf.image.rgb_to_grayscale(image), amount)


def _sharpness(image: tf.Tensor, amount: tf.Tensor) -> tf.Tensor:
    """Away from the image smoothed by [[1, 1, 1], [1, 5, 1], [1, 1, 1]] / 13, except on the border, as in Pillow."""
    inner = image[1:-1, 1:-1]
    smooth = (9 * tf.nn.avg_pool2d(image[None], 3, 1, "VALID")[0] + 4 * inner) / 13
    return clip(image + amount * tf.pad(inner - smooth, [[1, 1], [1, 1], [0, 0]]))


def _autocontrast(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    low, high = tf.reduce_min(image, (0, 1)), tf.reduce_max(image, (0, 1))
    return tf.where(high > low, clip(tf.math.divide_no_nan((image - low) * 255, high - low)), image)


def _equalize(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """Gives each channel a flat histogram: a pixel becomes the share of pixels below it, from 0 to 255."""
    channels = tf.transpose(tf.reshape(tf.cast(tf.round(image), tf.int32), (-1, 3)))
    histogram = tf.cast(tf.math.bincount(channels, minlength=256, maxlength=256, axis=-1), tf.float32)
    below = tf.cumsum(histogram, axis=1, exclusive=True)
    most = tf.reduce_max(tf.where(histogram > 0, below, 0), 1, keepdims=True)
    table = tf.where(most > 0, tf.math.divide_no_nan(255 * below, most), tf.range(256.0))
    return tf.reshape(tf.transpose(tf.gather(table, channels, batch_dims=1)), tf.shape(image))


def _solarize(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    return tf.where(image >= 256 * (1 - tf.abs(level)), 255 - image, image)


def _posterize(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    step = 2 ** tf.round(LOST_BITS * tf.abs(level))
    return tf.floor(image / step) * step


def _moved(image: tf.Tensor, matrix: list, shift: tuple = (0, 0)) -> tf.Tensor:
    """Fetches the pixel at place p, measured from the centre, from matrix [[a, b], [c, d]] p - shift; p is (x, y)."""
    (a, b), (c, d) = matrix
    centre = (image.shape[0] - 1) / 2
    coefficients = (a, b, centre * (1 - a - b) - shift[0], c, d, centre * (1 - c - d) - shift[1], 0, 0)
    transform = tf.stack([tf.cast(value, tf.float32) for value in coefficients])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None], transforms=transform[None], output_shape=image.shape[:2], fill_value=0.0,
        interpolation="BILINEAR", fill_mode="NEAREST")[0]


def _rotate(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    angle = ROTATION_RANGE * level
    return _moved(image, [[tf.cos(angle), -tf.sin(angle)], [tf.sin(angle), tf.cos(angle)]])


def _shear_x(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    return _moved(image, [[1, SHEAR_RANGE * level], [0, 1]])


def _shear_y(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    return _moved(image, [[1, 0], [SHEAR_RANGE * level, 1]])


def _translate_x(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    return _moved(image, [[1, 0], [0, 1]], (TRANSLATION_RANGE * level * image.shape[1], 0))


def _translate_y(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    return _moved(image, [[1, 0], [0, 1]], (0, TRANSLATION_RANGE * level * image.shape[0]))


OPERATIONS = {
    "identity": lambda image, level: image, "autocontrast": _autocontrast, "equalize": _equalize, "rotate": _rotate,
    "solarize": _solarize, "posterize": _posterize,
    "colour": lambda image, level: saturation(image, ENHANCEMENT_RANGE * level),
    "contrast": lambda image, level: contrast(image, ENHANCEMENT_RANGE * level),
    "brightness": lambda image, level: brightness(image, ENHANCEMENT_RANGE * level),
    "sharpness": lambda image, level: _sharpness(image, ENHANCEMENT_RANGE * level),
    "shear_x": _shear_x, "shear_y": _shear_y, "translate_x": _translate_x, "translate_y": _translate_y,
}
