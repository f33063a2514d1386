"""Rows with the same input: contradictions are refused, leaks between splits and mere copies are noted."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence

from toolkit.tables.entries import Entries
from toolkit.tables.errors import TableError, counted


def notes_on_files(entries: Entries) -> list[str]:
    """Notes on files that several rows name, however their paths are written.

    Raises:
        TableError: one file has two labels.
    """
    blanks = []
    for rows in _alike(_files(entries)):
        labelled = [i for i in rows if entries.labels[i]]
        blank = [i for i in rows if not entries.labels[i]]
        _refuse_contradiction(entries, labelled)
        blanks += [(labelled[0], blank[0])] if labelled and blank else []
    return _note(entries, blanks, lambda count: f"{counted(count, 'file is', 'files are')} both in a labelled row and "
                                                "in an unlabelled one")


def _refuse_contradiction(entries: Entries, labelled: list[int]) -> None:
    for other in labelled[1:]:
        first = labelled[0]
        if entries.labels[other] != entries.labels[first]:
            raise TableError(
                f"{entries.source}: {entries.names[first]} is labelled '{entries.labels[first]}' in "
                f"{entries.short(first)} and '{entries.labels[other]}' in {entries.short(other)}. Keep the right one.")


def notes_on_contents(entries: Entries, kept: Sequence[int], checksums: Sequence[str]) -> list[str]:
    """Notes on equal inputs: copies, leaks between splits, different labels.

    Args:
        entries: all rows.
        kept: indices of the usable ones.
        checksums: of the input of each of those.
    """
    splits = entries.splits or [""] * len(entries)
    copies, crossing, conflicts = [], [], []
    for rows in _alike(zip(kept, checksums)):
        first: dict[tuple[str, str], int] = {}
        copies += [(first[key], i) for i in rows if first.setdefault(key := (entries.labels[i], splits[i]), i) != i]
        training = [i for i in rows if splits[i] == "train"]
        crossing += [(training[0], i) for i in rows if training and splits[i] not in ("", "train")]
        labelled = [i for i in rows if entries.labels[i]]
        conflicts += [(labelled[0], i) for i in labelled[1:] if entries.labels[i] != entries.labels[labelled[0]]]
    noun, verb = entries.noun, ("shows", "show") if entries.kind == "image" else ("holds", "hold")
    return [
        *_note(entries, copies, lambda count: f"{counted(count, 'row repeats', 'rows repeat')} the {noun} of another "
                                              f"row with the same label and split, byte for byte, so that the {noun} "
                                              "counts twice"),
        *_note(entries, crossing, lambda count: f"Leak: {counted(count, 'validation or test row')} {verb[count > 1]} "
                                                f"{'an' if noun == 'image' else 'a'} {noun} that is also a training "
                                                f"row, byte for byte, so that the scores are too good"),
        *_note(entries, conflicts, lambda count: f"{counted(count, 'row has', 'rows have')} the same {noun}, byte for "
                                                 "byte, as a row with another label: one label must be wrong"),
    ]


def note_on_groups(entries: Entries) -> list[str]:
    """A note on groups with rows in training and in another split."""
    if entries.groups is None or entries.splits is None:
        return []
    named = ((i, group) for i, group in enumerate(entries.groups) if group)
    crossing = []
    for rows in _alike(named):
        training = [i for i in rows if entries.splits[i] == "train"]
        held_out = [i for i in rows if entries.splits[i] != "train"]
        crossing += [(training[0], held_out[0])] if training and held_out else []
    return _note(entries, crossing, lambda count: f"Leak: {counted(count, 'group has', 'groups have')} rows in "
                                                  "training and in another split: scores say little about new groups")


def _files(entries: Entries) -> Iterable[tuple[int, str]]:
    """Indices and the file that each means, symbolic links followed; nothing where inputs are no files."""
    if entries.kind != "image" or entries.array is not None:
        return []
    return ((i, os.path.realpath(path) if "\0" not in path else path) for i, path in enumerate(entries.inputs) if path)


def _alike(keys: Iterable[tuple[int, Hashable]]) -> Iterable[list[int]]:
    """Lists of the indices that share a key, two or more, in the order of the rows."""
    found: dict[Hashable, list[int]] = defaultdict(list)
    for index, key in keys:
        found[key].append(index)
    return [rows for rows in found.values() if len(rows) > 1]


def _note(entries: Entries, pairs: list[tuple[int, int]], sentence: Callable[[int], str]) -> list[str]:
    if not pairs:
        return []
    first, other = min(pairs)
    return [f"{sentence(len(pairs))} (first: {entries.short(first)} and {entries.short(other)})."]
