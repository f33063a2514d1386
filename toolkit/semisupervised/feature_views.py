"""Weakly and strongly changed copies of images as frozen features, each computed once.

A method that wants two views of an image needs the network for each; on frozen features a few copies drawn beforehand
do. Copy k of an image is a function of the image's content, the augmentation, the seed and k alone, so that neither
the order of rows nor what else is in the table changes it, and the cache of ``training.features`` holds it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.inputs import images
from toolkit.inputs.augmentation import Augmentation, augment
from toolkit.models import backbones
from toolkit.tables import Table
from toolkit.training import features

if TYPE_CHECKING:
    import keras

WEAK = Augmentation(crop="shift")  # AlexNet's random crop; its reflection where the images allow it
STRONG = Augmentation(crop="shift", rand_augment=0.5)
CONTENT_DIGITS = 15  # of the checksum, in base 16: the largest number of them that an int64 holds


def draw(backbone: "keras.Model", table: Table, indices: np.ndarray, augmentation: Augmentation, *, copy: int = 0,
         reflect: bool = False, seed: int = 0, batch_size: int = 64) -> np.ndarray:
    """Features of a changed copy of rows of a table.

    Args:
        backbone: from ``backbones.build``.
        table: of images.
        indices: (n,) rows of the table.
        augmentation: what is drawn: ``WEAK``, ``STRONG`` or another.
        copy: its number; each names one draw.
        reflect: mirror one image in two, left to right.
        seed: of the draws.
        batch_size: images a step.

    Returns:
        (n, F) float32, in the order of ``indices``.

    Raises:
        ToolkitError: if the rows are no images, or an image can no longer be read.
    """
    if table.kind != "image":
        raise ToolkitError(f"{table.source}: rows of kind {table.kind!r} have no changed copies; give images.")
    augmentation = dataclasses.replace(augmentation, reflect=reflect)
    preprocessing = backbones.preprocessing(backbone)

    def batches(rows: np.ndarray) -> tf.data.Dataset:
        return _batches(table, rows, preprocessing, augmentation, copy=copy, seed=seed, batch_size=batch_size)

    kind = "strong" if augmentation.rand_augment else "weak"
    return features.through_network(backbone, table, indices, batches, repr(augmentation), f"seed {seed}",
                                    f"copy {copy}", title=f"{kind} copy {copy + 1}, features of {backbone.name}")


def _batches(table: Table, rows: np.ndarray, preprocessing: backbones.Preprocessing, augmentation: Augmentation, *,
             copy: int, seed: int, batch_size: int) -> tf.data.Dataset:
    """Changed images of rows, in their order; the seed of a row's draw comes from its content."""
    read = images.reader(table, rows)
    contents = np.array([int(str(checksum)[:CONTENT_DIGITS], 16) for checksum in table.checksums[rows]], np.int64)

    def load(row: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
        image = images.resize(read(row), preprocessing)
        return augment(image, images.row_seed(seed, tf.constant(copy, tf.int64), content), augmentation,
                       preprocessing.image_size)

    pairs = tf.data.Dataset.from_tensor_slices((np.asarray(rows, np.int64), contents))
    return images.batches(pairs, load, batch_size, drop_remainder=False)
