"""The nearest neighbours of each row among the others, exactly, in blocks of bounded memory.

Of a block of distances most time would go into finding the smallest ones; so the columns are first seen in groups of
64, by the smallest distance in each: the k nearest rows lie in the k groups that are nearest. A large search is kept on
disk by the content of its features, since many splits of the labels ask for the same graph.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np

from toolkit import atomic_files, cache_folder
from toolkit.training.progress import Progress, say

NUMBERS_AT_ONCE = 2**26  # of a block of distances, 256 MB
GROUP = 64  # columns
WORTH_KEEPING = 2000  # rows; fewer are searched in less time than it takes to say so
VERSION = 1  # raise it when the search changes


def remembered(features: np.ndarray, count: int, *, cache: Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """As ``nearest``, but the same search is made once.

    Args:
        features: (n, F) real numbers, n >= 2.
        count: k, 1..n-1.
        cache: folder of the cache; None: ``$TOOLKIT_CACHE`` or ``~/.cache/toolkit``.

    Returns:
        (n, k) positions and (n, k) distances, as from ``nearest``.

    Raises:
        ValueError: as ``nearest``.
    """
    if len(features) < WORTH_KEEPING:
        return nearest(features, count)
    values = np.ascontiguousarray(features, dtype=np.float32)
    digest = hashlib.sha256(repr((VERSION, values.shape, count)).encode())
    digest.update(values)
    path = (cache or cache_folder()) / "graphs" / f"{digest.hexdigest()[:32]}.npz"
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return archive["positions"].astype(np.int64), archive["distances"]
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        say(f"{path} is damaged and is made anew.")
    positions, distances = nearest(values, count)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_files.in_place_of(path) as temporary:
            np.savez(temporary, positions=positions.astype(np.int32), distances=distances)
    except OSError as error:
        say(f"The graph could not be kept in {path.parent} ({error.strerror or error}); going on without.")
    return positions, distances


def nearest(features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest neighbours of each row among the others.

    Args:
        features: (n, F) real numbers, n >= 2.
        count: k, 1..n-1.

    Returns:
        (n, k) positions, nearest first, and (n, k) Euclidean distances, float32.

    Raises:
        ValueError: if k is out of range or a feature is not finite.

    Example:
        >>> nearest(np.array([[0.0], [1.0], [3.0]]), 1)[0].tolist()
        [[1], [0], [1]]
    """
    values = np.ascontiguousarray(features, dtype=np.float32)
    rows = len(values)
    if not 1 <= count < rows:
        raise ValueError(f"Expected 1 to {rows - 1} neighbours among {rows} rows, got {count}.")
    if not np.isfinite(values).all():
        raise ValueError("A feature is not finite.")
    squares = np.einsum("ij,ij->i", values, values)
    positions, distances = np.empty((rows, count), np.int64), np.empty((rows, count), np.float32)
    step = max(1, NUMBERS_AT_ONCE // rows)
    with Progress("nearest neighbours", rows) as progress:
        for start in range(0, rows, step):
            block = slice(start, min(start + step, rows))
            found = values[block] @ values.T
            found *= -2
            found += squares
            own = np.arange(block.stop - start)
            found[own, own + start] = np.inf
            chosen = _smallest(found, count)
            kept = np.take_along_axis(found, chosen, axis=1)
            order = np.lexsort((chosen, kept), axis=1)
            positions[block] = np.take_along_axis(chosen, order, axis=1)
            kept = np.take_along_axis(kept, order, axis=1) + squares[block, None]
            distances[block] = np.sqrt(np.maximum(kept, 0))
            progress(block.stop)
    return positions, distances


def _smallest(values: np.ndarray, count: int) -> np.ndarray:
    """Columns (b, k) of the k smallest values (b, n) of each row, in no order."""
    groups = values.shape[1] // GROUP
    if groups <= 4 * count:
        return np.argpartition(values, count - 1, axis=1)[:, :count]
    whole = values[:, :groups * GROUP].reshape(len(values), GROUP, groups)  # group g: columns g, g + groups, ...
    chosen = np.argpartition(whole.min(axis=1), count - 1, axis=1)[:, :count]
    columns = (chosen[:, None, :] + groups * np.arange(GROUP)[:, None]).reshape(len(values), -1)
    rest = np.broadcast_to(np.arange(groups * GROUP, values.shape[1]), (len(values), values.shape[1] - groups * GROUP))
    columns = np.concatenate([columns, rest], axis=1)
    some = np.take_along_axis(values, columns, axis=1)
    return np.take_along_axis(columns, np.argpartition(some, count - 1, axis=1)[:, :count], axis=1)
