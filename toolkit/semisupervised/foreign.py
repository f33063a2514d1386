"""Rows of the pool that show other things than the classes: they are set aside before anything is learnt from them.

A row is foreign if it lies farther from its nearest labelled row than any labelled row does from its nearest other one,
by the angle between standardised features. ``benchmarks/foreign_pool.py`` measures how many rows of a clean pool are
set aside, and how many of MNIST's digits among photographs.
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
    return set_aside(pool, foreign(labelled, unlabelled, pools.together(table, table.labelled("train"))))


def set_aside(pool: pools.Pool, far: np.ndarray) -> pools.Pool:
    """The pool without some of its rows, and a note on them.

    Args:
        pool: of p rows.
        far: (p,) bool, which are left out.
    """
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
    return _closest(others, known) < _closest(known, known, numbers).min()


def _closest(units: np.ndarray, known: np.ndarray, numbers: np.ndarray | None = None) -> np.ndarray:
    """Cosine (n,) between each row and the closest of the known ones, in blocks of bounded memory.

    Args:
        units: (n, F) of length one.
        known: (m, F) likewise.
        numbers: (m,) where the rows are the known ones: those of one number do not count; None: they are others.
    """
    step, found = max(1, NUMBERS_AT_ONCE // len(known)), []
    for start in range(0, len(units), step):
        cosines = units[start:start + step] @ known.T
        if numbers is not None:
            cosines[numbers[start:start + step, None] == numbers] = -1.0
        found.append(cosines.max(axis=1))
    return np.concatenate(found)


def _units(values: np.ndarray) -> np.ndarray:
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), TINY)
