"""CSV tables: which column plays which part, and so what the inputs are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.tables import paths, series, series_columns, sheets, texts
from toolkit.tables.entries import SPLIT_WORDS, Entries
from toolkit.tables.errors import TableError, suggestion
from toolkit.tables.sheets import Sheet

_INPUTS = {"image": ("path",), "text": ("text",), "series": ("values", "series", "time")}
"""The kinds of a table -> the columns that only they have."""
_OTHERS = ("label", "split", "group")
_ADVICE = (" For texts --text-column names the column, for series --values-column, or --series-column and "
           "--time-column; --kind series takes all columns of numbers.")


@dataclass(frozen=True)
class Columns:
    """Names of the columns to read; None for one to leave alone, even if the file has it."""

    path: str = "path"
    label: str | None = "label"
    split: str | None = "split"
    group: str | None = "group"
    text: str = "text"
    values: str = "values"
    series: str = "series"
    time: str = "time"


def read(source: str, columns: Columns, *, root: Path | None, require_labels: bool, kind: str | None = None) -> Entries:
    """Reads the rows of a CSV file; looks at no input.

    Args:
        source: path of the file, as the user named it.
        columns: which to read.
        root: what the paths in it are relative to; None for the folder of the file.
        require_labels: a column of labels must exist, and a blank split is an error; else it is "test".
        kind: "image", "text" or "series"; None: by the names of the columns.

    Raises:
        TableError: the file, its header or one of its rows cannot be used.
    """
    sheet = sheets.read(source)
    header = {name.casefold() for name in sheet.header}
    there = {role for role, name in vars(columns).items() if name is not None and name.casefold() in header}
    kind = kind or _kind(sheet, columns, there)
    _refuse_missing(sheet, columns, there, kind, require_labels)
    where = {role: sheet.find(getattr(columns, role)) for role in (*_INPUTS[kind], *_OTHERS)}
    entries = _series(sheet, where) if kind == "series" else _cells(sheet, where, kind)
    if kind == "image":
        folder = (root or Path(source).parent).expanduser().absolute()
        entries.inputs = [paths.resolve(name, folder) if name else "" for name in entries.names]
    elif kind == "text":
        entries.names = [texts.short(text) for text in entries.inputs]
    entries.label_column = None if where["label"] is None else sheet.header[where["label"]]
    if entries.splits is not None:
        column = sheet.header[where["split"]]
        entries.splits = [_split(entries, i, column, cell, require_labels) for i, cell in enumerate(entries.splits)]
    return entries


# ---- Columns ---------------------------------------------------------------------------------------------------------


def _refuse_missing(sheet: Sheet, columns: Columns, there: set[str], kind: str, require_labels: bool) -> None:
    """Raises unless the inputs are there, labels if asked for, and every column that the user renamed."""
    for role, default in vars(Columns()).items():
        name = getattr(columns, role)
        inputs = kind != "series" and role == _INPUTS[kind][0]
        needed = inputs or name != default or role == "label" and require_labels
        if role not in there and name is not None and needed:
            raise sheet.no_column(role, name, _ADVICE if role == "path" else "")


def _kind(sheet: Sheet, columns: Columns, there: set[str]) -> str:
    """What the inputs are, by the columns that the user renamed, else by those that are there."""
    usual = Columns()
    renamed = [kind for kind, roles in _INPUTS.items()
               if any(getattr(columns, role) != getattr(usual, role) for role in roles)]
    if len(renamed) == 1:
        return renamed[0]
    found = [kind for kind, roles in _INPUTS.items() if roles[0] in there]
    if "series" not in found and {"series", "time"} <= there:
        found.append("series")
    if len(found) > 1:
        named = [f"'{getattr(columns, role)}'" for kind in found for role in _INPUTS[kind] if role in there]
        raise TableError(f"{sheet.source} has the columns {' and '.join(named)}, and it is not clear which holds the "
                         f"inputs: say {' or '.join(f'--kind {kind}' for kind in found)}.")
    return found[0] if found else "image"


# ---- Rows ------------------------------------------------------------------------------------------------------------


def _cells(sheet: Sheet, where: dict[str, int | None], kind: str) -> Entries:
    """Inputs that are a cell each: paths or texts."""
    inputs = sheet.column(where[_INPUTS[kind][0]])
    labels, splits, groups = (sheet.column(where[role]) for role in _OTHERS)
    return Entries(sheet.source, inputs, inputs, labels or [""] * len(inputs), splits, groups, sheet.rows, by_row=True,
                   notes=sheet.notes, kind=kind)


def _series(sheet: Sheet, where: dict[str, int | None]) -> Entries:
    """Series, and what their rows say of them, in the order of their first rows."""
    found = series_columns.read(sheet, where)
    labels, splits, groups = (None if where[role] is None else series_columns.of_each(sheet, found, where[role])
                              for role in _OTHERS)
    problems = {i: (values.reason, values.message) for i, values in enumerate(found.series)
                if isinstance(values, series.NoSeries)}
    blank = np.zeros((0, 1), np.float32)
    array = series.collected([blank if i in problems else values for i, values in enumerate(found.series)])
    names = [name or ("" if i in problems else series.name(array[i])) for i, name in enumerate(found.names)]
    return Entries(sheet.source, names, np.arange(len(array)), labels or [""] * len(array), splits, groups,
                   [sheet.rows[lines[0]] for lines in found.lines], by_row=True, array=array,
                   notes=[*sheet.notes, *found.notes], kind="series", problems=problems)


def _split(entries: Entries, index: int, column: str, cell: str, require_labels: bool) -> str:
    split = SPLIT_WORDS.get(cell.lower())
    if split is None and not cell and not require_labels:
        return "test"
    if split is None:
        found = f"'{cell}' is not a split" if cell else "the split is blank"
        raise TableError(f"{entries.source}, row {entries.rows[index]}, column '{column}': {found}. Write train, "
                         f"validation (val, valid, dev) or test, or delete the column for an automatic split."
                         f"{suggestion(cell, list(SPLIT_WORDS)) if cell else ''}")
    return split
