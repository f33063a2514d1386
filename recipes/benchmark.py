"""The honest benchmark: plain baselines and trained networks on the same rows, with error bars, cost and a verdict.

A row of the table is a baseline on a space (pixels, HOG descriptors, n-grams of texts, values of series, frozen
features) or a recipe with its options. It is done once for every seed, which draws weights, batches, splits that the
table does not name, and the few labels; what depends on no seed is done once. Each is a process of its own, so that its
time and memory are its own, and one that fails becomes a line of the table. Fitting and every choice happen on training
and validation rows; the labelled test rows are predicted once. What is done stays in ``rows/<row>/seed-<k>/``, and a
benchmark that was stopped continues with what is missing; more rows and more seeds may be asked for then. Unlabelled
rows are seen by the recipes that learn from them, and by no other row.

References:
    Demsar 2006 (what to report, which tests), https://www.jmlr.org/papers/v7/demsar06a.html
    ``toolkit.evaluation.repetitions`` (intervals), ``toolkit.evaluation.benchmark_tables`` (comparisons, verdict)
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recipes import benchmark_work
from recipes.benchmark_work import Row
from toolkit import ToolkitError
from toolkit.evaluation import benchmark_tables, published_figures
from toolkit.evaluation.baselines import on_sequences
from toolkit.evaluation.repetitions import TestRows
from toolkit.tables import Table, read_table
from toolkit.training import Settings, run_folders
from toolkit.training.progress import say

CONTROLS = ("majority class", "logistic regression")
FROM_SCRATCH = {"text": "text_cnn", "series": "series_resnet"}
"""The network of a table whose kind the usual backbone does not read."""
FEW_SEEDS = 5


def default_rows(settings: Settings = Settings(), *, kind: str = "image") -> list[Row]:
    """Majority class, the plain methods of the table's kind, and the backbone: frozen, if pretrained, and fine-tuned.

    Of images the plain methods are logistic regression and LDA on pixels, of texts and series those that
    ``on_sequences.CONTROLS`` names.

    Args:
        settings: backbone, weights and all else of the rows that use a network; where the backbone is the default one,
            texts and series have a network from scratch instead.
        kind: of the table.
    """
    plain, frozen = benchmark_work.SPACES_OF[kind][0], ("logistic regression", "LDA")
    methods = frozen if kind == "image" else on_sequences.controls(kind)
    if kind != "image" and settings.backbone == Settings().backbone:
        settings = dataclasses.replace(settings, backbone=FROM_SCRATCH[kind], weights="none")
    rows = [baseline("majority class", plain, settings), *(baseline(method, plain, settings) for method in methods)]
    if kind == "image" or not settings.from_scratch:
        rows += [*(baseline(method, "features", settings) for method in frozen),
                 Row("linear-probe", recipe="linear_probe", settings=settings)]
    return [*rows, Row("fine-tune", recipe="fine_tune", settings=settings)]


def baseline(method: str, space: str, settings: Settings = Settings()) -> Row:
    """The row of a baseline on a space.

    Args:
        method: key of ``baselines.METHODS``, or one of ``on_sequences.OWN_METHODS`` of the space.
        space: of ``benchmark_work.SPACES``.
        settings: seed and devices, and backbone and weights of the space "features".

    Example:
        >>> baseline("LDA", "pixels").name
        'LDA on pixels'
    """
    alone = method == "majority class" or space == "series" and method in on_sequences.OWN_METHODS["series"]
    name = method if alone else f"{method} on {benchmark_work.SPACES[space]}"
    return Row(name, method=method, space=space, settings=settings)


@dataclass(eq=False)
class Measurements:
    """What a benchmark has found so far.

    Attributes:
        rows: the labelled test rows of each seed, their numbers in the source.
        groups: likewise their groups, or None.
        num_train: likewise the number of labelled training rows.
        results: by name of row, for each seed, from ``benchmark_work``.
        failures: by name of row, the sentence.
    """

    rows: list[np.ndarray] = field(default_factory=list)
    groups: list[np.ndarray] | None = None
    num_train: list[int] = field(default_factory=list)
    results: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def tests(self) -> TestRows:
        """The labelled test rows."""
        return TestRows(self.rows, self.groups, self.num_train)

    def of(self, name: str, what: str) -> list[Any]:
        """What a row found for each seed; once, if it was done once for all of them."""
        results = self.results[name]
        return [own[what] for own in (results[:1] if all(own is results[0] for own in results) else results)]


def run(table: Table, *, output: str | Path, rows: Sequence[Row] | None = None, seeds: int = 1, resume: bool = False,
        prepare: Callable[[], None] | None = None) -> dict[str, Any]:
    """Measures rows on a table and writes benchmark.json, benchmark.csv and benchmark.md.

    Processes are started by "spawn": a script calls this under ``if __name__ == "__main__":``.

    Args:
        table: with labelled training and test rows, from ``read_table``.
        output: the new folder.
        rows: of the table, each with a name of its own; None: ``default_rows()``. The majority class and logistic
            regression on the plain inputs are always among them.
        seeds: how many; the first are those of the table and of each row's settings, the others follow.
        resume: go on with a benchmark that was stopped, perhaps with more rows or seeds.
        prepare: called first in every process, such as to silence TensorFlow.

    Returns:
        the report, as in ``benchmark.json``: see ``benchmark_tables.build``; a row that failed has a failure.

    Raises:
        ToolkitError: if the folder cannot be used, two rows have one name, a space is not one of the table's kind, or
            there is no labelled test row.
    """
    rows = with_controls(default_rows(kind=table.kind) if rows is None else rows, kind=table.kind)
    with run_folders.begin(output, "benchmark", table, {}, resume=resume) as folder:
        found = measure(table, rows, folder.path, seeds=seeds, prepare=prepare)
        result = report(table, rows, found)
        benchmark_tables.write(folder.path, result)
        return result


def with_controls(rows: Sequence[Row], settings: Settings = Settings(), *, kind: str = "image") -> list[Row]:
    """The rows behind the two controls, after checking that each can be done and have a folder of its own.

    Args:
        rows: with or without the controls.
        settings: seed and devices of those that are added.
        kind: of the table.

    Raises:
        ToolkitError: if two rows have one name, or a space is not one of the table's kind.
    """
    names, spaces = {row.name for row in rows}, benchmark_work.SPACES_OF[kind]
    for row in rows:
        if row.method and row.method != "majority class" and row.space not in spaces:
            raise ToolkitError(f"The row {row.name!r} is on {benchmark_work.SPACES[row.space]}, which rows of kind "
                               f"{kind} do not have: choose METHOD@{' or METHOD@'.join(spaces)}.")
    controls = [baseline(method, spaces[0], settings) for method in CONTROLS]
    rows = [*(row for row in controls if row.name not in names), *rows]
    refuse_alike(rows)
    return rows


def refuse_alike(rows: Sequence[Row]) -> None:
    """Raises ``ToolkitError`` if the names of two rows are too alike for a folder each."""
    seen: dict[str, str] = {}
    for row in rows:
        slug = _slug(row.name)
        if slug in seen:
            raise ToolkitError(f"Two rows are called {seen[slug]!r} and {row.name!r}, too alike for a folder each: "
                               "name them apart, as in NAME=SPEC.")
        seen[slug] = row.name


def measure(table: Table, rows: Sequence[Row], output: Path, *, seeds: int,
            prepare: Callable[[], None] | None = None) -> Measurements:
    """Does what is missing in ``output``, seed by seed, and reads what is there.

    Args:
        table: as for ``run``.
        rows: from ``with_controls``.
        output: a folder that exists.
        seeds: how many.
        prepare: as for ``run``.
    """
    found = Measurements(results={row.name: [] for row in rows})
    before: dict[str, int] = {}  # fingerprint of a table -> the first seed that it was of
    for seed, of_seed in enumerate(_tables(table, seeds)):
        _check(of_seed)
        test = of_seed.labelled("test")
        found.rows.append(of_seed.rows[test])
        found.num_train.append(len(of_seed.labelled("train")))
        if of_seed.groups is not None:
            found.groups = [*(found.groups or []), of_seed.groups[test]]
        same = before.setdefault(of_seed.fingerprint, seed)
        for number, row in enumerate(rows, start=1):
            if row.name in found.failures:
                continue
            if same != seed and not row.draws:
                found.results[row.name].append(found.results[row.name][same])
                continue
            folder = output / "rows" / _slug(row.name) / f"seed-{seed}"
            result = benchmark_work.result(of_seed, row.with_seed(seed), folder, prepare=prepare)
            title = f"seed {seed + 1} of {seeds}, row {number} of {len(rows)}: {row.name}"
            if result.get("failure"):
                found.failures[row.name] = result["failure"]
                say(f"{title} failed: {result['failure']}")
                continue
            found.results[row.name].append(result)
            say(f"{title}: {benchmark_tables.duration(result['seconds'])}, {result['peak_memory_gb']:.1f} GB")
    return found


def report(table: Table, rows: Sequence[Row], found: Measurements) -> dict[str, Any]:
    """The report of what was measured, for ``benchmark_tables.text``."""
    test = table.labelled("test")
    splits = {split: len(table.labelled(split)) for split in ("train", "validation", "test")}
    published = published_figures.of_table(table.checksums[test], [table.class_names[i] for i in table.labels[test]],
                                           splits["train"] + splits["validation"])
    measured = []
    for row in rows:
        measured.append({
            "name": row.name, "kind": row.kind, **row.describe(), "failure": found.failures.get(row.name, ""),
            "hits": found.of(row.name, "hits"), "validation": found.of(row.name, "validation_accuracy"),
            "control_hits": found.of(row.name, "control_hits"),
            "seconds": found.of(row.name, "seconds"), "peak_memory_gb": found.of(row.name, "peak_memory_gb"),
            "published": published_figures.figure(published, row.describe()),
            "details": next(iter(found.of(row.name, "details")), {}),
            "resumed": any(found.of(row.name, "resumed"))})
    notes = [*_notes(measured), *table.notes]
    if 1 < len(found.rows) < FEW_SEEDS:
        notes.append(f"Intervals over {len(found.rows)} seeds are wide: --seeds {FEW_SEEDS} says much more.")
    return {"recipe": "benchmark", "source": table.source, "num_classes": len(table.class_names), "splits": splits,
            "fingerprint": table.fingerprint, "notes": notes, **benchmark_tables.build(measured, found.tests)}


def _notes(measured: Sequence[dict[str, Any]]) -> list[str]:
    notes = ["Time: features, fitting and predicting, in one process a row; features that an earlier row left in the "
             "cache cost little, and a recipe fits its own controls too. Memory: the peak of that process."]
    notes += [f"Not the whole time: {row['name']} was stopped and resumed." for row in measured if row.pop("resumed")]
    for row in measured:
        if row["published"]:
            notes.append(f"Published for {row['name']}: {100 * row['published']['error']:.2f} % "
                         f"({row['published']['source']}).")
        if row["details"].get("approximation"):
            notes.append(f"{row['name']}: {row['details']['approximation']} ({row['details'].get('reason', '')}).")
    return notes


def _check(table: Table) -> None:
    for split in ("train", "test"):
        if not len(table.labelled(split)):
            raise ToolkitError(f"{table.source} has no labelled {split} row, so there is nothing to compare: label "
                               f"some, or name the column of the splits with --split-column.")


def _tables(table: Table, seeds: int) -> Iterator[Table]:
    """The table of each seed: read again with other seeds of the split and of the labels that are kept."""
    for seed in range(seeds):
        if seed and table.arguments:
            later = {name: table.arguments.get(name, 0) + seed for name in ("split_seed", "label_seed")}
            yield read_table(**{**table.arguments, **later})
        else:
            yield table


def _slug(name: str) -> str:
    """A name for a folder."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80] or "row"
