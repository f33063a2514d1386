"""Weakly and strongly changed copies of rows as frozen features, each computed once.

A method that wants two views of a row needs the network for each; on frozen features a few copies drawn beforehand do.
Copy k of a row is a function of its content, the change, the seed and k alone, so that neither the order of rows nor
what else is in the table changes it, and the cache of ``training.features`` holds it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from toolkit import inputs
from toolkit.inputs import images, sequences
from toolkit.inputs.augmentation import Augmentation, augment
from toolkit.models import backbones
from toolkit.semisupervised import sequence_views
from toolkit.tables import Table
from toolkit.training import features

if TYPE_CHECKING:
    import keras

WEAK = Augmentation(crop="shift")  # AlexNet's random crop; its reflection where the images allow it
STRONG = Augmentation(crop="shift", rand_augment=0.5)
CONTENT_DIGITS = 15  # of the checksum, in base 16: the largest number of them that an int64 holds


Change = Augmentation | sequences.Augmentation


def changes(table: Table) -> tuple[Change | None, Change]:
    """What is drawn for a weak copy of a row, and what for a strong one; None: the weak view is the row itself."""
    if table.kind == "image":
        return WEAK, STRONG
    return (None if table.kind == "text" else sequence_views.WEAK), sequence_views.STRONG


def draw(backbone: "keras.Model", table: Table, indices: np.ndarray, change: Change, *, copy: int = 0,
         reflect: bool = False, seed: int = 0, batch_size: int = 64) -> np.ndarray:
    """Features of a changed copy of rows of a table.

    Args:
        backbone: from ``backbones.build``.
        table: of any kind.
        indices: (n,) rows of the table.
        change: what is drawn: one of ``changes`` or another.
        copy: its number; each names one draw.
        reflect: mirror one image in two, left to right.
        seed: of the draws.
        batch_size: rows a step.

    Returns:
        (n, F) float32, in the order of ``indices``.

    Raises:
        ToolkitError: if an image can no longer be read.
    """
    preprocessing, title = backbones.preprocessing(backbone), "weak" if change == changes(table)[0] else "strong"
    if table.kind == "image":
        change = dataclasses.replace(change, reflect=reflect)

    def batches(rows: np.ndarray) -> tf.data.Dataset:
        if table.kind == "image":
            return _batches(table, rows, preprocessing, change, copy=copy, seed=seed, batch_size=batch_size)
        return inputs.evaluation_batches(sequence_views.changed(table, rows, change, copy=copy, seed=seed), rows,
                                         preprocessing=preprocessing, batch_size=batch_size)

    return features.through_network(backbone, table, indices, batches, repr(change), f"seed {seed}", f"copy {copy}",
                                    title=f"{title} copy {copy + 1}, features of {backbone.name}")


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
