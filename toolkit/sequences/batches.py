"""Rows of different lengths as padded batches, of like lengths together (see ``inputs.buckets``).

Which rows a batch holds is a function of the seed and the number of the step, so that a run that was stopped goes on
with the batch that it would have had.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from toolkit.inputs import buckets, shares

MULTIPLE = 8  # lengths are rounded up to it, so that few graphs and buffers are needed

Rows = Sequence[np.ndarray]


def padded(rows: Rows) -> np.ndarray:
    """Rows (T_i,) or (T_i, F) side by side, (B, T) or (B, T, F), with zeros after their ends.

    Example:
        >>> padded([np.array([1, 2]), np.array([3])]).tolist()
        [[1, 2, 0, 0, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0, 0, 0]]
    """
    length = -(-max(map(len, rows)) // MULTIPLE) * MULTIPLE
    found = np.zeros((len(rows), length, *rows[0].shape[1:]), rows[0].dtype)
    for number, row in enumerate(rows):
        found[number, :len(row)] = row
    return found


def training(inputs: Rows, targets: Rows, *, batch_size: int, seed: int) -> Callable[[int], tf.data.Dataset]:
    """First step -> endless batches of ``evenly`` weighted steps (inputs (B, T), targets (B, T), weights (B, T)).

    Args:
        inputs: n rows of token numbers from 1.
        targets: n rows of class numbers, as long.
        batch_size: rows a step.
        seed: of the order.
    """
    whole = padded_batches(inputs, targets, batch_size=batch_size, seed=seed)
    return lambda first_step: whole(first_step).map(evenly)


def evenly(inputs: Any, targets: tf.Tensor, known: tf.Tensor) -> tuple[Any, tf.Tensor, tf.Tensor]:
    """This process's part of a batch, its weights such that the mean over all places is that over the known ones.

    Divided among replicas, workers or parts of a step, their means still add up to that of the whole batch.

    Args:
        inputs: (B, ...), in any structure.
        targets: (B, K).
        known: (B, K) float32, 1 where a place counts, else 0.
    """
    weights = known * tf.cast(tf.size(known), tf.float32) / tf.reduce_sum(known)
    return shares.of_batch((inputs, targets, weights))


def padded_batches(inputs: Rows, targets: Rows, *, batch_size: int, seed: int) -> Callable[[int], tf.data.Dataset]:
    """First step -> endless batches (inputs (B, T), targets (B, T), known (B, T): 0 at padding) of all processes.

    Args:
        inputs: n rows of token numbers from 1.
        targets: n rows of class numbers, as long.
        batch_size: rows a step.
        seed: of the order.
    """
    lengths = np.array([len(row) for row in inputs])

    def batch(rows: list[int]) -> tuple[np.ndarray, ...]:
        tokens = padded([inputs[i] for i in rows])
        return (tokens.astype(np.int32), padded([targets[i] for i in rows]).astype(np.int32),
                (np.arange(tokens.shape[1]) < lengths[rows][:, None]).astype(np.float32))

    signature = tuple(tf.TensorSpec((batch_size, None), kind) for kind in (tf.int32, tf.int32, tf.float32))
    return endless(batch, buckets.Order(lengths, batch_size, seed), signature)


def endless(batch: Callable[[list[int]], tuple[np.ndarray, ...]], order: buckets.Order,
            signature: tuple[tf.TensorSpec, ...]) -> Callable[[int], tf.data.Dataset]:
    """First step -> endless batches, those of all processes.

    Args:
        batch: positions of rows -> its arrays.
        order: which rows a batch holds.
        signature: of the arrays, (B, ...) each.

    Raises:
        ToolkitError: by what it gives, if several processes cannot have equal parts of a batch.
    """
    def stream(first_step: int) -> Iterator[tuple[np.ndarray, ...]]:
        for step in itertools.count(first_step):
            yield batch([row for _, row in order.batch(step)])

    def begun(first_step: int) -> tf.data.Dataset:
        shares.size(signature[0].shape[0])  # here an error is one sentence
        return tf.data.Dataset.from_generator(lambda: stream(int(first_step)), output_signature=signature).prefetch(2)

    return begun


def evaluation(inputs: Rows, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(positions of rows, their padded inputs), rows of like lengths together, each once."""
    shortest_first = np.argsort([len(row) for row in inputs], kind="stable")
    for start in range(0, len(inputs), batch_size):
        rows = shortest_first[start:start + batch_size]
        yield rows, padded([inputs[i] for i in rows])
