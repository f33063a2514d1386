"""Batches of rows of different lengths: every row once a pass, like lengths together, a function of seed and step."""

import itertools

import numpy as np

from toolkit.sequences import batches


def rows(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(1)
    return [np.full(random.integers(1, 60), i + 1) for i in range(count)]


def test_every_row_comes_once_a_pass() -> None:
    lengths = np.array([len(row) for row in rows(40)])
    found = batches.order(lengths, 8, seed=3, number=0)
    assert sorted(np.concatenate(found).tolist()) == list(range(40))
    assert [batch.tolist() for batch in batches.order(lengths, 8, seed=3, number=1)] != [b.tolist() for b in found]
    assert max(np.ptp(lengths[batch]) for batch in found) < np.ptp(lengths)


def test_fewer_rows_than_a_batch_are_one_batch() -> None:
    assert [sorted(batch.tolist()) for batch in batches.order(np.ones(3), 8, seed=0, number=0)] == [[0, 1, 2]]


def test_a_stream_goes_on_where_another_stopped() -> None:
    inputs = rows(20)
    stream = batches.training(inputs, inputs, batch_size=4, seed=5)
    whole = list(itertools.islice(stream(0).as_numpy_iterator(), 13))
    rest = list(itertools.islice(stream(7).as_numpy_iterator(), 6))
    for expected, found in zip(whole[7:], rest, strict=True):
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(one, other)


def test_weights_are_zero_at_padding_only() -> None:
    inputs = rows(9)
    tokens, targets, weights = next(batches.training(inputs, inputs, batch_size=3, seed=0)(0).as_numpy_iterator())
    np.testing.assert_array_equal(weights, (tokens > 0).astype(np.float32))
    np.testing.assert_array_equal(tokens, targets)
    assert tokens.shape[1] % batches.MULTIPLE == 0


def test_evaluation_gives_every_row_once() -> None:
    inputs, seen = rows(11), []
    for numbers, padded in batches.evaluation(inputs, 4):
        seen += numbers.tolist()
        assert [int((row > 0).sum()) for row in padded] == [len(inputs[i]) for i in numbers]
    assert sorted(seen) == list(range(11))
