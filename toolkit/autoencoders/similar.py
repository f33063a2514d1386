"""Images whose codes lie nearest to that of a query."""

from __future__ import annotations

import numpy as np

METRICS = ("cosine", "euclidean")
ROWS_AT_ONCE = 256


def nearest(queries: np.ndarray, codes: np.ndarray, count: int, *, metric: str = "cosine"
            ) -> tuple[np.ndarray, np.ndarray]:
    """The nearest codes of each query.

    Args:
        queries: (q, F).
        codes: (n, F).
        count: how many are wanted; at most n.
        metric: ``"cosine"``, 1 - cosine of the angle, in [0, 2], or ``"euclidean"``.

    Returns:
        Positions (q, k) int64, nearest first, the first of equally near ones first, and distances (q, k) float64.

    Example:
        >>> rows, distances = nearest(np.array([[0.0, 2.0]]), np.array([[3.0, 0.0], [0.0, 1.0]]), 2)
        >>> rows.tolist(), distances.tolist()
        ([[1, 0]], [[0.0, 1.0]])
    """
    queries, codes = (np.asarray(values, np.float64) for values in (queries, codes))
    if metric == "cosine":
        queries, codes = (values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
                          for values in (queries, codes))
    count, rows, distances = min(count, len(codes)), [], []
    squares = (codes**2).sum(axis=1)
    for start in range(0, len(queries), ROWS_AT_ONCE):
        part = queries[start:start + ROWS_AT_ONCE]
        products = part @ codes.T
        found = 1 - products if metric == "cosine" else \
            np.sqrt(np.maximum((part**2).sum(axis=1)[:, None] + squares - 2 * products, 0))
        rows.append(np.argsort(found, axis=1, kind="stable")[:, :count])
        distances.append(np.take_along_axis(found, rows[-1], axis=1))
    empty = np.zeros((0, count))
    return np.concatenate([empty.astype(np.int64), *rows]), np.concatenate([empty, *distances])
