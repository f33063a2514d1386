"""What is done to an input that an autoencoder has to undo; every draw is a function of the seed given.

References:
    P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio, P.-A. Manzagol (2010). Stacked denoising autoencoders: learning
        useful representations in a deep network with a local denoising criterion. JMLR 11. Section 3.3.
        https://www.jmlr.org/papers/v11/vincent10a.html
    K. He, X. Chen, S. Xie, Y. Li, P. Dollar, R. Girshick (2021). Masked autoencoders are scalable vision learners.
        https://arxiv.org/abs/2111.06377
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from toolkit import ToolkitError

GREY = 0.5  # what hidden patches show


def masking(values: tf.Tensor, level: float, seed: tf.Tensor) -> tf.Tensor:
    """A share ``level`` of the values (B, ...) in [0, 1] set to zero, drawn by ``seed``, (2,) integers.

    As in the paper, and unlike dropout in Keras, the values that stay are not made larger for it: what a unit is given
    is smaller in training, by ``1 - level`` in the mean, than where features are wanted.
    """
    return values * tf.cast(tf.random.stateless_uniform(tf.shape(values), seed) >= level, tf.float32)


def gaussian(values: tf.Tensor, level: float, seed: tf.Tensor) -> tf.Tensor:
    """Normal noise of standard deviation ``level`` added to the values (B, ...), which may leave [0, 1] by it."""
    return values + level * tf.random.stateless_normal(tf.shape(values), seed)


def salt_and_pepper(values: tf.Tensor, level: float, seed: tf.Tensor) -> tf.Tensor:
    """A share ``level`` of the values (B, ...) set to zero or one, with equal probability."""
    drawn = tf.random.stateless_uniform(tf.shape(values), seed)
    return tf.where(drawn < level, tf.cast(drawn < level / 2, tf.float32), values)


CORRUPTIONS: dict[str, Callable[[tf.Tensor, float, tf.Tensor], tf.Tensor]] = {
    "masking": masking, "gaussian": gaussian, "salt-and-pepper": salt_and_pepper}


def hidden_patches(images: tf.Tensor, level: float, seed: tf.Tensor, *, patch_size: int) -> tf.Tensor:
    """Which pixels of images are hidden: of each image the same number of square patches.

    Args:
        images: (B, S, S, C).
        level: share of the patches that are hidden, in (0, 1).
        seed: (2,) integers.
        patch_size: side of a patch, in pixels; those at the right and lower edge may be cut off. At least one patch is
            hidden, and one is not.

    Returns:
        (B, S, S, 1) float32, 1 where hidden.
    """
    count, side = tf.shape(images)[0], images.shape[1]
    patches = -(-side // patch_size)
    if patches == 1:
        raise ToolkitError(f"patch_size is {patch_size}, the whole of an image of {side} pixels: give less than that.")
    drawn = tf.random.stateless_uniform((count, patches**2), seed)
    ranks = tf.argsort(tf.argsort(drawn, axis=1), axis=1)
    hidden = tf.cast(ranks < min(max(1, round(level * patches**2)), patches**2 - 1), tf.float32)
    squares = tf.reshape(hidden, (count, patches, 1, patches, 1)) * tf.ones((1, 1, patch_size, 1, patch_size))
    return tf.reshape(squares, (count, patches * patch_size, patches * patch_size, 1))[:, :side, :side]
