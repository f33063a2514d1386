"""Training batches for autoencoders: rows of an array in memory, drawn by the number of the step alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from toolkit import ToolkitError, inputs
from toolkit.inputs import shares
from toolkit.models.backbones import Preprocessing
from toolkit.tables import Table
from toolkit.training.progress import Progress

MAX_BYTES = 4 * 2**30
ROWS_AT_ONCE = 256

Batch = dict[str, tf.Tensor]
Draw = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Batch]
"""Clean rows (B, ...) float32, a seed (2,) and the number of the step -> what one training step is given."""


def images(table: Table, preprocessing: Preprocessing, channels: int) -> np.ndarray:
    """All images of a table as the network sees them, in memory.

    Args:
        table: of images.
        preprocessing: of the backbone.
        channels: 3; or 1 for the average of red, green and blue.

    Returns:
        (n, S, S, channels) uint8: what the network sees, rounded.

    Raises:
        ToolkitError: they do not fit into 4 GiB, or one can no longer be read.
    """
    size = preprocessing.image_size
    check_memory(len(table), size, channels, "use a smaller --image-size")
    found, done = np.empty((len(table), size, size, channels), np.uint8), 0
    batches = inputs.evaluation_batches(table, np.arange(len(table)), preprocessing=preprocessing, batch_size=256)

    def read() -> None:
        nonlocal done
        with Progress("reading images", len(table)) as progress:
            for batch in batches:
                pixels = batch.numpy() if channels == 3 else batch.numpy().mean(axis=-1, keepdims=True)
                found[done:done + len(pixels)] = np.clip(np.rint(pixels), 0, 255)
                done += len(pixels)
                progress(done)

    inputs.explained(table, read)
    return found


def check_memory(count: int, size: int, num_bytes: int, advice: str) -> None:
    """Refuses images that do not fit into 4 GiB.

    Args:
        count: of the images.
        size: their side, in pixels.
        num_bytes: of each pixel.
        advice: what to do, the end of the message.

    Raises:
        ToolkitError: then.
    """
    if (needed := count * size**2 * num_bytes) > MAX_BYTES:
        raise ToolkitError(f"{count:,} images of {size} pixels need {needed / 2**30:.1f} GiB in memory, and "
                           f"autoencoders take {MAX_BYTES / 2**30:.0f}: {advice}.")


def stream(values: np.ndarray, draw: Draw, *, batch_size: int, seed: int) -> Callable[[int], tf.data.Dataset]:
    """Endless batches of rows, in a new random order in every pass; no row is left out.

    Args:
        values: (n, ...) uint8, which stands for [0, 1], or float32.
        draw: makes a batch of clean rows; its seed is a function of (seed, step).
        batch_size: rows a batch.
        seed: of the order and of what is drawn.

    Returns:
        First step -> dataset that starts with the batch of that step.
    """
    with tf.device("CPU:0"):
        data = tf.constant(values)
    count = len(values)

    def batches(first_step: int) -> tf.data.Dataset:
        first_pass, passed = divmod(first_step * batch_size, count)

        def one_pass(number: tf.Tensor) -> tf.Tensor:
            order = tf.random.experimental.stateless_shuffle(tf.range(count), _seed(seed, number))
            return order[tf.where(number == first_pass, passed, 0):]

        def made(step: tf.Tensor, rows: tf.Tensor) -> Batch:
            return shares.of_batch(draw(scaled(tf.gather(data, rows)), _seed(seed, step), step))

        rows = tf.data.Dataset.counter(first_pass).map(one_pass).rebatch(batch_size, drop_remainder=True)
        return rows.enumerate(start=first_step).map(made, num_parallel_calls=1, deterministic=True).prefetch(2)

    return batches


def scaled(values: tf.Tensor) -> tf.Tensor:
    """Whole grey levels as float32 in [0, 1]; other values as they are."""
    return tf.cast(values, tf.float32) / 255 if values.dtype == tf.uint8 else values


def mean(values: np.ndarray) -> np.ndarray:
    """Mean row of values (n, d), as ``scaled`` gives them, (d,) float32."""
    return (values.mean(axis=0, dtype=np.float64) / (255 if values.dtype == np.uint8 else 1)).astype(np.float32)


def mean_input(values: np.ndarray, draw: Draw, *, seed: int) -> np.ndarray:
    """Mean row of the input that ``draw`` makes of values (n, d) if each is drawn for once, (d,) float32.

    Where a share of the values is zeroed, that much of their mean is gone. Less the mean of clean rows, the input would
    lie far from zero, and by SGD the weights would grow beyond all bounds.
    """
    total = np.zeros(values.shape[1])
    for start in range(0, len(values), ROWS_AT_ONCE):
        rows = scaled(tf.constant(values[start:start + ROWS_AT_ONCE]))
        total += tf.reduce_sum(draw(rows, _seed(seed, start), tf.constant(0, tf.int64))["input"], axis=0).numpy()
    return (total / len(values)).astype(np.float32)


def centred(draw: Draw, centre: np.ndarray) -> Draw:
    """As ``draw``, the input less a row (d,); what is to be reconstructed stays."""
    def drawn(rows: tf.Tensor, seed: tf.Tensor, step: tf.Tensor) -> Batch:
        batch = draw(rows, seed, step)
        return {**batch, "input": batch["input"] - centre}

    return drawn


def _seed(seed: int, number: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.constant(seed, tf.int64), number])
