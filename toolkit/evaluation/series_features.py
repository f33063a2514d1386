"""Series as rows of equally many numbers: missing values filled in, all of one length, each channel of one size.

What is missing between two values of a channel is interpolated, before the first and after the last the nearest value
is repeated, and a channel without any value is the mean of the training rows. Other lengths are resampled linearly to
the longest of the training rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_NUMBERS = 8192
"""Numbers of a series; longer ones are resampled to fewer steps."""


@dataclass(frozen=True, eq=False)
class Frame:
    """What training rows say of series.

    Attributes:
        length: of every row, in time steps.
        means: (channels,), where nothing is known.
        scales: (channels,) standard deviations, 1 where a channel is constant.
    """

    length: int
    means: np.ndarray
    scales: np.ndarray

    def __call__(self, series: Sequence[np.ndarray]) -> np.ndarray:
        """Series (T, C) of any lengths as (n, length, C) float32."""
        result = np.empty((len(series), self.length, len(self.means)), np.float32)
        for row, values in enumerate(series):
            result[row] = (self._resampled(values) - self.means) / self.scales
        return result

    def flat(self, series: Sequence[np.ndarray]) -> np.ndarray:
        """The same as (n, length * C) float32."""
        return self(series).reshape(len(series), -1)

    def _resampled(self, values: np.ndarray) -> np.ndarray:
        """(T, C) -> (length, C), without gaps."""
        steps = np.linspace(0, max(len(values) - 1, 0), self.length)
        result = np.tile(self.means, (self.length, 1))
        for channel in range(values.shape[1]):
            known = np.flatnonzero(~np.isnan(values[:, channel]))
            if len(known):
                result[:, channel] = np.interp(steps, known, values[known, channel])
        return result


def frame(series: Sequence[np.ndarray]) -> Frame:
    """The frame of training rows.

    Args:
        series: n >= 1 of (T, C) float32, NaN for missing; C is the same for all.

    Example:
        >>> known = frame([np.array([[0.0], [np.nan], [4.0]]), np.array([[2.0], [2.0]])])
        >>> known.length, known.flat([np.array([[0.0], [np.nan], [4.0]])]).astype(float).round(2).tolist()
        (3, [[-1.41, 0.0, 1.41]])
    """
    channels = series[0].shape[1]
    steps = np.concatenate([np.asarray(values, np.float64) for values in series])
    means, scales = np.zeros(channels), np.ones(channels)
    for channel in range(channels):
        known = steps[~np.isnan(steps[:, channel]), channel]
        if len(known):
            means[channel], scales[channel] = known.mean(), known.std() or 1.0
    longest = max(len(values) for values in series)
    return Frame(max(1, min(longest, MOST_NUMBERS // channels)), means, scales)
