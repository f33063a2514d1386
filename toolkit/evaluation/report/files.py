"""The files of a run, each written aside and put in place whole."""

from __future__ import annotations

import csv
import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from toolkit import ToolkitError, atomic_files
from toolkit.evaluation.report.contents import normalised
from toolkit.tables import Table

CONTROL = "control.csv"
HISTORY_COLUMNS = ("epoch", "seconds", "learning_rate", "loss")


def write(output: Path, table: Table, probabilities: np.ndarray, report: Mapping[str, Any], *,
          params: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> None:
    """Write predictions.csv, rejected.csv, splits.csv, classes.json, history.csv, params.json and, last, report.json.

    Args:
        output: folder of the run, made where missing.
        table: of n rows.
        probabilities: (n, C), in the order of the table; written so that they read back as the same numbers.
        report: from ``build``.
        params: every option, versions, fingerprints.
        history: a dict each epoch.

    Raises:
        ToolkitError: if a file cannot be written; then no part of it is left.
    """
    output = Path(output)
    names = table.class_names
    lines = prediction_lines(table, probabilities)
    write_csv(output / "predictions.csv", next(lines), lines)
    rejected = [row for _, _, row in _in_input_order(table) if row is not None]
    rejected += [row for row in table.rejected if row.origin]
    sources = [] if table.origins is None else ["source"]  # of added unlabelled images, whose rows count for themselves
    write_csv(output / "rejected.csv", ["row", "input", "reason", "message", *sources],
              ([row.row, row.input, row.reason, row.message, *([row.origin] if sources else [])] for row in rejected))
    write_csv(output / "splits.csv", ["row", "split"] + ["group"] * (table.groups is not None) + ["checksum"],
              _splits(table))
    write_json(output / "classes.json", list(names))
    columns = list(dict.fromkeys([*HISTORY_COLUMNS, *(key for epoch in history for key in epoch)]))
    write_csv(output / "history.csv", columns, ([epoch.get(column, "") for column in columns] for epoch in history))
    write_json(output / "params.json", params)
    write_json(output / "report.json", report)


def write_control(output: Path, table: Table, probabilities: np.ndarray) -> None:
    """Write control.csv: what the labels-only control of a run says of the labelled test rows.

    Args:
        output: folder of the run.
        table: with t labelled test rows.
        probabilities: (t, C).

    Raises:
        ToolkitError: if the file cannot be written.
    """
    names, rows, answers = table.class_names, table.labelled("test"), probabilities.argmax(axis=1)
    write_csv(output / CONTROL, ["row", "label", "prediction", "confidence"],
              ([int(table.rows[rows[i]]), names[table.labels[rows[i]]], names[answers[i]],
                float(probabilities[i, answers[i]])] for i in np.argsort(table.rows[rows])))


def control_hits(output: Path, rows: np.ndarray) -> np.ndarray:
    """Where the labels-only control of a run was right, (k,) bool for labelled test rows (k,), by their numbers.

    Raises:
        OSError: there is no control.csv.
        KeyError: it lacks one of the rows.
    """
    with open(output / CONTROL, encoding="utf-8", newline="") as file:
        right = {int(line["row"]): line["label"] == line["prediction"] for line in csv.DictReader(file)}
    return np.array([right[row] for row in rows.tolist()], bool)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file whole or not at all; floats as short as reads back the same number."""
    with _put_in_place(path) as file:
        writer = csv_writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def csv_writer(file: Any) -> Any:
    """A ``csv.writer`` whose lines end in LF, and that quotes a cell with a carriage return too."""
    return csv.writer(_Lines(file), lineterminator="\r\n")


class _Lines:
    """Takes lines that end in CR LF and writes them with LF."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def write(self, line: str) -> None:
        """Writes one line."""
        self.file.write(line.removesuffix("\r\n") + "\n")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all: lists of numbers on one line, None for what is not finite."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    text = re.sub(r'\[\n[^\[\]{}"]*\]', lambda found: " ".join(found.group().split()), text)
    with _put_in_place(path, errors="backslashreplace") as file:  # a lone surrogate becomes JSON's own escape for it
        file.write(text + "\n")


def plain(value: Any) -> Any:
    """The value in JSON's types: arrays, tuples, sets and paths converted; NaN and infinity become None."""
    if value is None or type(value) in (bool, int, str):  # first, for speed: a confusion matrix may hold millions
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return str(value)


def prediction_lines(table: Table, probabilities: np.ndarray) -> Iterator[list[Any]]:
    """Lines of predictions.csv: the header, then every row in the order of the input, the rejected ones among them.

    Args:
        table: of n rows.
        probabilities: (n, C), in the order of the table.
    """
    yield ["row", "input", "split", "label", "status", "prediction", "confidence",
           *(f"probability_{name}" for name in table.class_names)]
    probabilities = normalised(table, probabilities)
    predictions, confidences = probabilities.argmax(axis=1), probabilities.max(axis=1)
    blank = [""] * (2 + len(table.class_names))
    for row, index, rejected in _in_input_order(table):
        if rejected is not None:
            yield [row, rejected.input, rejected.split, rejected.label, "rejected", *blank]
            continue
        label = table.class_names[table.labels[index]] if table.labels[index] >= 0 else ""
        yield [row, table.names[index], table.splits[index], label, "ok", table.class_names[predictions[index]],
               float(confidences[index]), *probabilities[index].tolist()]


def _splits(table: Table) -> Iterator[list[Any]]:
    """Lines of splits.csv in the order of the input; with the group where the table has groups, and the checksum of
    what a label was learnt of, or chose by: such rows can test nothing that builds on this run."""
    for row, index, rejected in _in_input_order(table):
        line = [row, table.splits[index] if rejected is None else rejected.split]
        if table.groups is not None:
            line.append(table.groups[index] if rejected is None and table.groups[index] is not None else "")
        told = rejected is None and table.labels[index] >= 0 and table.splits[index] != "test"
        yield [*line, table.checksums[index] if told else ""]


def learnt(run: str | Path) -> frozenset[str]:
    """Checksums of the rows whose labels a run has learnt from or was chosen by; none where that is not known.

    Args:
        run: its folder, or a file in it.
    """
    path = (Path(run) if Path(run).is_dir() else Path(run).parent) / "splits.csv"
    try:
        return _checksums(path, path.stat().st_mtime_ns)
    except (OSError, csv.Error):
        return frozenset()


@functools.lru_cache(maxsize=1)
def _checksums(path: Path, written: int) -> frozenset[str]:
    """Those of a splits.csv as it was written then: a recipe builds its backbone, and so asks, several times."""
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return frozenset(line.get("checksum") or "" for line in csv.DictReader(file)) - {""}


def _in_input_order(table: Table) -> Iterator[tuple[int, int, Any]]:
    """Row number, index into the table and, for a rejected row, what is known of it (its index is -1).

    Images added from other sources are no rows of the input.
    """
    own = range(len(table)) if table.origins is None else np.flatnonzero(table.origins == "")
    entries = [(int(table.rows[index]), int(index), None) for index in own]
    entries += [(int(rejected.row), -1, rejected) for rejected in table.rejected if not rejected.origin]
    return iter(sorted(entries, key=lambda entry: entry[:2]))


@contextmanager
def _put_in_place(path: Path, *, errors: str = "surrogateescape") -> Iterator[TextIO]:
    """A text file to write, that replaces ``path`` once it is complete and on disk, and else leaves nothing.

    Names of files that are not UTF-8 go out as the bytes they came in as.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_files.in_place_of(path) as temporary:
            with temporary.open("w", encoding="utf-8", errors=errors, newline="") as file:
                yield file
    except OSError as error:
        raise ToolkitError(f"{path} cannot be written: {error.strerror or error}. Make room or name another folder, "
                           "and run the command again.") from error
