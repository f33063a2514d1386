"""Folds for cross-validation on training rows: stratified, whole groups, a function of the seed."""

from __future__ import annotations

import numpy as np

from toolkit.evaluation import groups as groups_

MIN_UNITS = 3


def folds(labels: np.ndarray, *, groups: np.ndarray | None = None, num_folds: int = 5,
          seed: int = 0) -> np.ndarray | None:
    """Assign rows to folds.

    Large groups first, each goes to the fold that holds fewest rows of its classes, then fewest rows.

    Args:
        labels: (n,) int, not negative.
        groups: (n,) names; rows of one group share a fold.
        num_folds: at least 2.
        seed: of the order among groups of one size.

    Returns:
        (n,) int in 0..num_folds-1; None where fewer than two classes have three rows (or groups) each, so that holding
        rows out would say next to nothing.

    Example:
        >>> sorted(folds(np.array([0, 1] * 5), num_folds=5).tolist())
        [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    """
    numbers = groups_.numbers(groups, len(labels))
    pairs = np.unique(np.stack([numbers, labels]), axis=1)
    if (np.bincount(pairs[1]) >= MIN_UNITS).sum() < 2:
        return None
    members = np.split(np.argsort(numbers, kind="stable"), np.cumsum(np.bincount(numbers))[:-1])
    shuffled = np.random.default_rng(seed).permutation(len(members))
    order = sorted(shuffled, key=lambda group: -len(members[group]))
    filled = np.zeros((num_folds, labels.max() + 1), dtype=np.int64)
    result = np.empty(len(labels), dtype=np.int64)
    for group in order:
        rows = members[group]
        classes, counts = np.unique(labels[rows], return_counts=True)
        fold = np.lexsort((filled.sum(axis=1), filled[:, classes] @ counts))[0]
        filled[fold, classes] += counts
        result[rows] = fold
    return result


def sample(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Sorted indices of about ``size`` rows, of each class its share but at least three; all rows where n <= size."""
    if len(labels) <= size:
        return np.arange(len(labels))
    random = np.random.default_rng(seed)
    chosen = []
    for number in np.unique(labels):
        rows = np.flatnonzero(labels == number)
        wanted = max(MIN_UNITS, round(size * len(rows) / len(labels)))
        chosen.append(random.permutation(rows)[:wanted])
    return np.sort(np.concatenate(chosen))


def of_a_sample(labels: np.ndarray, groups: np.ndarray | None, size: int, *, num_folds: int, seed: int
                ) -> tuple[np.ndarray, np.ndarray | None]:
    """The rows of ``sample``, (m,) sorted indices, and their ``folds``, (m,) int or None."""
    rows = sample(labels, size, seed)
    own_groups = None if groups is None else np.asarray(groups)[rows]
    return rows, folds(labels[rows], groups=own_groups, num_folds=num_folds, seed=seed)
