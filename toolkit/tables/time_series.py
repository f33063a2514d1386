"""Series to forecast: a CSV with one value a row, in the order of time; several series are told apart by a column.

    series,time,value
    airline,1949-01,112
    airline,1949-02,118

The column ``time`` (numbers, or dates such as 1949-01 or 1949-01-31) sorts the rows of a series; without it they are
in order. Without the column ``series`` all rows are one. A blank value is missing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from toolkit.tables import sheets
from toolkit.tables.errors import TableError, listed, one_line
from toolkit.tables.series import MISSING
from toolkit.tables.sheets import Sheet
from toolkit.tables.table import RejectedRow
from toolkit.tables.texts import short


@dataclasses.dataclass(frozen=True, eq=False)
class TimeSeries:
    """N series, in the order of their names.

    Attributes:
        names: N, "" for one without a name.
        values: N arrays (T,) float64, NaN where missing, in the order of time.
        times: N lists of T cells, as the user wrote them, or numbers from 1.
        rows: N arrays (T,) int64, 1 for the first line after the header.
        rejected: rows whose value is no number.
        notes: sentences for the report.
        source: what the user named.
        arguments: of ``read``, JSON-ready.
        kind: "series".
    """

    names: tuple[str, ...]
    values: tuple[np.ndarray, ...]
    times: tuple[tuple[str, ...], ...]
    rows: tuple[np.ndarray, ...]
    rejected: tuple[RejectedRow, ...]
    notes: tuple[str, ...]
    source: str
    arguments: dict[str, Any]
    kind: str = "series"

    def __len__(self) -> int:
        return sum(map(len, self.values))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of names, times and values."""
        values = [row.tolist() for row in self.values]
        return hashlib.sha256(repr((self.names, self.times, values)).encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def split_fingerprint(self) -> str:
        """The same: time alone decides what is past."""
        return self.fingerprint


def read(source: str, *, value_column: str = "value", series_column: str | None = "series",
         time_column: str | None = "time") -> TimeSeries:
    """Reads the series of a CSV.

    Args:
        source: path of the file.
        value_column: column of the values; a file of one column needs no name for it.
        series_column: column that tells series apart.
        time_column: column to sort by.

    Raises:
        TableError: the file or one of its times cannot be used, or no value can.
    """
    arguments = {"task": "forecast", "source": os.path.abspath(source), "value_column": value_column,
                 "series_column": series_column, "time_column": time_column}
    sheet = sheets.read(source)
    where = {role: _position(sheet, role, name) for role, name in (("series", series_column), ("time", time_column))}
    position = sheet.find(value_column)
    if position is None and len(sheet.header) == 1 + sum(found is not None for found in where.values()):
        position = next(i for i in range(len(sheet.header)) if i not in where.values())  # what is left
    if position is None:
        raise sheet.no_column("value", value_column)
    names = sheet.column(where["series"]) or [""] * len(sheet.rows)
    times, keys = _times(sheet, where["time"])
    values, rejected = _values(sheet, position)
    lines: dict[str, list[int]] = {}
    for i in sorted(range(len(names)), key=lambda i: (names[i], keys[i])):
        lines.setdefault(names[i], []).append(i)
    for name, own in lines.items():
        twice = next((pair for pair in zip(own, own[1:]) if keys[pair[0]] == keys[pair[1]]), None)
        if twice:
            raise TableError(f"{source}, row {sheet.rows[max(twice)]}: the time '{times[max(twice)]}' stands in row "
                             f"{sheet.rows[min(twice)]} {'of series ' + repr(short(name)) + ' ' if name else ''}"
                             f"already. Delete one, or name the column that tells series apart: --series-column.")
    if {"", "series"} <= set(names):
        raise TableError(f"{source}: rows without the name of a series stand beside a series named 'series', which is "
                         "what they would be called: name them.")
    notes = [*sheet.notes, *_notes(rejected, len(sheet.rows), [names[i] for i in range(len(names))])]
    return TimeSeries(tuple(lines), tuple(values[own] for own in lines.values()),
                      tuple(tuple(times[i] for i in own) for own in lines.values()),
                      tuple(np.array([sheet.rows[i] for i in own], np.int64) for own in lines.values()),
                      rejected, tuple(map(one_line, notes)), source, arguments)


def _position(sheet: Sheet, role: str, name: str | None) -> int | None:
    """Position of a column that may be missing, unless the user renamed it."""
    position = sheet.find(name)
    if position is None and name not in (None, role):
        raise sheet.no_column(role, str(name))
    return position


def _times(sheet: Sheet, position: int | None) -> tuple[list[str], list[float]]:
    """The times as written, and numbers to sort by: themselves, or the seconds of dates."""
    if position is None:
        return [str(i + 1) for i in range(len(sheet.rows))], [float(i) for i in range(len(sheet.rows))]
    cells = sheet.column(position)
    are_numbers = 2 * sum(_number(cell) is not None for cell in cells) >= len(cells)
    keys = [_number(cell) if are_numbers else _seconds(cell) for cell in cells]
    if None in keys:
        i = keys.index(None)
        raise TableError(f"{sheet.source}, row {sheet.rows[i]}, column '{sheet.header[position]}': '{short(cells[i])}' "
                         f"is no time to sort by. Write {'numbers' if are_numbers else 'dates such as 2026-01-31'} in "
                         f"every row.")
    return [short(cell) for cell in cells], keys


def _values(sheet: Sheet, position: int) -> tuple[np.ndarray, tuple[RejectedRow, ...]]:
    """The values, NaN where blank or no number; the latter rows are rejected."""
    cells, found, rejected = sheet.column(position), np.full(len(sheet.rows), np.nan), []
    for i, cell in enumerate(cells):
        value = _number(cell)
        if value is not None:
            found[i] = value
        elif cell.lower() not in MISSING:
            rejected.append(RejectedRow(sheet.rows[i], short(cell), "", "", "unreadable", "the value is no finite "
                                        "number: correct it, or leave it blank for missing"))
    if np.isnan(found).all():
        raise TableError(f"{sheet.source}: column '{sheet.header[position]}' holds no number. Name the column of the "
                         f"values with --value-column (columns: {listed(sheet.header)}).")
    return found, tuple(rejected)


def _notes(rejected: tuple[RejectedRow, ...], count: int, names: list[str]) -> list[str]:
    found = []
    if rejected:
        found.append(f"{len(rejected):,} of {count:,} values are no numbers and are taken as missing (the first: row "
                     f"{rejected[0].row}, '{rejected[0].input}').")
    if "" in names and any(names):
        found.append("Rows without the name of a series are a series of their own.")
    return found


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _seconds(cell: str) -> float | None:
    """Seconds from the year 1 of a date such as 1949, 1949-01, 1949-01-31 or 1949-01-31T12:00; None for no date."""
    try:
        date = datetime.fromisoformat(f"{cell}-01" if re.fullmatch(r"\d{4}-\d{2}", cell) else cell)
    except ValueError:
        return None
    return (date.replace(tzinfo=None) - (date.utcoffset() or timedelta()) - datetime.min).total_seconds()
