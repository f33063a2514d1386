"""CSV files as people and programs write them: any common separator and encoding, every row accounted for."""

from __future__ import annotations

import csv
import io
import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from toolkit.tables import paths
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
class Sheet:
    """The cells of a CSV file, without blanks around them. Line breaks and blanks inside a cell are kept.

    Attributes:
        source: path of the file, as the user named it.
        header: names of the columns.
        rows: numbers of the n rows that are not blank, ascending; 1 is the first line after the header.
        cells: n lists, each as long as the header.
        notes: on the encoding.
    """

    source: str
    header: list[str]
    rows: list[int]
    cells: list[list[str]]
    notes: list[str]

    def find(self, name: str | None) -> int | None:
        """Position of a column: by its exact name, else by its name in other capitals; None if it is not there.

        Args:
            name: of the column; None for none.

        Raises:
            TableError: several columns have that name.
        """
        if name is None:
            return None
        found = [i for i, other in enumerate(self.header) if other == name]
        found = found or [i for i, other in enumerate(self.header) if other.casefold() == name.casefold()]
        if len(found) > 1:
            raise TableError(f"{self.source} has {len(found)} columns '{name}', and it is not clear which one is "
                             f"meant. Rename all but one (columns: {listed(self.header)}).")
        return found[0] if found else None

    def column(self, position: int | None) -> list[str] | None:
        """The n cells of a column."""
        return None if position is None else [record[position] for record in self.cells]

    def no_column(self, role: str, name: str, more: str = "") -> TableError:
        """The error for a column that is not there.

        Args:
            role: of the column, as its option names it.
            name: of the column.
            more: what else may be done, a sentence with a blank before it.
        """
        named = [f"{other or '(blank)'}" for other in Counter(self.header)]
        if any(paths.is_image_name(cell) for cell in self.header):
            more = " The first line must be a header such as path,label,split."
        return TableError(f"{self.source} has no column '{name}'; its columns are {listed(named)}. Rename the right "
                          f"one, or name it with --{role}-column.{suggestion(name, self.header)}{more}")


def read(source: str) -> Sheet:
    """Reads a CSV file.

    Args:
        source: path of the file, as the user named it.

    Raises:
        TableError: it is no CSV file, or has no header or no row.
    """
    text, notes = text_of(source)
    header, body, separator = _records(source, text)
    cells = [_fitted(source, row, record, header, separator) for row, record in body]
    return Sheet(source, header, [row for row, _ in body], cells, notes)


# ---- Text ------------------------------------------------------------------------------------------------------------


def text_of(source: str) -> tuple[str, list[str]]:
    """The text of a file in any common encoding, and what to note about that.

    Args:
        source: its path.

    Raises:
        TableError: it cannot be read, or is no text.
    """
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
        return text, [f"{source} is not UTF-8 and was read as {encoding}: if letters look wrong, save it as "
                      "UTF-8."] if unsure else []
    raise TableError(f"{source} begins like UTF-16 but is damaged. Save it as UTF-8.")


def _content(source: str) -> bytes:
    try:
        status = os.stat(source)
        if not stat.S_ISREG(status.st_mode):
            raise TableError(f"{source} is not an ordinary file. Write the table to a CSV file first.")
        if status.st_size > MAX_BYTES:
            raise TableError(f"{source} has {status.st_size:,} bytes, and a CSV at most {MAX_BYTES:,}.")
        return Path(source).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise TableError(f"{source} does not exist (looked for {os.path.abspath(source)}). Name a CSV file, a folder "
                         f"of class folders, an .npz or .ts file or tfds:NAME.{_neighbour(source)}") from error
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


# ---- Rows ------------------------------------------------------------------------------------------------------------


def _records(source: str, text: str) -> tuple[list[str], list[tuple[int, list[str]]], str]:
    """The header, (number, cells) of every row that is not blank, and the separator."""
    first = next((line for line in io.StringIO(text) if line.strip()), "")
    if not first:
        raise TableError(f"{source} is empty. Expected a CSV file with a header such as path,label,split and one row "
                         "for each input.")
    separator = max(_SEPARATORS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    records: list[tuple[int, list[str]]] = []
    try:
        with _cells_of_any_length():
            for record in reader:
                records.append((len(records), [cell.strip() for cell in record]))
    except csv.Error as error:
        raise TableError(f"{source}, line {reader.line_num}: {error}. A cell that holds a quote or a line break must "
                         "be quoted, and every quote closed.") from error
    start = next((i for i, (_, record) in enumerate(records) if any(record)), None)
    if start is None:
        raise TableError(f"{source} holds blank cells only. Expected a header such as path,label,split and one row for "
                         "each input.")
    header = records[start][1]
    alone = len(header) == 1  # then '""' is a row, as programs write an empty cell; a blank line is none
    body = [(number - start, record) for number, record in records[start + 1 :] if any(record) or alone and record]
    if not body:
        raise TableError(f"{source} has a header ({listed(header)}) and no rows. Add one row for each input.")
    return header, body, separator


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    """Lifts the limit that the csv module sets to cells; the file's own size is limited already."""
    before = csv.field_size_limit(MAX_BYTES)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _fitted(source: str, row: int, record: list[str], header: list[str], separator: str) -> list[str]:
    """A row with as many cells as the header: blank cells are added, or taken away, at its end."""
    if any(record[len(header) :]):
        raise TableError(f"{source}, row {row}: {len(record)} cells, but the header has "
                         f"{counted(len(header), 'column')} ({listed(header)}), separated by {_SEPARATORS[separator]}. "
                         f"Put a cell that holds '{separator}' in double quotes.")
    return record[: len(header)] + [""] * (len(header) - len(record))
