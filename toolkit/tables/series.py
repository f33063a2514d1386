"""Series as inputs: numbers in cells become (time steps, channels) arrays; which cannot be used, and why.

A missing value is NaN. Missing steps at the end are taken off, so that a short row of a wide table is a short series.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

import numpy as np

from toolkit.tables.errors import counted
from toolkit.tables.texts import LARGEST_CELL, short

MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "?", "-nan"})
"""Words for a missing value, in lower case."""
_BETWEEN = re.compile(r"\s*[,;]\s*|\s+")
_DECIMAL_COMMAS = re.compile(r"-?\d+,\d+(\s*;\s*-?\d+(,\d+)?|\s+-?\d+,\d+)+\s*;?")  # 1,5; 2,5 or 1,5 2,5
_NAMED_VALUES = 20


class NoSeries(Exception):
    """A row holds no series.

    Attributes:
        reason: one word, such as "unreadable".
        message: what is the matter and what to do.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


def number(cell: str) -> float:
    """The number in a cell; NaN for a blank one and for words such as NA.

    Raises:
        ValueError: it is none.
    """
    return np.nan if cell.strip().lower() in MISSING else float(cell)


def of_cell(cell: str) -> np.ndarray:
    """The series that stands in one cell.

    Args:
        cell: numbers between commas, semicolons or blanks, perhaps in brackets; or, for several channels, a JSON list
            of time steps, each a list of numbers.

    Returns:
        (T, C) float32, NaN where a value is missing.

    Raises:
        NoSeries: it holds something else.

    Example:
        >>> of_cell("[1, 2, NA]").tolist(), of_cell("[[1, 2], [3, null]]").tolist()
        ([[1.0], [2.0]], [[1.0, 2.0], [3.0, nan]])
    """
    if len(cell) > LARGEST_CELL:
        raise NoSeries("too_large", f"the cell has {len(cell):,} characters, and at most {LARGEST_CELL:,} are read: "
                                    "split the series")
    inner = cell.strip()
    if inner.startswith("[") and "[" in inner[1:]:
        return tidied(_of_json(inner))
    inner = inner.strip("[](){} \t\r\n")
    if _DECIMAL_COMMAS.fullmatch(inner):
        raise NoSeries("unreadable", "it cannot be told whether its commas are decimal: write 1.5 for one and a half, "
                                     "and the same between all numbers")
    words = _BETWEEN.split(inner) if inner else []
    try:
        values = np.array([number(word) for word in words])
    except ValueError as error:
        raise NoSeries("unreadable", f"{error}: write numbers with commas or blanks between them, and NA for a missing "
                                     "one") from error
    return tidied(values)


def _of_json(text: str) -> np.ndarray:
    text = re.sub(r"\b(nan|na)\b", "null", text, flags=re.IGNORECASE)
    try:
        values = np.array(json.loads(text), dtype=np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise NoSeries("unreadable", "the cell is no list of time steps with equally many numbers each, such as "
                                     "[[1, 2], [3, 4]]") from error
    if values.ndim != 2:
        raise NoSeries("unreadable", f"the lists in the cell lie {values.ndim} deep: write [[1, 2], [3, 4]], a list a "
                                     "time step")
    return values


def tidied(values: np.ndarray) -> np.ndarray:
    """Values as a series: float32, one column a channel, missing steps at the end taken off.

    Args:
        values: (T,) or (T, C) real numbers.

    Raises:
        NoSeries: a value is infinite, or too large for float32.

    Example:
        >>> tidied(np.array([np.nan, 1, np.nan])).tolist()
        [[nan], [1.0]]
    """
    values = np.asarray(values)
    with np.errstate(over="ignore"):
        values = (values[:, None] if values.ndim == 1 else values).astype(np.float32)
    if np.isinf(values).any():
        raise NoSeries("unreadable", "a value is infinite, or beyond 3e38: correct it, or leave it blank for missing")
    values = np.where(np.isnan(values), np.float32(np.nan), values)  # one NaN of the many
    known = np.flatnonzero(~np.isnan(values).all(axis=1))
    return np.ascontiguousarray(values[: known[-1] + 1 if len(known) else 0])


def collected(series: Sequence[np.ndarray]) -> np.ndarray:
    """Series of any lengths as (N,) object."""
    result = np.empty(len(series), object)
    for position, values in enumerate(series):
        values.flags.writeable = False
        result[position] = values
    return result


def checksum(values: np.ndarray) -> str:
    """SHA-256 of the shape and the values of a series, in hexadecimal."""
    return hashlib.sha256(repr(values.shape).encode() + values.tobytes()).hexdigest()


def name(values: np.ndarray) -> str:
    """What a series without a name is called: its first values.

    Example:
        >>> name(tidied(np.array([1.0, 2.5, np.nan, 4.0])))
        '1 2.5 nan 4'
    """
    some = values[:_NAMED_VALUES].reshape(-1)[:_NAMED_VALUES]
    more = " …" if some.size < values.size else ""
    return short(" ".join(f"{value:.6g}" for value in some.tolist()) + more)


def problem(values: np.ndarray, channels: int) -> tuple[str, str] | None:
    """Why a series cannot be used, (reason, message), or None.

    Args:
        values: (T, C).
        channels: of most of the series.
    """
    if not np.isfinite(values).any():
        return "empty", "the series has no value: fill it in, or delete the row"
    if values.shape[1] != channels:
        count = counted(values.shape[1], "channel")
        return "unsupported", f"the series has {count}, and most have {channels}: give all the same"
    return None
