r"""Accuracies and paired differences over several seeds, with intervals that count what really varies.

Seeds that share their test rows share the luck of those rows, so Student's interval over the seeds alone would be too
narrow. With x_ki the score of row i under seed k, the variance of the mean over K seeds and n rows is that of two
crossed samples,

.. math:: V = V_{rows} + V_{seeds} - V_{both}, \qquad
          V_{rows} = \frac{s^2(\bar x_{\cdot i})}{n}, \quad V_{seeds} = \frac{s^2(\bar x_{k \cdot})}{K}, \quad
          V_{both} = \frac{s^2(x_{ki} - \bar x_{k \cdot} - \bar x_{\cdot i})}{K n},

never below the larger of the first two, with Satterthwaite's degrees of freedom; rows of one group are summed first.
Where seeds draw their own test rows, a row counts as often as
it is drawn, and what seeds differ by beyond the luck of their rows is multiplied by
:math:`1 + K n_{test} / n_{train}`, Nadeau and Bengio's correction for training rows that overlap. An accuracy then
gets Wilson's interval, and a difference Bonett and Price's, of the number of independent rows that would have this
variance.

References:
    Cameron, Gelbach, Miller (2011), Robust inference with multiway clustering.
    https://doi.org/10.1198/jbes.2010.07136
    Nadeau, Bengio (2003), Inference for the generalization error. https://doi.org/10.1023/A:1024068626366
    Satterthwaite (1946), An approximate distribution of estimates of variance components.
    https://doi.org/10.2307/3002019
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from toolkit.evaluation import comparison
from toolkit.evaluation import groups as groups_

Z = float(stats.norm.ppf(0.975))


@dataclass(frozen=True, eq=False)
class TestRows:
    """The labelled test rows of each seed.

    Attributes:
        rows: for each seed, (n_k,) names or numbers of its rows, in the order of every array of scores.
        groups: for each seed, (n_k,) names of groups of rows that belong together; None: there are none.
        num_train: for each seed, the number of its labelled training rows.
    """

    __test__ = False  # no class of tests, whatever its name says

    rows: Sequence[np.ndarray]
    groups: Sequence[np.ndarray] | None
    num_train: Sequence[int]

    @property
    def shared(self) -> bool:
        """Whether all seeds have the same rows in the same order."""
        return all(np.array_equal(own, self.rows[0]) for own in self.rows)


def accuracy(hits: Sequence[np.ndarray], tests: TestRows) -> dict[str, Any]:
    """The accuracy over seeds.

    Args:
        hits: for each seed, (n_k,) bool, which rows are right; or one for all seeds, where nothing depends on them.
        tests: the rows.

    Returns:
        JSON-ready dict: mean, deviation (between seeds; None for one), interval95, worst, seeds (how many were run).

    Example:
        >>> hits = np.arange(153) >= 7
        >>> found = accuracy([hits], TestRows([np.arange(153)], None, [245]))
        >>> round(found["mean"], 4), [round(bound, 4) for bound in found["interval95"]]
        (0.9542, [0.9086, 0.9777])
    """
    means = np.array([own.mean() for own in hits])
    mean = float(means.mean())
    variance, freedom = _variance([np.asarray(own, float) for own in hits], tests)
    count = _independent_rows(mean * (1 - mean), variance, freedom, hits)
    return {"mean": mean, "deviation": float(means.std(ddof=1)) if len(means) > 1 else None,
            "interval95": list(comparison.wilson_interval(mean * count, count)), "worst": float(means.min()),
            "seeds": len(means)}


def difference(first: Sequence[np.ndarray], second: Sequence[np.ndarray], tests: TestRows) -> dict[str, Any]:
    """The difference of two accuracies over seeds, row by row and seed by seed.

    Args:
        first: as ``hits`` of ``accuracy``.
        second: likewise.
        tests: the rows.

    Returns:
        JSON-ready dict: difference (first minus second), interval95, p_value, seeds. With one seed they are those of
        ``comparison.compare_hits``: McNemar's exact test.
    """
    seeds = max(len(first), len(second))
    first, second = ([own[k % len(own)] for k in range(seeds)] for own in (first, second))
    if seeds == 1:
        groups = None if tests.groups is None else tests.groups[0]
        found = comparison.compare_hits(first[0], second[0], first_name="", second_name="", groups=groups)
        return {**{name: found[name] for name in ("difference", "interval95", "p_value")}, "seeds": 1}
    gains = [a.astype(float) - b for a, b in zip(first, second, strict=True)]
    only_first, only_second = (float(np.mean([(sign * own > 0).mean() for own in gains])) for sign in (1, -1))
    variance, freedom = _variance(gains, tests)
    count = _independent_rows(only_first + only_second - (only_first - only_second) ** 2, variance, np.inf,
                              gains)
    interval = comparison.paired_interval(only_first * count, only_second * count, count,
                                           float(stats.t.ppf(0.975, freedom)))
    return {"difference": only_first - only_second, "interval95": interval,
            "p_value": _paired_p_value(only_first * count, only_second * count, count, freedom), "seeds": seeds}


def _paired_p_value(only_first: float, only_second: float, count: float, freedom: float) -> float:
    """Two-sided p-value of the test whose acceptance is that Bonett and Price's interval contains zero."""
    first, second = (only_first + 1) / (count + 2), (only_second + 1) / (count + 2)
    error = ((first + second - (first - second) ** 2) / (count + 2)) ** 0.5
    return float(2 * stats.t.sf(abs(first - second) / error, freedom))


def _independent_rows(spread: float, variance: float, freedom: float, values: Sequence[np.ndarray]) -> float:
    """How many independent rows of variance ``spread`` have a mean of ``variance``, widened from z to Student's t."""
    if spread <= 0 or variance <= 0:
        return float(len(values[0]))
    widened = variance * (float(stats.t.ppf(0.975, freedom)) / Z) ** 2
    return float(np.clip(spread / widened, 1, sum(map(len, values))))


def _variance(values: Sequence[np.ndarray], tests: TestRows) -> tuple[float, float]:
    """Variance of the mean of K arrays (n_k,), and its degrees of freedom (infinite for rows alone)."""
    if len(values) == 1 and tests.groups is None:
        return float(np.var(values[0])) / len(values[0]), np.inf
    if not tests.shared and len(values) > 1:
        return _resampled(values, tests)
    scores, seeds = np.stack(values), len(values)
    numbers = groups_.numbers(None if tests.groups is None else tests.groups[0], scores.shape[1])
    units = int(numbers.max()) + 1
    by_row, by_seed = scores.mean(axis=0), scores.mean(axis=1)
    total = scores.mean()
    factor = units / max(units - 1, 1) / scores.size ** 2
    rows = factor * seeds ** 2 * float((np.bincount(numbers, weights=by_row - total) ** 2).sum())
    if seeds == 1:
        return rows, max(units - 1, 1)
    of_seeds = float(by_seed.var(ddof=1)) / seeds
    rest = scores - by_row - by_seed[:, None] + total
    both = sum(float((np.bincount(numbers, weights=own) ** 2).sum()) for own in rest)
    both *= factor * seeds / (seeds - 1)
    variance = max(rows + of_seeds - both, rows, of_seeds)
    weights = rows ** 2 / max(units - 1, 1) + of_seeds ** 2 / (seeds - 1)
    return variance, variance ** 2 / weights if weights else np.inf


def _resampled(values: Sequence[np.ndarray], tests: TestRows) -> tuple[float, float]:
    """The same where each seed has its own test rows: a row may be in several of them, or in one."""
    seeds, rows = len(values), np.concatenate(tests.rows)
    shares = np.concatenate([np.full(len(own), 1 / (seeds * len(own))) for own in values])
    total = float(np.mean([own.mean() for own in values]))
    errors = shares * (np.concatenate(values) - total)
    names = rows if tests.groups is None else _units(tests)
    numbers = np.unique(names, return_inverse=True)[1]
    of_rows = float((np.bincount(numbers, weights=errors) ** 2).sum())
    of_seeds = float(np.var([own.mean() for own in values], ddof=1)) / seeds
    ratio = float(np.mean([len(own) / max(count, 1) for own, count in zip(values, tests.num_train, strict=True)]))
    own_units = sum(float((np.bincount(numbers[part], weights=errors[part]) ** 2).sum()) for part in _parts(values))
    excess = (1 + seeds * ratio) * max(of_seeds - own_units, 0)
    weights = of_rows ** 2 / max(len(np.unique(numbers)) - 1, 1) + excess ** 2 / (seeds - 1)
    return of_rows + excess, (of_rows + excess) ** 2 / weights if weights else np.inf


def _parts(values: Sequence[np.ndarray]) -> list[slice]:
    """Where each seed lies in the concatenation."""
    ends = np.cumsum([len(own) for own in values])
    return [slice(end - len(own), end) for end, own in zip(ends, values)]


def _units(tests: TestRows) -> np.ndarray:
    """The group of every row of every seed; a row without one stands alone."""
    alone = [np.array([f"row {row}" for row in rows], object) for rows in tests.rows]
    return np.concatenate([np.where([bool(group) for group in own], [f"group {group}" for group in own], single)
                           for own, single in zip(tests.groups, alone, strict=True)]).astype(str)
