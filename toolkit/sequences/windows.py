"""Windows of series to forecast: what was known, and what came; nothing of the future is in the former.

A series of T steps is cut in time. Its last 20 % are for testing, the 10 % before for validation where there are
enough windows, and what is left is for training: there alone the scale of the series and every weight are fitted, and
no training window reaches over a border. Testing rolls the origin: at every step of the last part the values before it
are known, and as many steps as the horizon has are forecast. A missing value is filled with the one before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit import ToolkitError
from toolkit.tables.time_series import TimeSeries

TEST_RATIO, VALIDATION_RATIO = 0.2, 0.1
ROUNDING = 1e-12  # of the mean: a standard deviation below it is that of one value many times
FEWEST_FOR_VALIDATION = 200  # training windows below which none are held out
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Windows:
    """k windows, in the order of series and time.

    Attributes:
        series: (k,) int, number of the series.
        origins: (k,) int, position of the first step to forecast.
        known: (k, L) float64, the values before it, as multiples of the scale from the mean.
        wanted: (k, H) float64, the values from it on, likewise; NaN where missing.
    """

    series: np.ndarray
    origins: np.ndarray
    known: np.ndarray
    wanted: np.ndarray

    def __len__(self) -> int:
        return len(self.series)

    @property
    def num_known(self) -> int:
        """How many windows want a value that is known."""
        return int((~np.isnan(self.wanted)).any(axis=1).sum())

    def complete(self) -> Windows:
        """The windows of which no wanted value is missing."""
        kept = ~np.isnan(self.wanted).any(axis=1)
        return Windows(self.series[kept], self.origins[kept], self.known[kept], self.wanted[kept])


@dataclass(frozen=True, eq=False)
class Cut:
    """The series cut in time.

    Attributes:
        values: N arrays (T,), as they stand, filled.
        missing: N arrays (T,) bool.
        borders: (N, 2) int, where validation and test begin.
        means: (N,) of the training part.
        scales: (N,) standard deviations of the training part.
        parts: "train", "validation", "test" -> windows.
    """

    values: tuple[np.ndarray, ...]
    missing: tuple[np.ndarray, ...]
    borders: np.ndarray
    means: np.ndarray
    scales: np.ndarray
    parts: dict[str, Windows]

    def split(self, series: int, position: int) -> str:
        """The part that a step is in."""
        return PARTS[int(np.searchsorted(self.borders[series], position, side="right"))]


def cut(table: TimeSeries, *, lags: int, horizon: int) -> Cut:
    """Cuts the series of a table into windows.

    Args:
        table: the series.
        lags: L, values before the origin that a forecast may use.
        horizon: H, steps to forecast.

    Raises:
        ToolkitError: a series is too short, has no value, or does not change in its training part.
    """
    rows = [filled(values) for values in table.values]
    lengths = np.array([len(values) for values, _ in rows])
    test = lengths - np.maximum(horizon, np.round(TEST_RATIO * lengths).astype(int))
    for name, length, border in zip(table.names, lengths, test):
        if border < lags + horizon:
            raise ToolkitError(f"{table.source}: {_named(name)} has {length} steps from its first value on, and {lags} "
                               f"lags and a horizon of {horizon} need {fewest_steps(lags, horizon)}: lower --lags or "
                               f"--horizon.")
    validation = test - np.maximum(horizon, np.round(VALIDATION_RATIO * lengths).astype(int))
    if (validation - lags - horizon + 1).clip(0).sum() < FEWEST_FOR_VALIDATION:
        validation = test
    borders = np.stack([validation, test], axis=1)
    pasts = [values[:border] for (values, _), border in zip(rows, validation)]
    means, scales = (np.array([measure(past) for past in pasts]) for measure in (np.mean, np.std))
    varies = scales > ROUNDING * np.abs(means)  # false where there is no value at all
    if not varies.all():
        number = int(np.argmin(varies))
        flat = f"does not change in its first {validation[number]} steps"
        what = "has no value" if np.isnan(scales[number]) else flat
        raise ToolkitError(f"{table.source}: {_named(table.names[number])} {what}, so there is nothing to learn: leave "
                           f"it out.")
    found = Cut(tuple(values for values, _ in rows), tuple(missing for _, missing in rows), borders, means, scales,
                {})
    ranges = {"train": (np.full(len(lengths), lags), validation), "validation": (validation, test),
              "test": (test, lengths)}
    found.parts.update({part: windows(found, *limits, lags=lags, horizon=horizon) for part, limits in ranges.items()})
    return found


def fewest_steps(lags: int, horizon: int) -> int:
    """Steps of a series that leave one training window before the test part.

    Args:
        lags: known values of a window.
        horizon: wanted values of a window.

    Example:
        >>> fewest_steps(8, 1), fewest_steps(8, 10)
        (11, 28)
    """
    steps = lags + 2 * horizon
    while steps - max(horizon, round(TEST_RATIO * steps)) < lags + horizon:
        steps += 1
    return steps


def _named(name: str) -> str:
    return f"series {name!r}" if name else "the series"


def windows(found: Cut, starts: Sequence[int], ends: Sequence[int], *, lags: int, horizon: int) -> Windows:
    """The windows whose wanted steps lie from the start to before the end, of each series.

    Args:
        found: the series.
        starts: (N,) first step that may be wanted; there are no windows before step ``lags``.
        ends: (N,) the step after the last that may be.
        lags: L.
        horizon: H; steps beyond the end of a series are wanted, but missing.
    """
    series, origins, known, wanted = [], [], [], []
    for number, (values, missing) in enumerate(zip(found.values, found.missing)):
        scaled = (values - found.means[number]) / found.scales[number]
        future = np.concatenate([np.where(missing, np.nan, scaled), np.full(horizon, np.nan)])
        for origin in range(max(int(starts[number]), lags), int(ends[number]) - horizon + 1):
            series.append(number)
            origins.append(origin)
            known.append(scaled[origin - lags:origin])
            wanted.append(future[origin:origin + horizon])
    return Windows(np.array(series, np.int64), np.array(origins, np.int64), np.array(known).reshape(-1, lags),
                   np.array(wanted).reshape(-1, horizon))


def filled(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values from the first known one on, each missing one as the one before it; and which were missing.

    Args:
        values: (T,), NaN where missing.
    """
    first = int(np.argmax(~np.isnan(values)))
    values = values[first:]
    missing = np.isnan(values)
    last = np.maximum.accumulate(np.where(missing, 0, np.arange(len(values))))
    return values[last], missing
