"""CSV files as people and programs write them: any common separator and encoding, every row accounted for."""

from __future__ import annotations

import csv
import io
import os
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from toolkit.tables import paths
from toolkit.tables.entries import SPLIT_WORDS, Entries
from toolkit.tables.errors import TableError, counted, listed, suggestion

MAX_BYTES = 1 << 30
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_ENCODINGS = ("utf-8-sig", "cp1252", "latin-1")
_NOT_TEXT = ((b"PK\x03\x04", "a zip archive or an Excel workbook: export it as CSV"),
             (b"\xd0\xcf\x11\xe0", "an Excel workbook: export it as CSV"), (b"PAR1", "a Parquet file: export it as "
                                                                                     "CSV"),
             (b"\xff\xd8\xff", "an image"), (b"\x89PNG", "an image"), (b"GIF8", "an image"),
             (b"\x1f\x8b", "compressed: unpack it"), (b"%PDF", "a PDF document: export the table as CSV"))


@dataclass(frozen=True)
class Columns:
    """Names of the columns to read; None for one to leave alone, even if the file has it."""

    path: str = "path"
    label: str | None = "label"
    split: str | None = "split"
    group: str | None = "group"


def read(source: str, columns: Columns, *, root: Path | None, require_labels: bool) -> Entries:
    """Reads the rows of a CSV file; looks at no image.

    Args:
        source: path of the file, as the user named it.
        columns: which to read.
        root: what the paths in it are relative to; None for the folder of the file.
        require_labels: a column of labels must exist, and a blank split is an error; else it is "test".

    Raises:
        TableError: the file, its header or one of its rows cannot be used.
    """
    text, notes = _text(source)
    header, body, separator = _records(source, text)
    where = {role: _column(source, header, role, getattr(columns, role), _required(role, columns, require_labels))
             for role in ("path", "label", "split", "group")}
    body = [(row, _fitted(source, row, record, header, separator)) for row, record in body]
    rows = [row for row, _ in body]
    cells = {role: None if column is None else [record[column] for _, record in body] for role, column in where.items()}
    folder = (root or Path(source).parent).expanduser().absolute()
    entries = Entries(
        source, names=cells["path"], inputs=[paths.resolve(name, folder) if name else "" for name in cells["path"]],
        labels=cells["label"] or [""] * len(rows), splits=None, groups=cells["group"], rows=rows, by_row=True,
        label_column=None if where["label"] is None else header[where["label"]], notes=notes)
    if cells["split"] is not None:
        column = header[where["split"]]
        entries.splits = [_split(entries, i, column, cell, require_labels) for i, cell in enumerate(cells["split"])]
    return entries


# ---- Text ------------------------------------------------------------------------------------------------------------


def _text(source: str) -> tuple[str, list[str]]:
    """The file's text and what to note about its encoding."""
    data = _content(source)
    what = next((what for start, what in _NOT_TEXT if data.startswith(start)), None)
    if what:
        hint = " (a single image can be predicted, not trained on)" if what == "an image" else ""
        raise TableError(f"{source} is {what}{hint}. Expected a CSV file with a header such as path,label,split.")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ("utf-16",)
    elif b"\0" in data:
        raise TableError(f"{source} holds binary data, not text. Expected a CSV file with a header such as "
                         f"path,label,split.")
    else:
        encodings = _ENCODINGS
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        unsure = encoding in ("cp1252", "latin-1")
        return text, [f"{source} is not UTF-8 and was read as {encoding}: if letters look wrong in paths or labels, "
                      "save it as UTF-8."] if unsure else []
    raise TableError(f"{source} begins like UTF-16 but is damaged. Save it as UTF-8.")


def _content(source: str) -> bytes:
    try:
        status = os.stat(source)
        if not stat.S_ISREG(status.st_mode):
            raise TableError(f"{source} is not an ordinary file. Write the table to a CSV file first.")
        if status.st_size > MAX_BYTES:
            raise TableError(f"{source} has {status.st_size:,} bytes, and a CSV of image paths at most {MAX_BYTES:,}.")
        return Path(source).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise TableError(f"{source} does not exist (looked for {os.path.abspath(source)}). Name a CSV file, a folder "
                         f"of class folders, an .npz file or tfds:NAME.{_neighbour(source)}") from error
    except OSError as error:
        raise TableError(f"{source} cannot be read: {error.strerror}. Check its permissions.") from error
    except UnicodeError as error:
        raise TableError(f"{source!r} cannot be the name of a file.") from error


def _neighbour(source: str) -> str:
    """A file beside the one that does not exist whose name resembles it."""
    try:
        return suggestion(os.path.basename(source), os.listdir(os.path.dirname(source) or "."))
    except OSError:
        return ""


# ---- Rows and columns ------------------------------------------------------------------------------------------------


def _records(source: str, text: str) -> tuple[list[str], list[tuple[int, list[str]]], str]:
    """The header, (number, cells) of every row that is not blank, and the separator."""
    first = next((line for line in io.StringIO(text) if line.strip()), "")
    if not first:
        raise TableError(f"{source} is empty. Expected a CSV file with a header such as path,label,split and one row "
                         "for each image.")
    separator = max(_SEPARATORS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    records: list[tuple[int, list[str]]] = []
    try:
        for record in reader:
            records.append((len(records), [cell.strip() for cell in record]))
    except csv.Error as error:
        raise TableError(f"{source}, line {reader.line_num}: {error}. A cell that holds a quote or a line break must "
                         "be quoted, and every quote closed.") from error
    start = next((i for i, (_, record) in enumerate(records) if any(record)), None)
    if start is None:
        raise TableError(f"{source} holds blank cells only. Expected a header such as path,label,split and one row for "
                         "each image.")
    header = records[start][1]
    body = [(number - start, record) for number, record in records[start + 1 :] if any(record)]
    if not body:
        raise TableError(f"{source} has a header ({listed(header)}) and no rows. Add one row for each image.")
    return header, body, separator


def _fitted(source: str, row: int, record: list[str], header: list[str], separator: str) -> list[str]:
    """A row with as many cells as the header: blank cells are added, or taken away, at its end."""
    if any(record[len(header) :]):
        raise TableError(f"{source}, row {row}: {len(record)} cells, but the header has "
                         f"{counted(len(header), 'column')} ({listed(header)}), separated by {_SEPARATORS[separator]}. "
                         f"Put a cell that holds '{separator}' in double quotes.")
    return record[: len(header)] + [""] * (len(header) - len(record))


def _required(role: str, columns: Columns, require_labels: bool) -> bool:
    """Paths must be there, labels if asked for, and every column that the user renamed."""
    renamed = getattr(columns, role) != getattr(Columns(), role)
    return role == "path" or (role == "label" and require_labels) or renamed


def _column(source: str, header: list[str], role: str, name: str | None, required: bool) -> int | None:
    """Position of a column: by its exact name, else by its name in other capitals; None if it is not there."""
    if name is None:
        return None
    found = [i for i, other in enumerate(header) if other == name]
    found = found or [i for i, other in enumerate(header) if other.casefold() == name.casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        raise TableError(f"{source} has {len(found)} columns '{name}', and it is not clear which one is meant. Rename "
                         f"all but one (columns: {listed(header)}).")
    if not required:
        return None
    hint = ""
    if any(paths.is_image_name(cell) for cell in header):
        hint = " The first line must be a header such as path,label,split."
    raise TableError(f"{source} has no column '{name}'; its columns are {listed(_named(header))}. Rename the right "
                     f"one, or name it with --{role}-column.{suggestion(name, header)}{hint}")


def _named(header: list[str]) -> list[str]:
    """Column names for a message: blank ones visible, repeated ones once."""
    return [f"{name or '(blank)'}" for name in Counter(header)]


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
