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


def of_batch(values: Any) -> Any:
    """This process's part of tensors (B, ...) of one batch, in any structure."""
    index, count = _part.get()

    def part(value: tf.Tensor) -> tf.Tensor:
        rows = size(value.shape[0])
        return value[index * rows:(index + 1) * rows]

    return values if count == 1 else tf.nest.map_structure(part, values)


def of_rows(rows: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """This process's part of an endless stream of rows, from which batches are cut one after another."""
    if _part.get()[1] == 1:
        return rows
    return rows.batch(batch_size, drop_remainder=True).map(lambda *row: of_batch(row)).unbatch()
