"""The parts of a batch that several processes read are the batch."""

import numpy as np
import pytest
import tensorflow as tf

from toolkit import ToolkitError
from toolkit.inputs import images, shares


def batches(count: int, index: int = 0, *, batch_size: int = 6, first: int = 0) -> list[np.ndarray]:
    with shares.reading(index, count):
        rows = images.order(np.arange(7), seed=3, first=first)
        found = images.batches(rows, lambda number, row: tf.stack([number, row]), batch_size)
    return [batch.numpy() for batch in found.take(4)]


@pytest.mark.parametrize("count", [2, 3, 6])
def test_parts_of_all_processes_make_the_batches_of_one(count):
    parts = [batches(count, index, first=6) for index in range(count)]
    for whole, *own in zip(batches(1, first=6), *parts, strict=True):
        np.testing.assert_array_equal(np.concatenate(own), whole)


def test_only_the_rows_of_the_own_part_are_loaded():
    loaded = []

    def load(number, row):
        return tf.numpy_function(lambda value: loaded.append(int(value)) or value, [row], tf.int64, stateful=False)

    with shares.reading(1, 2):
        found = images.batches(tf.data.Dataset.range(8).map(lambda row: (row, row)), load, 4)
    assert [batch.numpy().tolist() for batch in found] == [[2, 3], [6, 7]]
    assert sorted(loaded) == [2, 3, 6, 7]


def test_unequal_parts_are_refused():
    with pytest.raises(ToolkitError, match="multiple of 4"):
        batches(4)


def test_the_devices_of_a_worker_get_consecutive_parts_whatever_the_length():
    lengths = tf.data.Dataset.range(1, 4).map(lambda length: (tf.zeros((4, length)), tf.range(4)))
    spec = tf.TensorSpec((4, None)), tf.TensorSpec((4,), tf.int32)
    batches = tf.data.Dataset.from_generator(lambda: iter(lengths), output_signature=spec)
    found = [(steps.shape, rows.numpy().tolist()) for steps, rows in shares.among(2, batches)]
    assert found == [((2, length), rows) for length in (1, 2, 3) for rows in ([0, 1], [2, 3])]
    with pytest.raises(ToolkitError, match="among its 3 devices"):
        shares.among(3, batches)
