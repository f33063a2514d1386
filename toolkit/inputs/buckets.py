"""Which rows are in which training batch, where batches shall hold sequences of like length.

The stream of rows is that of all passes, one after another. It is cut into windows of some fifty batches, each window
is sorted by length before batches are cut from it, and the batches of a window are shuffled again: all of it a function
of the seed and the place in the stream.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

WINDOW_BATCHES = 50
_STREAM = 2  # what random numbers are drawn for


class Order:
    """Which rows are in which training batch.

    Args:
        lengths: (n,) steps of each row.
        batch_size: rows a batch.
        seed: of the shuffling.
        window_batches: batches among which rows are sorted by length; 1: not at all. Never more than a quarter pass.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, window_batches: int = WINDOW_BATCHES
                 ) -> None:
        self._lengths, self._size, self._seed = np.asarray(lengths), batch_size, seed
        self._window = max(1, min(window_batches, len(self._lengths) // (4 * batch_size)))
        self._shuffled = functools.lru_cache(4)(self._one_pass)
        self._batches_of = functools.lru_cache(2)(self._one_window)

    def batch(self, step: int) -> list[tuple[int, int]]:
        """The rows of a batch: (number of the pass, position in ``lengths``) each."""
        window, number = divmod(step, self._window)
        return self._batches_of(window)[number]

    def _one_window(self, window: int) -> list[list[tuple[int, int]]]:
        count = self._window * self._size
        places = np.arange(window * count, (window + 1) * count)
        passes, within = np.divmod(places, len(self._lengths))
        rows = np.array([self._shuffled(int(number))[place] for number, place in zip(passes, within, strict=True)])
        generator = np.random.default_rng((self._seed, window, _STREAM))
        by_length = np.argsort(self._lengths[rows], kind="stable") if self._window > 1 else np.arange(count)
        batches = by_length.reshape(self._window, self._size)[generator.permutation(self._window)]
        return [[(int(passes[place]), int(rows[place])) for place in batch] for batch in batches]

    def _one_pass(self, number: int) -> np.ndarray:
        return np.random.default_rng((self._seed, number, _STREAM, 1)).permutation(len(self._lengths))
