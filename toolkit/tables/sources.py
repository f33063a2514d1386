"""What the user named -> the reader for it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from toolkit.tables import arrays, csv_files, folders, paths, tfds_sets, ts_files
from toolkit.tables.csv_files import Columns
from toolkit.tables.entries import Entries
from toolkit.tables.errors import TableError

Source = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def read(source: Source, *, columns: Columns, root: Path | None, class_names: Sequence[str] | None,
         require_labels: bool, kind: str | None = None) -> Entries:
    """Lists the rows of a source of any kind.

    Args:
        source: as for ``read_table``.
        columns: of a CSV.
        root: folder of a CSV's relative paths, or of prepared TFDS sets; None for the usual one.
        class_names: those of a trained model; None otherwise.
        require_labels: refuse images without labels.
        kind: what the inputs must be, or None.

    Raises:
        TableError: the source cannot be read, or its inputs are of another kind.
    """
    entries = _read(source, columns, root, class_names, require_labels, kind)
    if kind not in (None, entries.kind):
        column = {"text": columns.text, "series": columns.values}.get(kind, columns.path)
        raise TableError(f"{entries.source} holds {entries.nouns}, not inputs of kind {kind}. Name a source of such "
                         f"rows, such as a CSV file with a column '{column}'.")
    return entries


def _read(source: Source, columns: Columns, root: Path | None, class_names: Sequence[str] | None, require_labels: bool,
          kind: str | None) -> Entries:
    if not isinstance(source, (str, os.PathLike)):
        files = list(source)
        return _files(files, f"{len(files):,} files", require_labels)
    name = os.fspath(source)
    if name.startswith(tfds_sets.PREFIX):
        return tfds_sets.read(name, data_dir=root)
    name = os.path.expanduser(name)
    if "\0" in name:
        raise TableError(f"{name!r} cannot be the name of a file.")
    if ts_files.is_one(name):
        return ts_files.read(name)
    if os.path.isdir(name):
        return folders.read(name, class_names=class_names, require_labels=require_labels)
    if name.lower().endswith(".npz") and os.path.isfile(name):
        return arrays.read(name, kind=kind)
    if paths.is_image_name(name) and os.path.lexists(name):
        return _files([name], name, require_labels)
    return csv_files.read(name, columns, root=root, require_labels=require_labels, kind=kind)


def _files(files: list[str | os.PathLike[str]], source: str, require_labels: bool) -> Entries:
    if require_labels:
        raise TableError(f"{source}: images without labels cannot be trained on. Name a CSV file with the columns path "
                         "and label, or a folder with one folder for each class.")
    return folders.read_files(files)
