"""Which rows can be used: every input is looked at, the others are set aside with a reason."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.tables import arrays, image_files, series, texts
from toolkit.tables.entries import Entries
from toolkit.tables.errors import TableError, counted
from toolkit.tables.image_decoders import PILLOW
from toolkit.tables.table import RejectedRow


@dataclass(frozen=True, eq=False)
class Usable:
    """The k usable rows, in canonical order: by checksum, name, label, split and group.

    Attributes:
        kept: indices of their entries.
        checksums: k, of their inputs.
        decoders: (k,) uint8.
        sizes: (k, 2) int32.
        channels: of the inputs.
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


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known about one text or series, with the attributes of an ``image_files.ImageFile``."""

    checksum: str
    height: int
    width: int
    channels: int
    problem: tuple[str, str] | None
    decoder: int = 0


def check(entries: Entries, *, max_pixels: int, fail: bool, may_be_empty: bool,
          progress: Callable[[int, int], None] | None) -> Usable:
    """Looks at every input.

    Args:
        entries: all rows.
        max_pixels: images with more are set aside.
        fail: refuse the table if an input cannot be used.
        may_be_empty: accept a table of which no input can be used.
        progress: called as ``progress(done, total)``.

    Raises:
        TableError: for ``fail``, or if nothing is left.
    """
    if entries.kind == "image" and entries.array is not None:
        return _check_array(entries)
    if entries.kind == "text":
        found: Sequence[Checked | image_files.ImageFile] = _checked_texts(entries)
    elif entries.kind == "series":
        found = _checked_series(entries)
    else:
        found = image_files.check_all(entries.inputs, max_pixels=max_pixels, progress=progress)
    bad = [i for i, one in enumerate(found) if one.problem]
    if bad and fail:
        more = f" ({counted(len(bad), 'such row')} in all.)" if len(bad) > 1 else ""
        raise TableError(f"{entries.where(bad[0])}: {entries.names[bad[0]]} cannot be used: "
                         f"{found[bad[0]].problem[1]}. --on-bad-image reject sets such rows aside.{more}")
    rejected = tuple(_rejected(entries, i, *found[i].problem) for i in bad)
    if len(bad) == len(entries) and not may_be_empty:
        raise TableError(f"{entries.source}: none of {counted(len(entries), entries.noun, entries.nouns)} can be used "
                         f"({_reasons(rejected)}). {_first(entries, rejected, bad)}.{_hint(entries, rejected)}")
    notes = [f"{counted(len(bad), 'row')} of {len(entries):,} set aside ({_reasons(rejected)}). "
             f"{_first(entries, rejected, bad)}.{_hint(entries, rejected)}"] if bad else []
    good = [i for i, one in enumerate(found) if not one.problem]
    kept = _in_canonical_order(entries, good, [found[i].checksum for i in good])
    some = [found[i] for i in kept]
    channels = max((one.channels for one in some), default=3 if entries.kind == "image" else 1)
    return Usable(
        kept, [one.checksum for one in some], np.array([one.decoder for one in some], np.uint8),
        np.array([(one.height, one.width) for one in some], np.int32).reshape(-1, 2), channels, rejected, notes)


def _checked_texts(entries: Entries) -> list[Checked]:
    return [Checked(texts.checksum(text), len(text), 1, 1, texts.problem(text)) for text in entries.inputs]


def _checked_series(entries: Entries) -> list[Checked]:
    read = Counter(entries.array[i].shape[1] for i in range(len(entries)) if i not in entries.problems)
    channels = max(read, key=lambda count: (read[count], count), default=1)
    return [Checked(series.checksum(values), *values.shape, values.shape[1],
                    entries.problems.get(i) or series.problem(values, channels))
            for i, values in enumerate(entries.array[position] for position in entries.inputs)]


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
