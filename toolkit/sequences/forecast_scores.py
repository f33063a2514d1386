r"""Scores of forecasts, and whether one forecaster is better than another.

.. math:: R^2 = 1 - \frac{\sum (y - \hat y)^2}{\sum (y - \bar y)^2}, \qquad \mathrm{MAE} = \mathrm{mean}\, |y - \hat y|

over all origins and steps, with the mean of the test values themselves (of each series). Forecasts from neighbouring
origins share steps, so intervals draw blocks of as many origins in a row as the horizon has steps (a circular block
bootstrap). Series of fewer than three blocks are drawn whole where there are three of them, and else stay as they are;
where nothing can be drawn there is no interval.

References:
    Politis and Romano 1992, A circular block-resampling procedure for stationary data.
"""

from __future__ import annotations

from typing import Any

import numpy as np

FEWEST_BLOCKS = 3
DRAWS = 2000
DRAWN_AT_ONCE = 1_000_000  # blocks


def scores(wanted: np.ndarray, forecast: np.ndarray, series: np.ndarray, units: np.ndarray, *, seed: int = 0
           ) -> dict[str, Any]:
    """Scores k forecasts of H steps.

    Args:
        wanted: (k, H), NaN where missing, in the scale of each series.
        forecast: (k, H).
        series: (k,) int, the series of each.
        units: (k,) float, what one of the scale is in the unit of the mean absolute error.
        seed: of the bootstrap.

    Returns:
        dict for JSON: count (of values), origins, r2 (None where the values do not change), mean_absolute_error,
        by_step (of each step r2 and mean_absolute_error), intervals (95 %).
    """
    parts = _parts(wanted, forecast, series, units)
    return {"count": int((~np.isnan(wanted)).sum()), "origins": len(wanted),
            **_plain(_metrics(parts.sum(axis=(0, 2))[None])),
            "by_step": [_plain(_metrics(step[None])) for step in parts.sum(axis=0).T],
            "intervals": _intervals(parts.sum(axis=2), series, wanted.shape[1], seed)}


def compare(wanted: np.ndarray, first: np.ndarray, second: np.ndarray, series: np.ndarray, units: np.ndarray, *,
            first_name: str, second_name: str, seed: int = 0) -> dict[str, Any]:
    """Compares two forecasters by the mean absolute error on the same origins.

    Args:
        wanted: (k, H), as for ``scores``.
        first: (k, H).
        second: (k, H).
        series: (k,).
        units: (k,).
        first_name: in words.
        second_name: in words.
        seed: of the bootstrap.

    Returns:
        dict for JSON: first, second, difference (of the errors, first minus second; None where no test value is
        known), interval95 or None, code
        ("better", "worse" or "not_distinguishable"), sentence.
    """
    known = ~np.isnan(wanted).all(axis=1)
    if not known.any():
        return {"first": first_name, "second": second_name, "difference": None, "interval95": None,
                "code": "not_distinguishable",
                "sentence": f"{first_name} cannot be told from {second_name}: no test value is known."}
    wanted, first, second, series, units = (values[known] for values in (wanted, first, second, series, units))
    parts = [_parts(wanted, forecast, series, units).sum(axis=2) for forecast in (first, second)]
    errors = [float(_metrics(part.sum(axis=0)[None])["mean_absolute_error"][0]) for part in parts]
    drawn = _drawn(np.concatenate(parts, axis=1), series, wanted.shape[1], seed)
    difference = errors[0] - errors[1]
    interval, code = None, "not_distinguishable"
    if drawn is not None:
        values = np.subtract(*(_metrics(part)["mean_absolute_error"] for part in np.split(drawn, 2, axis=1)))
        interval = [float(bound) for bound in np.nanquantile(values, [0.025, 0.975])]
        code = "better" if interval[1] < 0 else "worse" if interval[0] > 0 else code
    words = {"better": "is better than", "worse": "is worse than",
             "not_distinguishable": "is not distinguishable from"}[code]
    spread = f" [{interval[0]:+.3g}, {interval[1]:+.3g}]" if interval else ", too few origins for an interval"
    return {"first": first_name, "second": second_name, "difference": difference, "interval95": interval, "code": code,
            "sentence": f"{first_name} (mean absolute error {errors[0]:.3g}) {words} {second_name} ({errors[1]:.3g}): "
                        f"difference {difference:+.3g}{spread}, {len(wanted):,} origins."}


def _parts(wanted: np.ndarray, forecast: np.ndarray, series: np.ndarray, units: np.ndarray) -> np.ndarray:
    """(k, 4, H): of every origin and step the squared error, squared distance from the mean, absolute error, count."""
    known = ~np.isnan(wanted)
    means = np.zeros(int(series.max()) + 1)
    for number in np.unique(series):
        own = wanted[series == number]
        means[number] = np.nanmean(own) if known[series == number].any() else 0.0
    errors = np.where(known, forecast - wanted, 0)
    spread = np.where(known, wanted - means[series][:, None], 0)
    return np.stack([errors**2, spread**2, np.abs(errors) * units[:, None], known.astype(float)], axis=1)


def _metrics(parts: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics of d sums over origins, (d, 4): each (d,)."""
    squared, spread, absolute, count = parts.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"r2": np.where(spread > 0, 1 - squared / spread, np.nan), "mean_absolute_error": absolute / count}


def _plain(found: dict[str, np.ndarray]) -> dict[str, float | None]:
    return {name: None if np.isnan(values[0]) else float(values[0]) for name, values in found.items()}


def _intervals(parts: np.ndarray, series: np.ndarray, horizon: int, seed: int) -> dict[str, list[float] | None]:
    drawn = _drawn(parts, series, horizon, seed)
    if drawn is None:
        return {"r2": None, "mean_absolute_error": None}
    found = _metrics(drawn)
    return {name: None if np.isnan(values).any() else [float(bound) for bound in np.quantile(values, [0.025, 0.975])]
            for name, values in found.items()}


def _drawn(parts: np.ndarray, series: np.ndarray, block: int, seed: int) -> np.ndarray | None:
    """What parts (k, K) of the origins sum to in each draw, (draws, K): blocks in a row within each series, short
    series whole; None with too few of both."""
    random, found = np.random.default_rng(seed), np.zeros((DRAWS, parts.shape[1]))
    every, short = [np.flatnonzero(series == number) for number in np.unique(series)], []
    for own in every:
        if len(own) < FEWEST_BLOCKS * block:
            short.append(own)
            continue
        found += _sums_of_blocks(parts[own], block, random)
    whole = np.array([parts[own].sum(axis=0) for own in short]).reshape(-1, parts.shape[1])
    if len(short) >= FEWEST_BLOCKS:
        return found + random.multinomial(len(short), np.full(len(short), 1 / len(short)), DRAWS) @ whole
    return None if len(short) == len(every) else found + whole.sum(axis=0)


def _sums_of_blocks(parts: np.ndarray, block: int, random: np.random.Generator) -> np.ndarray:
    """Sums (draws, K) of parts (n, K) over blocks in a row, which go on at the beginning: n parts in each draw."""
    count = len(parts)
    blocks = -(-count // block)
    running = np.concatenate([np.zeros((1, parts.shape[1])), np.cumsum(np.concatenate([parts, parts[:block]]), axis=0)])
    whole, last = (running[size:size + count] - running[:count] for size in (block, count - (blocks - 1) * block))
    found, step = [], max(1, DRAWN_AT_ONCE // blocks)
    for start in range(0, DRAWS, step):
        starts = random.integers(0, count, (min(step, DRAWS - start), blocks))
        found.append(whole[starts[:, :-1]].sum(axis=1) + last[starts[:, -1]])
    return np.concatenate(found)
