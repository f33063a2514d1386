"""The part of each batch that this process reads, where several processes train one model.

``loop.fit`` says which part it is while it asks for batches, so that no recipe need know: a pipeline that is made
meanwhile reads the rows of its own part, and of no other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import tensorflow as tf

from toolkit import ToolkitError

_part: ContextVar[tuple[int, int]] = ContextVar("part", default=(0, 1))


@contextlib.contextmanager
def reading(index: int, count: int) -> Iterator[None]:
    """Pipelines made within read part ``index`` of ``count`` equal parts of each batch."""
    token = _part.set((index, count))
    try:
        yield
    finally:
        _part.reset(token)


def size(batch_size: int) -> int:
    """Rows of a batch of all processes that this one reads.

    Raises:
        ToolkitError: if the parts are not equal.
    """
    count = _part.get()[1]
    if batch_size % count:
        raise ToolkitError(f"A batch of {batch_size} rows cannot be divided among {count} workers: choose a "
                           f"--batch-size that is a multiple of {count}.")
    return batch_size // count


def rows(batch_size: int) -> slice:
    """Which rows of a batch of all processes this one reads; an error as of ``size``."""
    index, own = _part.get()[0], size(batch_size)
    return slice(index * own, (index + 1) * own)


def of_batch(values: Any) -> Any:
    """This process's part of tensors (B, ...) of one batch, in any structure."""
    if _part.get()[1] == 1:
        return values
    return tf.nest.map_structure(lambda value: value[rows(value.shape[0])], values)


def of_rows(stream: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """This process's part of an endless stream of rows, from which batches are cut one after another."""
    if _part.get()[1] == 1:
        return stream
    return stream.batch(batch_size, drop_remainder=True).map(lambda *row: of_batch(row)).unbatch()


def among(count: int, batches: tf.data.Dataset) -> tf.data.Dataset:
    """Batches (B, ...), in any structure, each cut into ``count`` consecutive ones (B / count, ...).

    Raises:
        ToolkitError: if the parts are not equal.

    Example:
        >>> [part.numpy().tolist() for part in among(2, tf.data.Dataset.range(8).batch(4, drop_remainder=True))]
        [[0, 1], [2, 3], [4, 5], [6, 7]]
    """
    return batches if count == 1 else batches.rebatch(rows_a_device(batches, count), drop_remainder=True)


def rows_a_device(batches: tf.data.Dataset, count: int) -> int:
    """B / count, of batches (B, ...) in any structure for ``count`` devices of this process.

    Raises:
        ToolkitError: if the parts are not equal.
    """
    own = tf.nest.flatten(batches.element_spec)[0].shape[0]
    if own % count:
        raise ToolkitError(f"The {own} rows that a process has of each batch cannot be divided among its {count} "
                           f"devices: choose another --batch-size.")
    return own // count
