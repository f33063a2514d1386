"""Other sources whose inputs join the unlabelled rows of a table, whatever labels and splits they have there."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from toolkit import atomic_files, cache_folder
from toolkit.tables import arrays, checking, sources, tfds_sets
from toolkit.tables.csv_files import Columns
from toolkit.tables.entries import Entries
from toolkit.tables.errors import TableError, counted, one_line
from toolkit.tables.table import Table

Progress = Callable[[int, int], None]


def read(named: Sequence[str | os.PathLike[str]], *, kind: str, columns: Columns, root: Path | None) -> list[Entries]:
    """Lists the inputs of the sources, without a label each.

    Args:
        named: CSV files, folders of images (however deep they lie), ``.npz`` and ``.ts`` files or ``tfds:NAME``.
        kind: of the table that they join.
        columns: of a CSV, whose paths are relative to its folder; those of labels, splits and groups are not read.
        root: where prepared TFDS sets are; None for the usual place.

    Raises:
        TableError: a source cannot be read, or holds other inputs than the table.
    """
    columns = dataclasses.replace(columns, label=None, split=None, group=None)
    found = []
    for one in map(os.fspath, named):
        own = root if one.startswith(tfds_sets.PREFIX) else None
        entries = sources.read(one, kind=kind, columns=columns, root=own, class_names=(), require_labels=False)
        found.append(dataclasses.replace(entries, source=one, labels=[""] * len(entries), splits=["train"] *
                                         len(entries), groups=None))
    return found


def of_one_form(entries: Sequence[Entries]) -> list[Entries]:
    """The same rows, all as files or all in arrays of images of one shape; texts and series as they are.

    Where they are neither, the images of arrays are written as PNG files to ``<cache folder>/arrays``, named by their
    content.

    Args:
        entries: of each source.
    """
    if entries[0].kind != "image":
        return list(entries)
    shapes = {None if one.array is None else one.array.shape[1:] for one in entries}
    return list(entries) if len(shapes) == 1 else [_as_files(one) for one in entries]


def _as_files(entries: Entries) -> Entries:
    if entries.array is None:
        return entries
    checksums = arrays.checksums(entries.array, entries.inputs)
    inputs = [_written(checksum, entries.array[position]) for checksum, position in zip(checksums, entries.inputs)]
    return dataclasses.replace(entries, inputs=inputs, array=None)


def _written(checksum: str, pixels: np.ndarray) -> str:
    """Path of the PNG file of an image, written unless it is there already."""
    from PIL import Image

    path = cache_folder() / "arrays" / checksum[:2] / f"{checksum}.png"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_files.in_place_of(path) as temporary:
            Image.fromarray(pixels).save(temporary)
    return str(path)


def joined(table: Table, added: Sequence[Entries], *, max_pixels: int, fail: bool, progress: Progress | None) -> Table:
    """The table with the usable images of other sources among its unlabelled training rows.

    An input that is a training row already, byte for byte, does not join. One that is a validation or test row does,
    for ``semisupervised.pools`` to leave out and count.

    Args:
        table: its splits are chosen, and stay as they are.
        added: of the same form as the table, see ``of_one_form``.
        max_pixels: images with more are set aside.
        fail: refuse an input that cannot be used.
        progress: called as ``progress(done, total)``.

    Raises:
        TableError: for ``fail``.
    """
    table = dataclasses.replace(table, origins=np.full(len(table), "", object))
    for entries in added:
        usable = checking.check(entries, max_pixels=max_pixels, fail=fail, may_be_empty=True, progress=progress)
        if entries.kind == "series" and usable.kept and usable.channels != table.channels:
            raise TableError(f"{entries.source} holds series of {usable.channels} channels, and {table.source} of "
                             f"{table.channels}. Give both the same.")
        known = set(table.checksums[table.in_split("train")])
        fresh = []
        for position, checksum in enumerate(usable.checksums):
            if checksum not in known:
                known.add(checksum)
                fresh.append(position)
        table = _with(table, entries, usable, fresh)
    order = sorted(range(len(table)), key=lambda row: (table.checksums[row], table.origins[row] != "", table.names[row],
                                                       table.splits[row], table.labels[row], table.origins[row], row))
    return table.select(np.array(order, np.int64))


def _with(table: Table, entries: Entries, usable: checking.Usable, fresh: Sequence[int]) -> Table:
    """The table, and after its rows those at the positions ``fresh`` among the usable ones of a source."""
    indices, count = [usable.kept[position] for position in fresh], len(fresh)
    inputs, array = [entries.inputs[i] for i in indices], table.array
    if array is not None:
        inputs, array = np.array(inputs, np.int64) + len(array), np.concatenate([array, entries.array])
    more = {"inputs": inputs, "names": [entries.names[i] for i in indices], "labels": np.full(count, -1),
            "splits": ["train"] * count, "groups": [""] * count, "rows": [entries.rows[i] for i in indices],
            "checksums": [usable.checksums[position] for position in fresh], "decoders": usable.decoders[fresh],
            "sizes": usable.sizes[fresh].reshape(-1, 2), "origins": [entries.source] * count}
    columns = {name: np.concatenate([own, np.asarray(values, own.dtype)]) for name, values in more.items()
               if (own := getattr(table, name)) is not None}
    rejected = tuple(dataclasses.replace(row, origin=entries.source) for row in usable.rejected)
    repeats = len(usable.kept) - count
    but = f", without {counted(repeats, 'copy', 'copies')} of training {entries.nouns}" if repeats else ""
    sentence = f"{counted(count, entries.noun, entries.nouns)} of {entries.source} joined the unlabelled rows{but}."
    return dataclasses.replace(table, **columns, array=array, channels=max(table.channels, usable.channels),
                               rejected=(*table.rejected, *rejected),
                               notes=(*table.notes, *map(one_line, [*entries.notes, *usable.notes, sentence])))
