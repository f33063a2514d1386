"""Bootstrap intervals of all metrics from one set of draws.

Units (rows, or groups of rows that belong together) are drawn with replacement; the interval is that between the 2.5 %
and 97.5 % points of the draws. The expected calibration error of a draw is larger than that of the rows themselves
(sampling noise adds to the gaps), so its draws are first moved by the difference of their median from the estimate.

References:
    Efron, Tibshirani (1993), An introduction to the bootstrap. Chapman and Hall. Chapters 12 and 13.
    Field, Welsh (2007), Bootstrapping clustered data. https://doi.org/10.1111/j.1467-9868.2007.00593.x
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from toolkit.evaluation.row_sums import RowSums

WEIGHTS_AT_ONCE = 4_000_000


def intervals(sums: RowSums, estimates: dict[str, float | None], unit_numbers: np.ndarray, *, draws: int,
              seed: int) -> dict[str, list[float] | None]:
    """95 % intervals of every metric.

    Args:
        sums: of the n rows.
        estimates: metrics of the rows themselves; None where undefined.
        unit_numbers: (n,) int, the unit of each row, from ``groups.numbers``.
        draws: number of bootstrap draws.
        seed: of the draws.

    Returns:
        metric -> [low, high]; None where the metric is undefined or there is only one unit, of which nothing can be
        said about spread.
    """
    if unit_numbers.max() == 0:
        return dict.fromkeys(estimates)
    parts = [sums.metrics(weights) for weights in _weights(unit_numbers, draws, seed)]
    return {name: _interval(name, np.concatenate([part[name] for part in parts]), estimate)
            for name, estimate in estimates.items()}


def drawn_sums(sums: np.ndarray, unit_numbers: np.ndarray, *, draws: int, seed: int) -> np.ndarray | None:
    """What sums over rows come to in each draw.

    Args:
        sums: (n, K), of each row.
        unit_numbers: (n,) int, the unit of each row, from ``groups.numbers``.
        draws: number of bootstrap draws.
        seed: of the draws.

    Returns:
        (draws, K) float64; None if there is only one unit, of which nothing can be said about spread.
    """
    units, random = int(unit_numbers.max()) + 1, np.random.default_rng(seed)
    if units == 1:
        return None
    of_units = np.zeros((units, sums.shape[1]))
    np.add.at(of_units, unit_numbers, sums)
    return np.stack([np.bincount(random.integers(0, units, units), minlength=units) @ of_units for _ in range(draws)])


def _interval(name: str, values: np.ndarray, estimate: float | None) -> list[float] | None:
    values = values[~np.isnan(values)]
    if estimate is None or not len(values):
        return None
    if name == "expected_calibration_error":
        values = np.clip(values + estimate - np.median(values), 0, 1)
    low, high = np.quantile(values, [0.025, 0.975])
    return [float(low), float(high)]


def _weights(unit_numbers: np.ndarray, draws: int, seed: int) -> Iterator[np.ndarray]:
    """How often each draw holds each row: (d, n) float64, a part of the draws at a time."""
    random = np.random.default_rng(seed)
    units = int(unit_numbers.max()) + 1
    step = max(1, WEIGHTS_AT_ONCE // len(unit_numbers))
    for start in range(0, draws, step):
        size = min(step, draws - start)
        drawn = random.integers(0, units, (size, units)) + units * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units)
        yield counts[:, unit_numbers].astype(np.float64)
