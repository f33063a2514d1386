"""Which rows can be used: every image is looked at, the others are set aside with a reason."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from toolkit.tables import arrays, image_files
from toolkit.tables.entries import Entries
from toolkit.tables.errors import TableError, counted
from toolkit.tables.image_decoders import PILLOW
from toolkit.tables.table import RejectedRow


@dataclass(frozen=True, eq=False)
class Usable:
    """The k usable rows, in canonical order: by checksum, name, label, split and group.

    Attributes:
        kept: indices of their entries.
        checksums: k, of their images.
        decoders: (k,) uint8.
        sizes: (k, 2) int32.
        channels: 1 if all are grey, else 3.
        rejected: the other rows, in the order of the source.
        notes: a sentence on those.
    """

    kept: list[int]
    checksums: list[str]
    decoders: np.ndarray
    sizes: np.ndarray
    channels: int
    rejected: tuple[RejectedRow, ...]
    notes: list[str]


def check(entries: Entries, *, max_pixels: int, fail: bool, may_be_empty: bool,
          progress: Callable[[int, int], None] | None) -> Usable:
    """Looks at every image.

    Args:
        entries: all rows.
        max_pixels: images with more are set aside.
        fail: refuse the table if an image cannot be used.
        may_be_empty: accept a table of which no image can be used.
        progress: called as ``progress(done, total)``.

    Raises:
        TableError: for ``fail``, or if nothing is left.
    """
    if entries.array is not None:
        return _check_array(entries)
    files = image_files.check_all(entries.inputs, max_pixels=max_pixels, progress=progress)
    bad = [i for i, file in enumerate(files) if file.problem]
    if bad and fail:
        more = f" ({counted(len(bad), 'such row')} in all.)" if len(bad) > 1 else ""
        raise TableError(f"{entries.where(bad[0])}: {entries.names[bad[0]]} cannot be used: "
                         f"{files[bad[0]].problem[1]}. --on-bad-image reject sets such rows aside.{more}")
    rejected = tuple(_rejected(entries, i, *files[i].problem) for i in bad)
    if len(bad) == len(entries) and not may_be_empty:
        raise TableError(f"{entries.source}: none of {counted(len(entries), 'image')} can be used "
                         f"({_reasons(rejected)}). {_first(entries, rejected, bad)}.{_hint(entries, rejected)}")
    notes = [f"{counted(len(bad), 'row')} of {len(entries):,} set aside ({_reasons(rejected)}). "
             f"{_first(entries, rejected, bad)}.{_hint(entries, rejected)}"] if bad else []
    good = [i for i, file in enumerate(files) if not file.problem]
    kept = _in_canonical_order(entries, good, [files[i].checksum for i in good])
    some = [files[i] for i in kept]
    return Usable(
        kept, [file.checksum for file in some], np.array([file.decoder for file in some], np.uint8),
        np.array([(file.height, file.width) for file in some], np.int32).reshape(-1, 2),
        1 if some and all(file.channels == 1 for file in some) else 3, rejected, notes)


def _check_array(entries: Entries) -> Usable:
    checksums = arrays.checksums(entries.array, entries.inputs)
    kept = _in_canonical_order(entries, range(len(entries)), checksums)
    sizes = np.tile(np.array(entries.array.shape[1:3], np.int32), (len(kept), 1))
    return Usable(kept, [checksums[i] for i in kept], np.full(len(kept), PILLOW, np.uint8), sizes,
                  arrays.num_channels(entries.array), (), [])


def _in_canonical_order(entries: Entries, indices: "range | list[int]", checksums: list[str]) -> list[int]:
    splits = entries.splits or [""] * len(entries)
    groups = entries.groups or [""] * len(entries)
    keys = [(checksum, entries.names[i], entries.labels[i], splits[i], groups[i], i)
            for i, checksum in zip(indices, checksums)]
    return [i for *_, i in sorted(keys)]


def _rejected(entries: Entries, index: int, reason: str, message: str) -> RejectedRow:
    split = entries.splits[index] if entries.splits else ""
    return RejectedRow(entries.rows[index], entries.names[index], split, entries.labels[index], reason, message)


def _reasons(rejected: tuple[RejectedRow, ...]) -> str:
    counts = Counter(row.reason.replace("_", " ") for row in rejected)
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())


def _first(entries: Entries, rejected: tuple[RejectedRow, ...], bad: list[int]) -> str:
    short = entries.short(bad[0])
    named = f"{short} ({rejected[0].input})" if entries.by_row and rejected[0].input else short
    return f"The first is {named}: {rejected[0].message}"


def _hint(entries: Entries, rejected: tuple[RejectedRow, ...]) -> str:
    """Advice if most paths of a CSV lead nowhere: they are probably relative to another folder."""
    missing = [row.input for row in rejected if row.reason == "missing" and row.input]
    if not entries.by_row or 2 * len(missing) <= len(entries):
        return ""
    if os.path.lexists(missing[0]):
        return " Paths are relative to the folder of the CSV, these seem to be relative to the current one: --root ."
    return " Paths are relative to the folder of the CSV unless --root names another."
