"""Batches of rows of different lengths: every row once a pass, like lengths together, a function of seed and step."""

import itertools

import numpy as np
import pytest

from toolkit import ToolkitError
from toolkit.inputs import shares
from toolkit.sequences import batches


def rows(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(1)
    return [np.full(random.integers(1, 60), i + 1) for i in range(count)]


def test_no_row_comes_twice_in_a_pass_and_like_lengths_together() -> None:
    inputs = rows(400)
    stream = batches.training(inputs, inputs, batch_size=8, seed=3)(0)
    found = [tokens for tokens, _, _ in itertools.islice(stream.as_numpy_iterator(), 48)]  # whole windows
    assert len(set(np.concatenate([tokens[:, 0] for tokens in found]))) == 48 * 8
    lengths = [(tokens > 0).sum(axis=1) for tokens in found]
    assert np.mean([np.ptp(one) for one in lengths]) < 20  # of 60


def test_fewer_rows_than_a_batch_are_repeated() -> None:
    tokens, _, _ = next(batches.training(rows(3), rows(3), batch_size=6, seed=0)(0).as_numpy_iterator())
    assert sorted(tokens[:, 0].tolist()) == [1, 1, 2, 2, 3, 3]


def test_a_stream_goes_on_where_another_stopped() -> None:
    inputs = rows(20)
    stream = batches.training(inputs, inputs, batch_size=4, seed=5)
    whole = list(itertools.islice(stream(0).as_numpy_iterator(), 13))
    rest = list(itertools.islice(stream(7).as_numpy_iterator(), 6))
    for expected, found in zip(whole[7:], rest, strict=True):
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(one, other)


def test_weights_are_zero_at_padding_and_their_mean_is_one() -> None:
    inputs = rows(9)
    tokens, targets, weights = next(batches.training(inputs, inputs, batch_size=3, seed=0)(0).as_numpy_iterator())
    np.testing.assert_allclose(weights, (tokens > 0) * tokens.size / (tokens > 0).sum(), rtol=1e-6)
    np.testing.assert_array_equal(tokens, targets)
    assert tokens.shape[1] % batches.MULTIPLE == 0


def test_the_parts_of_several_processes_are_the_batch() -> None:
    """Padded and weighted as the whole is, so that the means of the parts add up to its mean over known steps."""
    inputs, parts = rows(9), []
    stream = batches.training(inputs, inputs, batch_size=4, seed=0)
    for index in (0, 1):
        with shares.reading(index, 2):
            parts.append(next(stream(3).as_numpy_iterator()))
    for whole, *halves in zip(next(stream(3).as_numpy_iterator()), *parts, strict=True):
        np.testing.assert_array_equal(whole, np.concatenate(halves))


def test_a_batch_that_processes_cannot_share_is_refused_in_words() -> None:
    with shares.reading(0, 2), pytest.raises(ToolkitError, match="5 rows cannot be divided among 2 workers"):
        batches.training(rows(9), rows(9), batch_size=5, seed=0)(0)


def test_evaluation_gives_every_row_once() -> None:
    inputs, seen = rows(11), []
    for numbers, padded in batches.evaluation(inputs, 4):
        seen += numbers.tolist()
        assert [int((row > 0).sum()) for row in padded] == [len(inputs[i]) for i in numbers]
    assert sorted(seen) == list(range(11))
