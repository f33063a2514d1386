"""Batches of like length, in no order of length, a function of the seed and the place."""

import numpy as np

from toolkit.inputs.buckets import Order


def test_buckets_save_most_of_the_padding() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 4000)

    def padded(order: Order) -> int:
        return sum(16 * max(lengths[row] for _, row in order.batch(step)) for step in range(250))

    assert padded(Order(lengths, 16, 0)) < 1.05 * lengths.sum() < 0.6 * padded(Order(lengths, 16, 0, window_batches=1))


def test_batches_of_a_window_come_in_no_order_of_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 4000)
    longest = [max(lengths[row] for _, row in Order(lengths, 16, 0).batch(step)) for step in range(50)]
    assert abs(np.corrcoef(longest, range(50))[0, 1]) < 0.5


def test_few_rows_are_not_sorted() -> None:
    order = Order(np.arange(12), 4, 0)
    assert [len(set(row for _, row in order.batch(step))) for step in range(3)] == [4, 4, 4]
    assert {row for step in range(3) for _, row in order.batch(step)} == set(range(12))


def test_the_order_depends_on_the_seed_alone() -> None:
    lengths = np.random.default_rng(0).integers(1, 9, 600)
    assert Order(lengths, 8, 1).batch(30) == Order(lengths, 8, 1).batch(30) != Order(lengths, 8, 2).batch(30)
