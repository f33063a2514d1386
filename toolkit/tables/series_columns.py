"""Series in the columns of a CSV: a list in one cell, a column a time step, or a row a time step.

- cells: the column ``values`` holds a list a row, see ``series.of_cell``;
- wide: every column of numbers that plays no other part is a time step, in the order of the columns;
- long: a row a time step, with the columns ``series`` (which one it belongs to; without it all rows are one series) and
  ``time`` (numbers or dates, to sort by); every other column of numbers is a channel. Steps that are not there are not
  made up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import numpy as np

from toolkit.tables import series
from toolkit.tables.errors import TableError, counted, listed
from toolkit.tables.sheets import Sheet
from toolkit.tables.texts import short

Series = np.ndarray | series.NoSeries


@dataclass
class Found:
    """The series of a sheet, in the order of their first rows.

    Attributes:
        series: (T, C) float32 each, or why there is none.
        names: of each, "" for none.
        lines: of each, the indices of its rows in the sheet.
        notes: sentences for the report.
    """

    series: list[Series] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    lines: list[list[int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read(sheet: Sheet, where: dict[str, int | None]) -> Found:
    """The series of a sheet in whichever form it has.

    Args:
        sheet: the cells.
        where: role -> position of its column, None where it has none.

    Raises:
        TableError: there are no columns of numbers, or the times of a series cannot be sorted.
    """
    if where["time"] is not None and (where["series"] is not None or where["values"] is None):
        return _long(sheet, where)
    lines, cells = [[i] for i in range(len(sheet.rows))], sheet.column(where["values"])
    names = list(map(short, sheet.column(where["series"]) or cells or [""] * len(lines)))
    if cells is not None:
        return Found([_attempt(series.of_cell, cell) for cell in cells], names, lines)
    positions, notes = _value_columns(sheet, where, "time steps")
    found = [_attempt(_of_row, sheet, i, positions) for i in range(len(sheet.rows))]
    return Found(found, names, lines, notes)


def of_each(sheet: Sheet, found: Found, position: int) -> list[str]:
    """What the rows of each series say in a column, blank cells aside.

    Args:
        sheet: the cells.
        found: the series.
        position: of the column.

    Raises:
        TableError: two rows of a series say different things.
    """
    result, column = [], sheet.column(position)
    for name, lines in zip(found.names, found.lines):
        filled = [i for i in lines if column[i]]
        other = next((i for i in filled if column[i] != column[filled[0]]), None)
        if other is not None:
            of = f" of series '{name}'" if name else ""
            raise TableError(f"{sheet.source}, row {sheet.rows[other]}, column '{sheet.header[position]}': "
                             f"'{column[other]}', but row {sheet.rows[filled[0]]}{of} says '{column[filled[0]]}'. Give "
                             "all rows of a series the same.")
        result.append(column[filled[0]] if filled else "")
    return result


def _attempt(make: Callable[..., np.ndarray], *arguments: Any) -> Series:
    """What ``make`` returns, or the ``NoSeries`` that it raises."""
    try:
        return make(*arguments)
    except series.NoSeries as error:
        return error


# ---- Columns of numbers ----------------------------------------------------------------------------------------------


def _value_columns(sheet: Sheet, where: dict[str, int | None], what: str) -> tuple[list[int], list[str]]:
    """Positions of the columns of numbers that play no other part, and notes on which those are."""
    taken = {position for role, position in where.items() if position is not None and role != "values"}
    free = [i for i in range(len(sheet.header)) if i not in taken]
    positions = [i for i in free if _holds_numbers(sheet.column(i))]
    between = free[free.index(positions[0]):free.index(positions[-1])] if positions else []
    positions = sorted({*positions, *(i for i in between if not _filled(sheet.column(i)))})  # missing in every row
    if not positions:
        raise TableError(f"{sheet.source} has no column of numbers for the {what} of its series; its columns are "
                         f"{listed(sheet.header)}. Add some, or a column 'values' with a list in each cell.")
    names, left = [sheet.header[i] for i in positions], [sheet.header[i] for i in free if i not in positions]
    notes = [f"The {what} of each series are {counted(len(names), 'column')}: {listed(names, 5)}."]
    return positions, notes + ([f"The columns {listed(left)} are not used."] if left else [])


def _holds_numbers(cells: Iterable[str]) -> bool:
    """Whether most cells that are not blank hold a number; those that do not are refused row by row."""
    filled = _filled(cells)
    return 2 * sum(map(_is_number, filled)) > len(filled)


def _filled(cells: Iterable[str]) -> list[str]:
    """The cells that are not blank."""
    return [cell for cell in cells if cell.strip().lower() not in series.MISSING]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _of_row(sheet: Sheet, row: int, positions: list[int]) -> np.ndarray:
    """The series of a row of a wide sheet."""
    return series.tidied(np.array([_number(sheet, row, position) for position in positions]))


def _number(sheet: Sheet, row: int, position: int) -> float:
    try:
        return series.number(sheet.cells[row][position])
    except ValueError as error:
        raise series.NoSeries("unreadable", f"column '{sheet.header[position]}' of row {sheet.rows[row]}: '"
                              f"{short(sheet.cells[row][position])}' is no number; leave it blank for missing"
                              ) from error


# ---- A row a time step -----------------------------------------------------------------------------------------------


def _long(sheet: Sheet, where: dict[str, int | None]) -> Found:
    positions, notes = _value_columns(sheet, where, "channels")
    names = sheet.column(where["series"]) or [""] * len(sheet.rows)
    if where["series"] is not None and "" in names:
        raise TableError(f"{sheet.source}, row {sheet.rows[names.index('')]}, column "
                         f"'{sheet.header[where['series']]}': it is blank, so it is not known which series the row "
                         "belongs to. Fill it in, or delete the row.")
    times = _times(sheet, where["time"])
    lines: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        lines.setdefault(name, []).append(i)
    found = Found(names=[short(name) for name in lines], lines=list(lines.values()), notes=notes)
    for own in found.lines:
        order = sorted(own, key=lambda i: times[i])
        twice = next((pair for pair in zip(order, order[1:]) if times[pair[0]] == times[pair[1]]), None)
        if twice:
            first, second = sorted(twice)
            time = sheet.cells[second][where["time"]]
            raise TableError(f"{sheet.source}, row {sheet.rows[second]}: the time '{time}' stands in row "
                             f"{sheet.rows[first]} of the same series already. Delete one, or name the column that "
                             "tells series apart with --series-column.")
        found.series.append(_attempt(_of_rows, sheet, order, positions))
    return found


def _of_rows(sheet: Sheet, rows: list[int], positions: list[int]) -> np.ndarray:
    """The series of rows of a long sheet, in the order of time."""
    return series.tidied(np.array([[_number(sheet, row, position) for position in positions] for row in rows]))


def _times(sheet: Sheet, position: int) -> list[float]:
    """The times of all rows as numbers: a column of numbers, or of dates."""
    cells = sheet.column(position)
    read = float if _holds_numbers(cells) else _date
    times = []
    for i, cell in enumerate(cells):
        try:
            times.append(read(cell))
        except ValueError as error:
            raise TableError(f"{sheet.source}, row {sheet.rows[i]}, column '{sheet.header[position]}': '{cell}' is no "
                             "time. Write numbers, or dates such as 2026-01-31 or 2026-01-31T12:00.") from error
        if not np.isfinite(times[-1]):
            raise TableError(f"{sheet.source}, row {sheet.rows[i]}, column '{sheet.header[position]}': '{cell}' is no "
                             "time to sort by. Fill it in, or delete the row.")
    return times


def _date(cell: str) -> float:
    """Seconds since 1970, wherever this machine is; a date without a time zone is in that of Greenwich."""
    date = datetime.fromisoformat(cell)
    return (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp()
