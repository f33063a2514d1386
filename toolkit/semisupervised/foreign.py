"""Rows of the pool that show other things than the classes: they are set aside before anything is learnt from them.

A row is foreign if it lies farther from its nearest labelled row than any labelled row does from its nearest other one,
by the angle between standardised features. ``benchmarks/foreign_pool.py`` measures how many rows of a clean pool are set
aside, and how many of MNIST's digits among photographs.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from toolkit.semisupervised import pools
from toolkit.tables import Table

FEWEST_LABELS = 10  # below which the labelled rows say too little about how far apart rows lie
NUMBERS_AT_ONCE = 2**24
TINY = 1e-6


def without(pool: pools.Pool, table: Table, labelled: np.ndarray, unlabelled: np.ndarray) -> pools.Pool:
    """The pool without its foreign rows, and a note on them.

    Args:
        pool: of the table.
        table: of any kind.
        labelled: (n, F) features of the labelled training rows.
        unlabelled: (p, F) features of the pool.
    """
    far = foreign(labelled, unlabelled, pools.together(table, table.labelled("train")))
    if not far.any():
        return pool
    note = (f"{int(far.sum()):,} of {len(far):,} unlabelled rows lie farther from every labelled row than labelled "
            "rows lie from each other, and are set aside: they may show other things than the classes.")
    return dataclasses.replace(pool, rows=pool.rows[~far], set_aside=int(far.sum()), notes=(*pool.notes, note))


def foreign(labelled: np.ndarray, unlabelled: np.ndarray, together: np.ndarray) -> np.ndarray:
    """Which unlabelled rows are foreign, (p,) bool.

    Args:
        labelled: (n, F) features.
        unlabelled: (p, F) features.
        together: (n,) names; labelled rows of one name do not count as each other's neighbours.
    """
    if len(labelled) < FEWEST_LABELS or len(set(together)) < 2 or not len(unlabelled):
        return np.zeros(len(unlabelled), bool)
    every = np.concatenate([labelled, unlabelled])
    mean, scale = every.mean(axis=0), every.std(axis=0) + TINY
    known, others = (_units((values - mean) / scale) for values in (labelled, unlabelled))
    numbers = np.unique(together.astype(str), return_inverse=True)[1]
    farthest = float(np.where(numbers[:, None] == numbers, -1.0, known @ known.T).max(axis=1).min())
    step = max(1, NUMBERS_AT_ONCE // len(known))
    return np.concatenate([(others[start:start + step] @ known.T).max(axis=1) < farthest
                           for start in range(0, len(others), step)])


def _units(values: np.ndarray) -> np.ndarray:
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), TINY)
