"""Error against the number of labels: how many does this table need, and is the deep model worth it at that number?

For each number of labels a class, every row of a benchmark is measured with several draws of those labels (see
``benchmark``); the test rows stay the same where the table names them. Two methods are compared at each number by their
paired difference over the draws, adjusted by Holm for the numbers. What is done stays in ``labels-<n>/rows/...``, and a
curve that was stopped continues with what is missing.

References:
    Oliver et al. 2018 (several draws of the labels, the same for all methods), https://arxiv.org/abs/1804.09170
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from recipes import benchmark
from recipes.benchmark import Row
from toolkit import ToolkitError
from toolkit.evaluation import learning_curves
from toolkit.tables import Table, read_table
from toolkit.training import run_folders
from toolkit.training.progress import say

LABELS = (1, 2, 5, 10, 20, 50, None)


def run(table: Table, *, output: str | Path, labels: Sequence[int | None] = LABELS, rows: Sequence[Row] | None = None,
        seeds: int = 3, resume: bool = False, prepare: Callable[[], None] | None = None) -> dict[str, Any]:
    """Measures the curve and writes learning_curve.json and learning_curve.csv.

    Args:
        table: with labelled training and test rows, from ``read_table``.
        output: the new folder.
        labels: training labels a class that are kept, rising; None, at the end: all.
        rows: as for ``benchmark.run``.
        seeds: draws of the labels.
        resume: go on with a curve that was stopped, perhaps with more numbers, rows or draws.
        prepare: as for ``benchmark.run``.

    Returns:
        the report, as in ``learning_curve.json``: see ``learning_curves.build``.

    Raises:
        ToolkitError: if the folder cannot be used, two rows have one name, the table cannot be read again, or there is
            no labelled test row.
    """
    if not table.arguments:
        raise ToolkitError("This table was not read by read_table, so it cannot be read again with fewer labels: "
                           "read it from a file.")
    rows = benchmark.default_rows(kind=table.kind) if rows is None else rows
    rows = benchmark.with_controls(rows, kind=table.kind)
    with run_folders.begin(output, "learning_curve", table, {}, resume=resume) as folder:
        found = []
        for count in labels:
            say(f"{'all' if count is None else count} labels a class")
            few = read_table(**{**table.arguments, "labels_per_class": count})
            path = folder.path / f"labels-{'all' if count is None else count}"
            measured = benchmark.measure(few, rows, path, seeds=seeds, prepare=prepare)
            found.append(_point(count, few, measured))
        result = {"recipe": "learning-curve", "source": table.source, "num_classes": len(table.class_names),
                  "seeds": seeds, "notes": list(table.notes),
                  **learning_curves.build([(row.name, row.kind) for row in rows], found)}
        learning_curves.write(folder.path, result)
        return result


def _point(count: int | None, table: Table, found: benchmark.Measurements) -> dict[str, Any]:
    """What was measured at one number of labels, for ``learning_curves.build``."""
    of_rows = {what: {name: found.of(name, what) for name in found.results}
               for what in ("hits", "control_hits", "seconds")}
    labelled = sum(len(table.labelled(split)) for split in ("train", "validation"))
    return {"labels_per_class": count, "labelled_rows": labelled, "tests": found.tests, "failures": found.failures,
            "pool": len(table.unlabelled()), **of_rows}
