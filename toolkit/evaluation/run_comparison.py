"""Finished runs beside each other: scores on the same test rows, paired tests, whether numbers repeat."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit import ToolkitError
from toolkit.evaluation import comparison, metrics
from toolkit.evaluation.text_tables import aligned, printable, score, wrapped

KEYS = ("row", "input", "split", "label", "status", "prediction")
PREFIX = "probability_"


@dataclass(frozen=True, eq=False)
class Run:
    """What a run predicted.

    Attributes:
        name: the folder, as the user wrote it.
        recipe: in words.
        class_names: in the order of the probabilities.
        predictions: predictions.csv, one line an input row; all text but ``row`` and the probabilities.
        groups: row -> group, or None where the table had none.
    """

    name: str
    recipe: str
    class_names: tuple[str, ...]
    predictions: pd.DataFrame
    groups: pd.Series | None

    def scored(self) -> pd.DataFrame:
        """The labelled test rows that were predicted, in the order of the input."""
        table = self.predictions
        return table[(table["split"] == "test") & (table["status"] == "ok") & (table["label"] != "")].sort_values("row")


def read_run(path: str | Path) -> Run:
    """Read a finished run.

    Args:
        path: the folder that a command was given as ``--output``.

    Raises:
        ToolkitError: if it is no folder of a finished run, or its files are damaged.
    """
    folder = Path(path)
    for name in ("report.json", "predictions.csv"):
        if not (folder / name).is_file():
            raise ToolkitError(f"{path} holds no {name}: expected the folder of a finished run, the one named by "
                               "--output. Finish the run with --resume, or correct the path.")
    try:
        recipe = json.loads((folder / "report.json").read_text(encoding="utf-8"))["recipe"]
    except (ValueError, KeyError, TypeError) as error:
        raise ToolkitError(f"{folder / 'report.json'} is damaged: expected the JSON of a report with a recipe "
                           f"({error}). Run the command again.") from error
    predictions = read_predictions(folder / "predictions.csv")
    return Run(str(path), str(recipe), _class_names(predictions), predictions, _groups(folder / "splits.csv"))


def read_predictions(path: Path) -> pd.DataFrame:
    """Read predictions.csv: ``row`` int, probabilities and confidence float64 (NaN where rejected), all else text.

    Raises:
        ToolkitError: if it is not such a file.
    """
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            header = next(csv.reader(file), [])
        missing = [name for name in KEYS if name not in header]
        if missing:
            raise ValueError(f"no column {missing[0]!r}")
        numbers = [name for name in header if name == "confidence" or name.startswith(PREFIX)]
        return pd.read_csv(path, encoding_errors="surrogateescape", keep_default_na=False,
                           na_values={name: [""] for name in numbers},
                           dtype={**dict.fromkeys(KEYS, object), "row": np.int64, **dict.fromkeys(numbers, np.float64)})
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise ToolkitError(f"{path} is not the predictions.csv of a run: {error}. Run the command again.") from error


def compare_runs(paths: Sequence[str | Path]) -> dict[str, Any]:
    """Compare runs on the test rows that they share, each with the first.

    Args:
        paths: of at least two finished runs.

    Returns:
        JSON-serialisable dict: count, classes, runs [{name, recipe, scores}], comparisons [as of
        ``comparison.compare``, the run first and the first run second, and p_value_holm], verdicts [{code, sentence},
        by the p-value after Holm]. Rows of one group are taken together where the runs know their groups.

    Raises:
        ToolkitError: if runs cannot be read, or differ in classes or labelled test rows.
    """
    if len(paths) < 2:
        raise ToolkitError(f"Expected at least two runs to compare, got {len(paths)}.")
    runs = [read_run(path) for path in paths]
    first = runs[0].scored()
    if first.empty:
        raise ToolkitError(f"{runs[0].name}: no labelled test row, so there is nothing to compare on.")
    for run in runs[1:]:
        _check_shared(runs[0], run)
    groups = None if runs[0].groups is None else runs[0].groups.reindex(first["row"]).fillna("").to_numpy(dtype=object)
    hits = [(run.scored()["prediction"] == run.scored()["label"]).to_numpy() for run in runs]
    comparisons = [comparison.compare_hits(own, hits[0], first_name=run.name, second_name=runs[0].name, groups=groups)
                   for run, own in zip(runs[1:], hits[1:], strict=True)]
    comparison.adjust(comparisons)
    return {
        "count": len(first),
        "classes": list(runs[0].class_names),
        "runs": [{"name": run.name, "recipe": run.recipe, "scores": _scores(run, groups)} for run in runs],
        "comparisons": comparisons,
        "verdicts": [comparison.verdict({**result, "p_value": result["p_value_holm"]}, noun="test rows")
                     for result in comparisons],
    }


def text(result: dict[str, Any]) -> str:
    """The result of ``compare_runs`` in columns and words."""
    rows = [["run", "recipe", "accuracy", "log loss", "difference", "p (Holm)"]]
    for number, run in enumerate(result["runs"]):
        compared = result["comparisons"][number - 1] if number else None
        rows.append([printable(run["name"]), printable(run["recipe"]), score(run["scores"], "accuracy"),
                     f"{run['scores']['log_loss']:.3f}",
                     comparison.points(compared).replace(" points", "") if compared else "",
                     comparison.p_in_words(compared["p_value_holm"]).removeprefix("p ").removeprefix("= ")
                     if compared else ""])
    grouped = result["comparisons"][0]["num_groups"]
    test = f"the exact test by group, {grouped:,} groups" if grouped else "McNemar's exact test"
    note = (f"difference: from {result['runs'][0]['name']}, in points [95 % interval]; p: {test}, adjusted by Holm for "
            f"{len(result['verdicts'])} {'comparison' if len(result['verdicts']) == 1 else 'comparisons'}.")
    return "\n".join([f"{result['count']:,} test rows, {len(result['classes']):,} classes", *aligned(rows, "<<<><>"),
                      *wrapped(note), "", *(line for verdict in result["verdicts"]
                                            for line in wrapped(verdict["sentence"], indent=0))])


def compare_predictions(first: str | Path, second: str | Path) -> dict[str, Any]:
    """Check that two predictions.csv of the same rows hold the same numbers.

    Args:
        first: a predictions.csv.
        second: a predictions.csv.

    Returns:
        dict: rows, max_difference (of a probability), identical_predictions, identical_files (byte for byte).

    Raises:
        ToolkitError: if a file cannot be read, or they differ in rows, labels, status or classes.
    """
    tables = [read_predictions(Path(path)) for path in (first, second)]
    classes = [_class_names(table) for table in tables]
    if classes[0] != classes[1]:
        raise ToolkitError(f"{first} and {second} differ in their classes: {', '.join(classes[0][:5])} ... and "
                           f"{', '.join(classes[1][:5])} ...; expected two runs on the same table.")
    _check_same_rows(tables[0], tables[1], str(first), str(second), list(KEYS[:-1]))
    values = [table[[PREFIX + name for name in classes[0]]].to_numpy() for table in tables]
    blank = [np.isnan(part) for part in values]
    if not np.array_equal(*blank):
        raise ToolkitError(f"{first} and {second} differ in which rows have probabilities. Run the command again.")
    differences = np.abs(values[0] - values[1])[~blank[0]]
    return {"rows": len(tables[0]), "max_difference": float(differences.max(initial=0.0)),
            "identical_predictions": bool((tables[0]["prediction"] == tables[1]["prediction"]).all()),
            "identical_files": Path(first).read_bytes() == Path(second).read_bytes()}


def _class_names(predictions: pd.DataFrame) -> tuple[str, ...]:
    return tuple(name.removeprefix(PREFIX) for name in predictions.columns if name.startswith(PREFIX))


def _groups(path: Path) -> pd.Series | None:
    """row -> group from splits.csv; None where it has no groups."""
    if not path.is_file():
        return None
    table = pd.read_csv(path, keep_default_na=False, dtype=object, encoding_errors="surrogateescape")
    return table.set_index(table["row"].astype(np.int64))["group"] if "group" in table else None


def _scores(run: Run, groups: np.ndarray | None) -> dict[str, Any]:
    """Scores of a run on its labelled test rows."""
    rows = run.scored()
    numbers = {name: number for number, name in enumerate(run.class_names)}
    probabilities = rows[[PREFIX + name for name in run.class_names]].to_numpy()
    return metrics.scores(rows["label"].map(numbers).to_numpy(), probabilities, run.class_names, groups=groups)


def _check_shared(first: Run, second: Run) -> None:
    """Refuse runs whose classes or labelled test rows differ."""
    if first.class_names != second.class_names:
        odd = sorted(set(first.class_names) ^ set(second.class_names)) or ["their order"]
        raise ToolkitError(f"{first.name} and {second.name} differ in their classes ({', '.join(odd[:5])}): expected "
                           "runs with the same training labels.")
    _check_same_rows(first.scored(), second.scored(), first.name, second.name, ["row", "input", "label"])


def _check_same_rows(first: pd.DataFrame, second: pd.DataFrame, first_name: str, second_name: str,
                     columns: list[str]) -> None:
    """Refuse tables that differ in these columns; the error names the first row that does."""
    rows = [set(map(tuple, table[columns].itertuples(index=False))) for table in (first, second)]
    odd = sorted(rows[0] ^ rows[1])
    if odd:
        described = ", ".join(f"{column} {printable(str(value))}"
                              for column, value in zip(columns, odd[0], strict=True))
        holder = first_name if odd[0] in rows[0] else second_name
        raise ToolkitError(f"{first_name} and {second_name} do not share their rows: {described} is only in {holder} "
                           f"({len(odd):,} such rows). Compare runs on the same table with the same split seed.")
