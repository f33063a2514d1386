"""Groups of rows that belong together: pictures of one patient, copies of one picture."""

from __future__ import annotations

import numpy as np


def numbers(groups: np.ndarray | None, count: int) -> np.ndarray:
    """Number the groups; a row without a group is a group of its own.

    Args:
        groups: (n,) names of groups; blank or None: a row that stands alone. None: every row stands alone.
        count: n.

    Returns:
        (n,) int64 in 0..G-1, each number at least once.

    Example:
        >>> numbers(["b", "", "b", "a", ""], 5).tolist()
        [1, 2, 1, 0, 3]
    """
    if groups is None:
        return np.arange(count, dtype=np.int64)
    names = np.array(["" if name is None or name != name else str(name) for name in groups], dtype=object)
    if len(names) != count:
        raise ValueError(f"Expected one group for each of {count} rows, got {len(names)}.")
    alone = names == ""
    result = np.empty(count, dtype=np.int64)
    known, result[~alone] = np.unique(names[~alone].astype(str), return_inverse=True)
    result[alone] = len(known) + np.cumsum(alone)[alone] - 1
    return np.unique(result, return_inverse=True)[1].astype(np.int64)
