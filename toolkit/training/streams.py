"""What ``loop.fit`` is given: an endless stream of training batches, a function of the first step; validation rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from toolkit import ToolkitError, inputs
from toolkit.inputs import augmentation, sequences
from toolkit.models.backbones import Preprocessing
from toolkit.training import workers
from toolkit.training.loop import Validation
from toolkit.training.settings import Settings

if TYPE_CHECKING:
    from toolkit.tables import Table


def labelled(table: "Table", preprocessing: Preprocessing, settings: Settings, *, reflect: bool,
            seed: int) -> Callable[[int], tf.data.Dataset]:
    """First step -> endless batches (inputs, one-hot targets, weights) of the labelled training rows.

    Raises:
        ToolkitError: if texts or series shall be mixed, or words hidden from a network that knows pieces of words.
    """
    rows = table.labelled("train")
    labels, num_classes = table.labels[rows], len(table.class_names)
    weights = np.ones(num_classes, np.float32)
    if settings.class_weights:
        weights = (len(labels) / (num_classes * np.bincount(labels, minlength=num_classes))).astype(np.float32)
    if table.kind == "image":
        chosen = augmentation.Augmentation(crop=settings.crop, reflect=reflect, colour=settings.colour,
                                           rand_augment=settings.rand_augment)
    else:
        chosen = sequences.Augmentation(settings.word_dropout, settings.jitter, settings.scaling, settings.window)
        if settings.mixup:
            raise ToolkitError(f"--mixup mixes images, and the rows of {table.source} are of kind {table.kind}: leave "
                               "it out.")
        pieces = table.kind == "text" and not isinstance(preprocessing.vectorizer, keras.layers.TextVectorization)
        if settings.word_dropout and pieces:
            raise ToolkitError("--word-dropout hides words of the table's own vocabulary, and a pretrained text "
                               "encoder knows pieces of words: leave it out.")

    def targets(step: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        images, label = batch
        one_hot, weight = tf.one_hot(label, num_classes), tf.gather(weights, label)
        if settings.mixup:
            images, one_hot, weight = augmentation.mix_up(images, one_hot, weight, alpha=settings.mixup,
                                                          seed=tf.stack([tf.constant(seed, tf.int64), step]))
        return images, one_hot, weight

    def batches(first_step: int) -> tf.data.Dataset:
        stream = inputs.training_batches(table, rows, preprocessing=preprocessing, batch_size=settings.batch_size,
                                         augmentation=chosen, seed=seed, first_step=first_step)
        return stream.enumerate(start=first_step).map(targets, num_parallel_calls=1, deterministic=True).prefetch(2)

    return batches


def validation(table: "Table", preprocessing: Preprocessing, settings: Settings) -> Validation | None:
    """The labelled validation rows, if there are any."""
    rows = table.labelled("validation")
    if not len(rows):
        return None
    images = inputs.evaluation_batches(table, workers.own(rows), preprocessing=preprocessing,
                                       batch_size=settings.batch_size)
    return Validation(images, table.labels[rows], settings.monitor, settings.patience)
