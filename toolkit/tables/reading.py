"""From a source to a Table: list the rows, check their labels, check the inputs, number the classes, split."""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.tables import additions, checking, labels, repeats, sources, splits
from toolkit.tables.checking import Usable
from toolkit.tables.csv_files import Columns
from toolkit.tables.entries import NOUNS, Entries
from toolkit.tables.errors import TableError, one_line
from toolkit.tables.image_files import LARGEST_MAX_PIXELS, MAX_PIXELS
from toolkit.tables.table import Table


def read_table(source: sources.Source, *, kind: str | None = None, root: str | os.PathLike[str] | None = None,
               path_column: str = "path", label_column: str | None = "label", split_column: str | None = "split",
               group_column: str | None = "group", split_seed: int = 0, test_ratio: float = splits.TEST_RATIO,
               validation_ratio: float | None = None, on_bad_image: str = "reject",
               class_names: Sequence[str] | None = None, labels_per_class: int | None = None, label_seed: int = 0,
               require_labels: bool = True, unknown_labels: str = "refuse", max_pixels: int = MAX_PIXELS,
               text_column: str = "text", values_column: str = "values", series_column: str = "series",
               time_column: str = "time",
               unlabelled: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
               progress: Callable[[int, int], None] | None = None) -> Table:
    """Reads and checks a table; every input is looked at once, images are decoded.

    Args:
        source: a CSV file, a folder of class folders, an ``.npz`` file, a ``.ts`` file of the UCR archive (or the
            folder of its two) or ``tfds:NAME[/CONFIG]``; with ``require_labels=False`` also an image, several images or
            a folder of images.
        kind: of the inputs, "image", "text" or "series"; None: by the names of a CSV's columns, or by what else the
            source is.
        root: what the paths of a CSV are relative to (default: its folder), or where prepared TFDS sets are.
        path_column: column of the paths in a CSV.
        label_column: column of the labels, None to leave it alone; a blank cell is unlabelled.
        split_column: column of train, validation (val, valid, dev) or test, None to leave it alone. Without one, 70 %
            of the labelled rows are for training, 10 % for validation and 20 % for test; without validation rows, 10 %
            of the labelled training rows become some.
        group_column: column of what must stay in one split (a patient, a film), None to leave it alone.
        split_seed: of such choices.
        test_ratio: another than 20 % of the labelled rows.
        validation_ratio: another than 10 % of the labelled rows, or of the labelled training rows; None: 10 %, and none
            of fewer than 200 labelled training rows.
        on_bad_image: "reject" sets unusable images aside, "fail" refuses the table.
        class_names: those of a trained model, in its order: other labels are refused, and no class needs training rows.
        labels_per_class: keep so many training labels a class and blank the others.
        label_seed: of that choice.
        require_labels: False for prediction: labels may be missing, no split is chosen, a row without one is "test",
            and the table may be empty if no input is usable.
        unknown_labels: with ``class_names``, what becomes of other labels: "refuse", or "blank".
        max_pixels: images with more are set aside, unread.
        text_column: column of the texts in a CSV; a text may have line breaks.
        values_column: column of a CSV with a series in each cell, see ``series.of_cell``.
        series_column: column that names the series of a row; with ``time_column`` a row is a time step.
        time_column: column of the times, numbers or dates. Without it and ``values_column``, all columns of numbers
            are the time steps of a row's series.
        unlabelled: further sources, whose inputs join the unlabelled training rows, whatever labels and splits they
            have; CSV files (with the same columns), folders of images, ``.npz`` and ``.ts`` files or ``tfds:NAME``.
        progress: called as ``progress(done, total)`` while inputs are checked.

    Returns:
        The table. Its notes are what the user should know.

    Raises:
        TableError: the source cannot be used.

    Example:
        >>> table = read_table(digits_csv)
        >>> table.class_names[:3], len(table.rejected)
        (('0', '1', '2'), 0)
    """
    source = source if isinstance(source, (str, os.PathLike)) else list(source)
    unlabelled = [unlabelled] if isinstance(unlabelled, (str, os.PathLike)) else list(unlabelled)
    arguments = _arguments(locals())
    _refuse_options(kind, on_bad_image, unknown_labels, labels_per_class, split_seed, label_seed, max_pixels)
    policy = splits.Policy(require_labels, split_seed, test_ratio, validation_ratio, labels_per_class, label_seed)
    folder = None if root is None else Path(root).expanduser()
    columns = Columns(path_column, label_column, split_column, group_column, text_column, values_column, series_column,
                      time_column)
    entries = sources.read(source, kind=kind, columns=columns, root=folder, class_names=class_names,
                           require_labels=require_labels)
    added = additions.read(unlabelled, kind=entries.kind, columns=columns, root=folder)
    entries, *added = additions.of_one_form([entries, *added])
    notes = [*entries.notes, *_check_cells(entries, class_names, require_labels, unknown_labels)]
    checks = {"max_pixels": max_pixels, "fail": on_bad_image == "fail", "progress": progress}
    usable = checking.check(entries, may_be_empty=not require_labels, **checks)
    names, lost = labels.class_map(entries, usable.kept, class_names, require_labels)
    notes += [*usable.notes, *lost, *repeats.notes_on_contents(entries, usable.kept, usable.checksums)]
    table = dataclasses.replace(_table(entries, usable, names, policy, notes), arguments=arguments)
    return additions.joined(table, added, **checks) if added else table


def _arguments(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of ``read_table`` that are not at their defaults, its paths made absolute."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(read_table).parameters.items()}
    changed = {name: value for name, value in given.items() if name != "progress" and value is not defaults[name]
               and value != defaults[name]}
    for name in {"source", "root"} & set(changed):
        value = changed[name]
        if not isinstance(value, (str, os.PathLike)):
            changed[name] = [os.path.abspath(item) for item in value]
        else:
            changed[name] = _absolute(value)
    changed["unlabelled"] = [_absolute(value) for value in given["unlabelled"]]
    if not changed["unlabelled"]:
        del changed["unlabelled"]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}


def _absolute(path: str | os.PathLike[str]) -> str:
    return str(path) if str(path).startswith("tfds:") else os.path.abspath(os.path.expanduser(path))


def _refuse_options(kind: str | None, on_bad_image: str, unknown_labels: str, labels_per_class: int | None,
                    split_seed: int, label_seed: int, max_pixels: int) -> None:
    if kind not in (None, *NOUNS):
        raise TableError(f"Inputs of kind '{kind}' cannot be read. Expected {', '.join(NOUNS)}.")
    if on_bad_image not in ("reject", "fail"):
        raise TableError(f"on_bad_image is '{on_bad_image}'. Expected reject or fail.")
    if unknown_labels not in ("refuse", "blank"):
        raise TableError(f"unknown_labels is '{unknown_labels}'. Expected refuse or blank.")
    if labels_per_class is not None and labels_per_class < 1:
        raise TableError(f"labels_per_class is {labels_per_class}. Expected 1 or more, or None for all labels.")
    if min(split_seed, label_seed) < 0:
        raise TableError(f"The seeds are {split_seed} and {label_seed}. Expected 0 or more.")
    if not 1 <= max_pixels <= LARGEST_MAX_PIXELS:
        raise TableError(f"max_pixels is {max_pixels:,}. Expected 1 to {LARGEST_MAX_PIXELS:,}.")


def _check_cells(entries: Entries, class_names: Sequence[str] | None, require_labels: bool, unknown_labels: str
                 ) -> list[str]:
    """Tidies the labels, refuses what no input could mend, and notes what is doubtful."""
    entries.labels = labels.tidied(entries.labels, class_names)
    if class_names is not None and unknown_labels == "blank":
        return [*labels.without_unknown(entries, class_names), *repeats.notes_on_files(entries)]
    if class_names is not None:
        labels.refuse_unknown(entries, class_names, "classes of the model")
    elif require_labels:
        labels.refuse_unusable(entries)
    return [*labels.notes(entries), *repeats.notes_on_files(entries), *repeats.note_on_groups(entries)]


def _table(entries: Entries, usable: Usable, class_names: tuple[str, ...], policy: splits.Policy,
           notes: list[str]) -> Table:
    number = {name: position for position, name in enumerate(class_names)}

    def column(values: Sequence[object], dtype: type = object) -> np.ndarray:
        return np.array([values[i] for i in usable.kept], dtype)

    groups = None if entries.groups is None else column(entries.groups)
    assigned = splits.assign(
        column([number.get(label, -1) for label in entries.labels], np.int64),
        None if entries.splits is None else column(entries.splits), usable.checksums, groups, class_names, policy)
    return Table(
        kind=entries.kind, inputs=column(entries.inputs, np.int64 if entries.array is not None else object),
        names=column(entries.names), labels=assigned.labels, splits=assigned.splits, groups=groups,
        rows=column(entries.rows, np.int64), class_names=class_names, checksums=np.array(usable.checksums, object),
        decoders=usable.decoders, sizes=usable.sizes, channels=usable.channels, array=entries.array,
        rejected=usable.rejected, notes=tuple(map(one_line, [*notes, *assigned.notes])), source=entries.source,
        names_splits=entries.splits is not None)
