r"""The nearest neighbour by dynamic time warping: series are compared after their steps are matched as well as can be.

.. math:: D_{ij} = \lVert a_i - b_j \rVert^2 + \min(D_{i-1,j}, D_{i,j-1}, D_{i-1,j-1}), \qquad |i - j| \le w,

and :math:`D_{TT}` is the squared distance; the window w (a share of the length; 0 is the Euclidean distance) is chosen
by leaving each training row out. Diagonal by diagonal, all pairs of a block are computed at once.

The probability of a class is its share among the neighbour and the frequencies of the classes, as in ``neighbours``.

References:
    Sakoe, Chiba (1978), Dynamic programming algorithm optimization for spoken word recognition.
    https://doi.org/10.1109/TASSP.1978.1163055
    Bagnall et al. (2017), The great time series classification bake off. https://arxiv.org/abs/1602.01711
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.evaluation.baselines.choosing import TOO_FEW
from toolkit.evaluation.baselines.folds import sample

NAME = "dynamic time warping"
WINDOWS = (0.0, 0.02, 0.05, 0.1, 0.2)
FIXED_WINDOW = 0.1  # where no row can be left out
MAX_STEPS = 512
MAX_ROWS_TO_CHOOSE = 100
MAX_WORK = 1e7  # cells for one series to predict: some hundred seconds a thousand of them
NUMBERS_AT_ONCE = 2_000_000


@dataclass(frozen=True, eq=False)
class WarpingClassifier:
    """Training rows that series are compared with.

    Attributes:
        name: in words.
        details: how the window was chosen.
        series: (n, T, C) of these rows.
        labels: (n,) of these rows.
        frequencies: (K,) of the classes.
        window: steps that two matched steps may lie apart.
        stride: every how many steps one is kept.
    """

    name: str
    details: dict
    series: np.ndarray
    labels: np.ndarray
    frequencies: np.ndarray
    window: int
    stride: int

    def probabilities(self, series: np.ndarray) -> np.ndarray:
        """Class probabilities.

        Args:
            series: (m, T, C).

        Returns:
            (m, K) float64, rows sum to one.
        """
        result = np.tile(self.frequencies, (len(series), 1))
        if len(series):
            nearest = distances(series[:, :: self.stride], self.series, self.window).argmin(axis=1)
            result[np.arange(len(series)), self.labels[nearest]] += 1
        return result / 2


def dynamic_time_warping(series: np.ndarray, labels: np.ndarray, num_classes: int, *,
                         groups: np.ndarray | None = None, seed: int = 0) -> WarpingClassifier:
    """Keep the rows and choose the window.

    Args:
        series: (n, T, C) real numbers, from ``series_features.frame``.
        labels: (n,) int in 0..K-1, n >= 1.
        num_classes: K.
        groups: (n,) names; a row's own group is left out with it.
        seed: of the samples that large tables are cut to.

    Returns:
        a classifier; details: window (share of the length), rows, rows_to_choose, cross_validated_accuracy, notes;
        approximation and reason where rows or steps were left out.

    Example:
        >>> waves = np.sin(np.arange(20)[None, :, None] / 3 + np.arange(6)[:, None, None] * 2)
        >>> classifier = dynamic_time_warping(waves, np.array([0, 1, 0, 1, 0, 1]), 2)
        >>> classifier.probabilities(waves[:2]).argmax(axis=1).tolist()
        [0, 1]
    """
    labels = np.asarray(labels, np.int64)
    frequencies = np.bincount(labels, minlength=num_classes) / len(labels)
    stride = -(-series.shape[1] // MAX_STEPS)
    series = np.asarray(series, np.float32)[:, ::stride]
    window, details = _chosen(series, labels, None if groups is None else np.asarray(groups), seed)
    steps = _steps(window, series.shape[1])
    rows = sample(labels, int(MAX_WORK / ((2 * steps + 1) * series[0].size)) + 1, seed)
    notes = [f"{len(rows):,} of the {len(labels):,} training rows"] if len(rows) < len(labels) else []
    notes += [f"one of {stride} time steps"] if stride > 1 else []
    about = ({"approximation": f"compared with {' and '.join(notes)}", "reason": "all would take too long"} if notes
             else {})
    details = {"window": window, "rows": len(rows), **details, **about}
    return WarpingClassifier(NAME, details, series[rows], labels[rows], frequencies, steps, stride)


def _steps(window: float, length: int) -> int:
    return int(np.ceil(window * length))


def _chosen(series: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, seed: int) -> tuple[float, dict]:
    """The window with most hits where each row is left out, the smallest of equal ones; and how it was chosen."""
    rows = sample(labels, MAX_ROWS_TO_CHOOSE, seed)
    some, own = series[rows], labels[rows]
    apart = np.eye(len(rows), dtype=bool)
    if groups is not None:
        names = groups[rows]
        apart |= (names[:, None] == names[None, :]) & (names != "")[:, None]
    if apart.all(axis=1).any():
        return FIXED_WINDOW, {"rows_to_choose": 0, "cross_validated_accuracy": None, "notes": [TOO_FEW]}
    hits = []
    for window in WINDOWS:
        found = distances(some, some, _steps(window, series.shape[1]))
        found[apart] = np.inf
        hits.append(float((own[found.argmin(axis=1)] == own).mean()))
    best = int(np.argmax(hits))
    return WINDOWS[best], {"rows_to_choose": len(rows), "cross_validated_accuracy": hits[best], "notes": []}


def distances(first: np.ndarray, second: np.ndarray, window: int) -> np.ndarray:
    """Squared distances (m, n) between series after warping.

    Args:
        first: (m, T, C).
        second: (n, T, C), of the same length.
        window: steps that two matched steps may lie apart, >= 0.

    Example:
        >>> one, other = np.array([[0, 1, 0, 0.0]]), np.array([[0, 0, 1, 0.0]])
        >>> [float(distances(one[..., None], other[..., None], window)[0, 0]) for window in (0, 1)]
        [2.0, 0.0]
    """
    result = np.empty((len(first), len(second)))
    at_once = max(1, NUMBERS_AT_ONCE // (len(second) * first.shape[1] * first.shape[2]))
    for start in range(0, len(first), at_once):
        result[start:start + at_once] = _block(first[start:start + at_once], second, window)
    return result


def _block(first: np.ndarray, second: np.ndarray, window: int) -> np.ndarray:
    """The distances of a block, diagonal (i + j = d) by diagonal; places beside the window are infinite."""
    length = first.shape[1]
    shape = (len(first), len(second), length + 2)  # by i + 1, so that place 0 is before the first step
    before, last, now = (np.full(shape, np.inf, np.float32) for _ in range(3))
    before[..., 0] = 0  # the corner, from which the first cell comes
    for diagonal in range(2 * length - 1):
        low = max(0, diagonal - length + 1, -(-(diagonal - window) // 2))
        high = min(length - 1, diagonal, (diagonal + window) // 2)
        steps = np.arange(low, high + 1)
        costs = ((first[:, None, steps] - second[None, :, diagonal - steps]) ** 2).sum(axis=-1)
        cheapest = np.minimum(np.minimum(last[..., low:high + 1], last[..., low + 1:high + 2]),
                              before[..., low:high + 1])
        now[..., low + 1:high + 2] = costs + cheapest
        now[..., [low, high + 2]] = np.inf  # all that the next two diagonals read beside these
        before, last, now = last, now, before
    return last[..., length].astype(np.float64)
