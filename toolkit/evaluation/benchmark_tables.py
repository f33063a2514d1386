"""The table of a benchmark: errors over seeds with intervals, cost, paired comparisons and a verdict in words.

Every row is compared with the majority class, with logistic regression on the plain inputs and with the row that is
best on validation; p-values are adjusted by Holm for the rows of one comparison. McNemar's test asks whether two
trained classifiers differ, on the first seed's predictions; the paired difference over seeds asks whether two methods
do (see ``repetitions``), and where there are several seeds the verdict goes by that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toolkit import atomic_files
from toolkit.evaluation import benchmark_verdicts, comparison, repetitions
from toolkit.evaluation.repetitions import TestRows
from toolkit.evaluation.report import files
from toolkit.evaluation.text_tables import aligned, printable, shortened, wrapped

MAJORITY = "majority class"
CONTROLS = tuple(f"logistic regression on {space}" for space in ("pixels", "n-grams", "values"))
"""The plain row that every other is held against: of images, of texts, of series."""
COLUMNS = ("name", "error", "deviation", "low95", "high95", "worst_error", "seeds", "validation_error",
           "labels_only_error", "seconds", "peak_memory_gb", "published_error", "published_source", "failure")
NAME_WIDTH = 40


def build(measured: Sequence[Mapping[str, Any]], tests: TestRows) -> dict[str, Any]:
    """Put rows side by side.

    Args:
        measured: for each row: name, kind ("plain", "network" or "unlabelled"), hits (as of ``repetitions.accuracy``),
            validation (accuracy for each seed, None where there is none), control_hits (as hits, of its own labels-only
            control, or None for each seed), seconds and peak_memory_gb (for each seed), published
            (of ``published_figures.figure``, or None), failure (a sentence, or ""; then nothing else is looked at), and
            whatever else shall be kept.
        tests: the labelled test rows of each seed.

    Returns:
        JSON-ready dict: rows (each with error, deviation, interval95 of the error, worst_error, seeds,
        validation_error, labels_only_error, seconds (mean), peak_memory_gb (largest)), seeds, test_rows,
        same_test_rows, best_on_validation, labels_only (name of the row that "unlabelled" rows are held against, or
        None), own_controls (of each "unlabelled" row against its own labels-only control, as comparisons), comparisons
        {name of the second: [first, difference of the accuracies (first minus second), interval95, p_value,
        p_value_holm, seeds, mcnemar]}, verdict {code, sentence, sentences}.
    """
    alive = [row for row in measured if not row["failure"]]
    best = _best_on_validation(alive)
    names = {row["name"] for row in alive}
    control = control_of(names)
    labels_only = benchmark_verdicts.labels_only(alive, majority=MAJORITY, control=control)
    references = dict.fromkeys(name for name in (MAJORITY, control, best, labels_only) if name in names)
    comparisons = {name: _comparisons(alive, name, tests) for name in references}
    own = [{"first": row["name"], **repetitions.difference(row["hits"], row["control_hits"], tests)}
           for row in alive if row["kind"] == "unlabelled"]
    comparison.adjust(own)
    rows = [_row(row, tests) for row in measured]
    return {"rows": rows, "seeds": len(tests.rows), "test_rows": len(tests.rows[0]), "same_test_rows": tests.shared,
            "best_on_validation": best, "labels_only": labels_only, "own_controls": own,
            "comparisons": comparisons,
            "verdict": benchmark_verdicts.verdict(alive, tests, comparisons, majority=MAJORITY, control=control,
                                                  best=best, labels_only=labels_only, own_controls=own)}


def control_of(names: Collection[str]) -> str:
    """The plain row that every other is held against, among the rows of a benchmark.

    Args:
        names: of the rows.

    Example:
        >>> control_of({"majority class", "logistic regression on n-grams"})
        'logistic regression on n-grams'
    """
    return next((name for name in CONTROLS if name in names), CONTROLS[0])


def _row(row: Mapping[str, Any], tests: TestRows) -> dict[str, Any]:
    """A line of the table."""
    of_seeds = ("hits", "validation", "control_hits", "seconds", "peak_memory_gb")
    kept = {key: value for key, value in row.items() if key not in of_seeds}
    if row["failure"]:
        return kept
    found = repetitions.accuracy(row["hits"], tests)
    low, high = found["interval95"]
    runs = [{"error": 1 - float(hits.mean()), "validation_error": None if own is None else 1 - own, "seconds": seconds,
             "peak_memory_gb": memory}
            for hits, own, seconds, memory in zip(row["hits"], row["validation"], row["seconds"],
                                                  row["peak_memory_gb"], strict=True)]
    validation = None if None in row["validation"] else 1 - float(np.mean(row["validation"]))
    labels_only = None
    if row["kind"] == "unlabelled":
        labels_only = 1 - float(np.mean([own.mean() for own in row["control_hits"]]))
    return {**kept, "error": 1 - found["mean"], "deviation": found["deviation"], "interval95": [1 - high, 1 - low],
            "worst_error": 1 - found["worst"], "seeds": found["seeds"], "validation_error": validation,
            "labels_only_error": labels_only, "seconds": float(np.mean(row["seconds"])),
            "peak_memory_gb": max(row["peak_memory_gb"]), "runs": runs}


def _best_on_validation(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The row with the highest mean validation accuracy, the first of equals; None where not every row has one."""
    if not rows or any(None in row["validation"] for row in rows):
        return None
    return max(rows, key=lambda row: np.mean(row["validation"]))["name"]


def _comparisons(rows: Sequence[Mapping[str, Any]], name: str, tests: TestRows) -> list[dict[str, Any]]:
    """Every other row with the row of this name."""
    second = next(row for row in rows if row["name"] == name)
    groups = None if tests.groups is None else tests.groups[0]
    found = []
    for first in (row for row in rows if row is not second):
        once = comparison.compare_hits(first["hits"][0], second["hits"][0], first_name=first["name"],
                                       second_name=name, groups=groups)
        found.append({"first": first["name"], **repetitions.difference(first["hits"], second["hits"], tests),
                      "mcnemar": {key: once[key] for key in ("only_first_right", "only_second_right", "p_value")}})
    comparison.adjust(found)
    comparison.adjust([own["mcnemar"] for own in found])
    return found


# ---- Text ---------------------------------------------------------------------------------------------------------


def text(report: Mapping[str, Any]) -> str:
    """The benchmark for a terminal: heading, table, comparisons, failures, notes and the verdict.

    Args:
        report: of ``build``, with source, num_classes, splits ({split: labelled rows}) and notes added.
    """
    lines = [*_heading(report), "", *aligned(_cells(report), _alignment(report)), ""]
    lines += [line for name, found in report["comparisons"].items() if found and name != MAJORITY
              for line in (*_compared(report, name, found), "")]
    for row in report["rows"]:
        if row["failure"]:
            lines += wrapped(f"{row['name']} failed: {row['failure']}", mark="- ")
    for note in report["notes"]:
        lines += wrapped(note, mark="- ")
    return "\n".join([*lines, "", *(line for sentence in report["verdict"]["sentences"]
                                    for line in wrapped(sentence, indent=0))])


def _heading(report: Mapping[str, Any]) -> list[str]:
    title = printable(f"Benchmark on {report['source']}")
    counts = ", ".join(f"{split} {count:,}" for split, count in report["splits"].items() if count)
    seeds = f"{report['seeds']} seeds" if report["seeds"] > 1 else "one seed"
    if report["seeds"] > 1:
        seeds += ", the same test rows for all" if report["same_test_rows"] else ", each with its own test rows"
    return [title, "=" * len(title), f"{report['num_classes']:,} classes; labelled rows: {counts}; {seeds}"]


def _cells(report: Mapping[str, Any]) -> list[list[str]]:
    """Header and lines of the table; the last two columns only where there is something in them."""
    digits = comparison.decimals(report["test_rows"])
    published = any(row["published"] for row in report["rows"])
    controls = any(row.get("labels_only_error") is not None for row in report["rows"])
    extra = [*(["its labels only"] if controls else []), *(["published"] if published else [])]
    lines = [["row", "test error [95 %]", "sd", "worst", "validation", "time", "memory", *extra]]
    for row in report["rows"]:
        name = shortened(row["name"], NAME_WIDTH)
        if row["failure"]:
            lines.append([name, "failed", *[""] * (5 + len(extra))])
            continue
        low, high = row["interval95"]
        figure = _percent(row["published"]["error"], 2) if row["published"] else ""
        lines.append([name, f"{_percent(row['error'], digits)} [{100 * low:.{digits}f}, {100 * high:.{digits}f}]",
                      _percent(row["deviation"], 2), _percent(row["worst_error"], digits),
                      _percent(row["validation_error"], digits), duration(row["seconds"]),
                      f"{row['peak_memory_gb']:.1f} GB",
                      *([_percent(row["labels_only_error"], digits)] if controls else []),
                      *([figure] if published else [])])
    return lines


def _alignment(report: Mapping[str, Any]) -> str:
    return "<<" + ">" * (len(_cells(report)[0]) - 2)


def _compared(report: Mapping[str, Any], name: str, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The comparisons with one row."""
    several = report["seeds"] > 1
    best = ", the row best on validation" if name == report["best_on_validation"] else ""
    rows = [["  row", "points [95 %]", *(["p over seeds"] if several else []), "p, McNemar"]]
    for own in found:
        words = comparison.points({**own, "count": report["test_rows"]}).replace(" points", "")
        rows.append([f"  {shortened(own['first'], NAME_WIDTH)}", words, *([_p(own)] if several else []),
                     _p(own["mcnemar"])])
    return [*wrapped(f"Accuracy beside {name}{best}"), *aligned(rows, "<<>>"[:len(rows[0])])]


def _p(found: Mapping[str, Any]) -> str:
    return comparison.p_in_words(found["p_value_holm"]).removeprefix("p ").removeprefix("= ")


def _percent(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f} %"


def duration(seconds: float) -> str:
    """Seconds in short: "0.4 s", "34 s", "2.1 min", "12 min", "2.5 h".

    Example:
        >>> [duration(seconds) for seconds in (0.42, 34, 126, 700, 9000)]
        ['0.4 s', '34 s', '2.1 min', '12 min', '2.5 h']
    """
    unit, size = ("s", 1) if seconds < 90 else ("min", 60) if seconds < 5400 else ("h", 3600)
    return f"{seconds / size:.{int(seconds < 9.5 * size)}f} {unit}"


# ---- Files --------------------------------------------------------------------------------------------------------


def markdown(report: Mapping[str, Any]) -> str:
    """The table, its sources and the verdict as Markdown."""
    cells = [[cell.replace("|", "\\|") for cell in line] for line in _cells(report)]
    lines = [f"## {printable(report['source']).replace('|', chr(92) + '|')}", "", _heading(report)[2] + ".", ""]
    lines += ["| " + " | ".join(line) + " |" for line in cells]
    lines.insert(5, "|" + "---|" * len(cells[0]))
    failed = [f"{row['name']} failed: {row['failure']}" for row in report["rows"] if row["failure"]]
    return "\n".join([*lines, "", *(f"- {line}" for line in (*failed, *report["notes"])), "",
                      *report["verdict"]["sentences"], ""])


def write(output: Path, report: Mapping[str, Any], *, name: str = "benchmark") -> None:
    """Write ``<name>.csv``, ``<name>.md`` and, last, ``<name>.json`` to a folder.

    Raises:
        ToolkitError: if the disk refuses.
    """
    files.write_csv(output / f"{name}.csv", COLUMNS, (csv_line(row) for row in report["rows"]))
    with atomic_files.in_place_of(output / f"{name}.md") as temporary:
        temporary.write_text(markdown(report), encoding="utf-8", errors="backslashreplace")
    files.write_json(output / f"{name}.json", report)


def csv_line(row: Mapping[str, Any]) -> list[Any]:
    """The cells of a row in the order of ``COLUMNS``; "" for what is not known."""
    low, high = row.get("interval95") or ("", "")
    published = row["published"] or {}
    flat = {**row, "low95": low, "high95": high, "published_error": published.get("error"),
            "published_source": published.get("source")}
    return ["" if flat.get(column) is None else flat[column] for column in COLUMNS]
