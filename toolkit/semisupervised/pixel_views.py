"""Batches of pixel space: labelled images, and beside each of them unlabelled ones in two views.

An element is ({labelled (B, S, S, 3), weak and strong (B, U, S, S, 3), rows (B, U), shares and shift where images are
mixed}, one-hot labels (B, C), weights (B,)): U unlabelled images go with each labelled one, so that any number of
replicas divides all of it alike. Labelled rows and pool are two endless streams whose position is the step alone, and
each draw is a function of (seed, pass, row): a run resumes at any step without a state of theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.inputs import images, shares
from toolkit.inputs.augmentation import Augmentation, augment
from toolkit.models.backbones import Preprocessing
from toolkit.training import Settings, streams

if TYPE_CHECKING:
    from toolkit.tables import Table

PLAIN = Augmentation()
STRONG = Augmentation(rand_augment=0.5, erase=0.5)  # with the crop and the reflection of the weak view
View = Callable[[tf.Tensor, tf.Tensor, int], tf.Tensor]


@dataclass(frozen=True, eq=False)
class Views:
    """How the unlabelled images of a batch are shown.

    Attributes:
        weak: (image (R, R, 3), seed (2,), S) -> (S, S, 3).
        strong: likewise.
        per_label: U, unlabelled images a labelled one.
        mixing: alpha of the Beta distribution of ``shares`` (B, 1 + 2 U), in [0.5, 1], the part that an image keeps
            where it is mixed with the one ``shift`` (B,) places on, of the 1 + 2 U of a labelled image; 0: no mixing.
    """

    weak: View
    strong: View
    per_label: int
    mixing: float = 0.0


def gentle(settings: Settings, *, reflect: bool) -> Augmentation:
    """The augmentation of labelled images and of weak views.

    Args:
        settings: crop, colour and rand_augment.
        reflect: whether images may be mirrored.
    """
    return Augmentation(crop=settings.crop, reflect=reflect, colour=settings.colour, rand_augment=settings.rand_augment)


def changed(augmentation: Augmentation) -> View:
    """The view that an augmentation draws."""
    def view(image: tf.Tensor, seed: tf.Tensor, size: int) -> tf.Tensor:
        return augment(image, seed, augmentation, size)

    return view


def strongly(weak: Augmentation, *, strength: float = 1.0) -> View:
    """The strong view: all of the weak one, two operations of RandAugment, and a grey square (Cutout).

    Args:
        weak: the augmentation of the weak view.
        strength: factor on the strength of ``STRONG``, in [0, 2].
    """
    return changed(replace(STRONG, crop=weak.crop, reflect=weak.reflect, colour=weak.colour,
                           rand_augment=min(1.0, strength * STRONG.rand_augment),
                           erase=min(1.0, strength * STRONG.erase)))


def noise(image: tf.Tensor, seed: tf.Tensor, size: int) -> tf.Tensor:
    """A direction in place of a view: (S, S, 3) independent normal numbers."""
    return tf.random.stateless_normal((size, size, 3), seed)


def batches(table: "Table", pool: np.ndarray, preprocessing: Preprocessing, settings: Settings, views: Views, *,
            reflect: bool, seed: int) -> Callable[[int], tf.data.Dataset]:
    """What ``loop.fit`` is given: first step -> endless batches as the head of this module describes.

    Args:
        table: of images, with labelled training rows.
        pool: (p,) its unlabelled rows to learn from, at least one; ``rows`` of a batch are positions in it.
        preprocessing: of the backbone.
        settings: batch_size is B; crop, colour, rand_augment and class_weights are used.
        views: of the unlabelled images.
        reflect: whether labelled images may be mirrored.
        seed: of all draws.

    Raises:
        ToolkitError: if the rows are no images.
    """
    if table.kind != "image":
        raise ToolkitError(f"{table.source}: rows of kind {table.kind!r} have no views in pixel space; give images.")
    labelled = streams.labelled(table, preprocessing, replace(settings, mixup=0.0), reflect=reflect, seed=seed)
    size = settings.batch_size * views.per_label
    read = images.reader(table, pool)
    positions = np.full(len(table), -1, np.int32)
    positions[pool] = np.arange(len(pool))

    def load(number: tf.Tensor, row: tf.Tensor) -> dict[str, tf.Tensor]:
        image = images.resize(read(row), preprocessing)
        drawn = {name: view(image, images.row_seed(seed, number, row, place), preprocessing.image_size)
                 for place, (name, view) in enumerate((("weak", views.weak), ("strong", views.strong)), start=1)}
        return {**drawn, "rows": tf.gather(positions, row)}

    def joined(step: tf.Tensor, both: tuple[Any, dict[str, tf.Tensor]]) -> tuple:
        (image, target, weight), unlabelled = both
        of_label = {name: tf.reshape(value, (shares.size(settings.batch_size), views.per_label, *value.shape[1:]))
                    for name, value in unlabelled.items()}
        mixing = shares.of_batch(_mixing(settings.batch_size, views, seed, step)) if views.mixing else {}
        return {"labelled": image, **of_label, **mixing}, target, weight

    def stream(first_step: int) -> tf.data.Dataset:
        order = images.order(pool, seed=seed, first=first_step * size)
        pairs = tf.data.Dataset.zip((labelled(first_step), images.batches(order, load, size)))
        return pairs.enumerate(start=first_step).map(joined, num_parallel_calls=1, deterministic=True).prefetch(2)

    return stream


def _mixing(batch_size: int, views: Views, seed: int, step: tf.Tensor) -> dict[str, tf.Tensor]:
    """Shares and shift of a step; see ``Views.mixing``."""
    group = 1 + 2 * views.per_label
    seeds = tf.unstack(tf.random.split(tf.stack([tf.constant(seed, tf.int64), step]), 2))
    draws = tf.random.stateless_gamma((2, batch_size, group), seeds[0], tf.constant(views.mixing, tf.float64),
                                      dtype=tf.float64)
    share = tf.cast(tf.math.divide_no_nan(draws[0], draws[0] + draws[1]), tf.float32)
    shift = tf.random.stateless_uniform((batch_size,), seeds[1], 1, group, tf.int32)
    return {"shares": tf.maximum(share, 1 - share), "shift": shift}
