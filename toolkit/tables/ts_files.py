"""The ``.ts`` files of the UCR and UEA archive: NAME_TRAIN.ts and NAME_TEST.ts, or one file without splits.

A line below ``@data`` is a series: channels between colons, each with its values between commas (``?`` or NaN is a
missing one), and the class at the end. Anything after ``#`` at the beginning of a line is a remark.

References:
    https://www.timeseriesclassification.com (the archive); https://arxiv.org/abs/1810.07758 (its form)
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from toolkit.tables import series, sheets
from toolkit.tables.entries import Entries
from toolkit.tables.errors import TableError, listed

SUFFIX = ".ts"
_SPLITS = {"_train": "train", "_test": "test"}


def is_one(name: str) -> bool:
    """Whether a path is a ``.ts`` file, or a folder of such files without folders in it."""
    if os.path.isdir(name):
        try:
            with os.scandir(name) as inside:
                entries = list(inside)
        except OSError:  # whoever lists the folder next says what is the matter
            return False
        return any(entry.name.lower().endswith(SUFFIX) for entry in entries) and not any(map(os.DirEntry.is_dir,
                                                                                              entries))
    return name.lower().endswith(SUFFIX) and os.path.isfile(name)


def read(source: str) -> Entries:
    """Reads a set of series.

    Args:
        source: NAME_TRAIN.ts or NAME_TEST.ts, which stand for both; another ``.ts`` file; or the folder of these.

    Raises:
        TableError: a file cannot be read, or the folder holds several sets.
    """
    files = _files(source)
    names, found, labels, splits, problems = [], [], [], [], {}
    for path, split in files:
        lines, has_labels = _lines(path)
        for number, line in lines:
            values, label = _series(path, number, line, has_labels)
            if isinstance(values, series.NoSeries):
                problems[len(found)] = values.reason, values.message
                values = np.zeros((0, 1), np.float32)
            names.append(f"{path.stem}[{sum(split == other for other in splits)}]")
            found.append(values)
            labels.append(label)
            splits.append(split)
    if not found:
        raise TableError(f"{source} holds no series: expected lines of numbers below @data.")
    return Entries(source, names, np.arange(len(found)), labels, None if None in splits else splits,
                   array=series.collected(found), kind="series", problems=problems)


def _files(source: str) -> list[tuple[Path, str | None]]:
    """The files of a set, training first, and the split of each; None where there is one file without a split."""
    path = Path(source)
    inside = sorted(other for other in (path if path.is_dir() else path.parent).iterdir()
                    if other.suffix.lower() == SUFFIX)
    sets: dict[str, list[Path]] = {}
    for other in inside:
        sets.setdefault(_set_and_split(other)[0], []).append(other)
    if path.is_dir():
        if len(sets) > 1:
            raise TableError(f"{source} holds several sets of series: {listed(sets)}. Name one, such as {inside[0]}.")
        files = inside
    else:
        name, split = _set_and_split(path)
        files = [path] if split is None else sets[name]
    if any(_set_and_split(file)[1] for file in files):  # a file of both beside them would hide which row is which
        files = [file for file in files if _set_and_split(file)[1]]
    order = list(_SPLITS.values())
    found = [(file, _set_and_split(file)[1]) for file in files]
    return sorted(found, key=lambda one: order.index(one[1]) if one[1] else 0)


def _set_and_split(path: Path) -> tuple[str, str | None]:
    for ending, split in _SPLITS.items():
        if path.stem.lower().endswith(ending):
            return path.stem[: -len(ending)], split
    return path.stem, None


def _lines(path: Path) -> tuple[list[tuple[int, str]], bool]:
    """The lines below @data with their numbers in the file, and whether a class stands at their ends."""
    text, _ = sheets.text_of(str(path))
    header: dict[str, str] = {}
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    for position, (_, line) in enumerate(lines):
        word, _, rest = line.lower().partition(" ")
        if word == "@data":
            break
        header[word] = rest.strip()
    else:
        raise TableError(f"{path} has no line @data, below which the series of a .ts file stand.")
    if header.get("@timestamps", "false").startswith("true"):
        raise TableError(f"{path} holds time stamps with its values, which are not read here: write the series to a "
                         "CSV file with the columns series, time, label and one for each channel.")
    if header.get("@targetlabel", "false").startswith("true"):
        raise TableError(f"{path} is for regression (@targetlabel true); this is a classifier.")
    return ([(number, line) for number, line in lines[position + 1 :] if line and not line.startswith("#")],
            header.get("@classlabel", "true").startswith("true"))


def _series(path: Path, number: int, line: str, has_label: bool) -> tuple[np.ndarray | series.NoSeries, str]:
    """The series and the label of a line."""
    parts = line.split(":")
    label = parts.pop().strip() if has_label else ""
    try:
        channels = [np.array([series.number(value) for value in part.split(",")]) for part in parts]
        if not channels:
            raise series.NoSeries("unreadable", f"line {number} holds no ':' between the values and the class")
        values = np.full((max(map(len, channels)), len(channels)), np.nan)
        for channel, of_channel in enumerate(channels):
            values[: len(of_channel), channel] = of_channel
        return series.tidied(values), label if label not in ("?", "") else ""
    except ValueError as error:
        return series.NoSeries("unreadable", f"line {number} of {path.name}: {error}"), label
    except series.NoSeries as error:
        return error, label
