"""Learning curves: the error of several methods against the number of labels, with intervals and a sentence."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.evaluation import comparison, repetitions
from toolkit.evaluation.benchmark_tables import MAJORITY, control_of
from toolkit.evaluation.report import files
from toolkit.evaluation.text_tables import aligned, printable, shortened, wrapped

COLUMNS = ("name", "labels_per_class", "labelled_rows", "error", "deviation", "low95", "high95", "worst_error",
           "labels_only_error", "seeds", "seconds")
OWN_CONTROL = "its labels-only control"
NAME_WIDTH = 30


def build(names: Sequence[tuple[str, str]], found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put curves side by side.

    Args:
        names: of each row, and its kind: "plain", "network" or "unlabelled".
        found: for each number of labels, rising: labels_per_class (None for all), labelled_rows, pool (unlabelled
            rows), tests (of ``repetitions``), hits, control_hits (of the labels-only control of each row that is
            "unlabelled", else None) and seconds (by name of row, for each seed), failures (by name, a sentence).

    Returns:
        JSON-ready dict: labels_per_class, labelled_rows and test_rows (lists), rows [{name, kind, failure, points:
        [error, deviation, interval95, worst_error, labels_only_error, seeds, seconds; None where it failed]}],
        comparisons [{first, second, points: [difference, interval95, p_value, p_value_holm; or None], better_from: the
        first of the last numbers of labels at all of which the first is better, or None, better_at: all those
        numbers}], verdict {sentence, sentences}. What learns from unlabelled rows is compared where there are some.
    """
    labels = [own["labels_per_class"] for own in found]
    rows = []
    for name, kind in names:
        failures = [own["failures"][name] for own in found if name in own["failures"]]
        rows.append({"name": name, "kind": kind, "failure": failures[0] if failures else "",
                     "points": [_point(name, own) for own in found]})
    unlabelled = {name for name, kind in names if kind == "unlabelled"}
    comparisons = [_comparison(first, second, found, only_with_pool=first in unlabelled)
                   for first, second in _pairs(names)]
    sentences = [_sentence(first, [own for own in comparisons if own["first"] == first], labels)
                 for first in dict.fromkeys(own["first"] for own in comparisons)]
    return {"labels_per_class": labels, "labelled_rows": [own["labelled_rows"] for own in found],
            "test_rows": [len(own["tests"].rows[0]) for own in found], "rows": rows, "comparisons": comparisons,
            "verdict": {"sentence": sentences[0] if sentences else "", "sentences": sentences}}


def _point(name: str, found: Mapping[str, Any]) -> dict[str, Any] | None:
    """A row at a number of labels."""
    if name in found["failures"]:
        return None
    own = repetitions.accuracy(found["hits"][name], found["tests"])
    low, high = own["interval95"]
    control = found["control_hits"][name]
    return {"error": 1 - own["mean"], "deviation": own["deviation"], "interval95": [1 - high, 1 - low],
            "worst_error": 1 - own["worst"], "seeds": own["seeds"], "seconds": float(np.mean(found["seconds"][name])),
            "labels_only_error": None if control[0] is None else 1 - float(np.mean([hits.mean() for hits in control]))}


def _pairs(names: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each network with each plain row, and what learns from unlabelled rows with its own control and each row that
    does not; where there are neither, each row with the control. The majority class is left out."""
    plain, networks, unlabelled = ([name for name, own in names if own == kind and name != MAJORITY]
                                   for kind in ("plain", "network", "unlabelled"))
    if networks or unlabelled:
        sides = (networks, plain), (unlabelled, [OWN_CONTROL, *plain, *networks])
        return [(first, second) for firsts, seconds in sides for first in firsts for second in seconds]
    control = control_of(plain)
    return [(first, control) for first in plain if first != control and control in plain]


def _comparison(first: str, second: str, found: Sequence[Mapping[str, Any]], *, only_with_pool: bool) -> dict[str, Any]:
    def point(own: Mapping[str, Any]) -> dict[str, Any] | None:
        if {first, second} & set(own["failures"]) or only_with_pool and not own["pool"]:
            return None
        hits = own["control_hits"][first] if second == OWN_CONTROL else own["hits"][second]
        return repetitions.difference(own["hits"][first], hits, own["tests"])

    points = [point(own) for own in found]
    comparison.adjust([one for one in points if one is not None])
    compared = [(own["labels_per_class"] or "all", one) for own, one in zip(found, points, strict=True)
                if own["pool"] or not only_with_pool]
    better = [one is not None and one["difference"] > 0 and one["p_value_holm"] < comparison.SIGNIFICANCE
              for _, one in compared]
    start = len(better) - len(list(itertools.takewhile(bool, reversed(better))))
    return {"first": first, "second": second, "points": points,
            "better_from": None if start == len(better) else compared[start][0],
            "better_at": [count for (count, _), is_better in zip(compared, better, strict=True) if is_better]}


def _sentence(first: str, comparisons: Sequence[Mapping[str, Any]], labels: Sequence[int | None]) -> str:
    """From how many labels on a row is better than which others."""
    reached: dict[Any, list[str]] = {}
    for own in comparisons:
        reached.setdefault(own["better_from"], []).append(own["second"])
    better = []
    for start in (count or "all" for count in labels):
        if start in reached:
            where = "with all labels" if start == "all" else f"from {start} label{'s' * (start != 1)} a class on"
            better.append(f"{where} than {', '.join(reached[start])}")
    parts = [f"{first} is better {'; '.join(better)}."] if better else []
    if None in reached:
        subject = "it" if better else first
        others = [f"{own['second']}{_where_better(own['better_at'])}" for own in comparisons if not own["better_from"]]
        parts.append(f"With the most labels measured, {subject} is not shown to be better than {', '.join(others)}.")
    return printable(" ".join(parts))


def _where_better(counts: Sequence[int | str]) -> str:
    return f" (with {', '.join(map(str, counts))} a class it is)" if counts else ""


# ---- Text and files -----------------------------------------------------------------------------------------------


def text(report: Mapping[str, Any]) -> str:
    """The curves for a terminal: heading, table, failures, notes and the verdict.

    Args:
        report: of ``build``, with source, num_classes, seeds and notes added.
    """
    title = printable(f"Learning curve on {report['source']}")
    header = ["labels a class", *("all" if count is None else f"{count:,}" for count in report["labels_per_class"])]
    rows = [header, ["labelled rows", *(f"{count:,}" for count in report["labelled_rows"])]]
    rows += [[shortened(row["name"], NAME_WIDTH), *map(_cell, row["points"])] for row in report["rows"]]
    lines = [title, "=" * len(title), f"{report['num_classes']:,} classes, {report['seeds']} draws of the labels; test "
             "error in %, ± half of the 95 % interval", "", *aligned(rows, "<" + ">" * (len(header) - 1)), ""]
    lines += [line for row in report["rows"] if row["failure"]
              for line in wrapped(f"{row['name']} failed: {row['failure']}", mark="- ")]
    lines += [line for note in report["notes"] for line in wrapped(note, mark="- ")]
    return "\n".join([*lines, "", *(line for sentence in report["verdict"]["sentences"]
                                    for line in wrapped(sentence, indent=0))])


def _cell(point: Mapping[str, Any] | None) -> str:
    if point is None:
        return "failed"
    low, high = point["interval95"]
    return f"{100 * point['error']:.1f} ±{50 * (high - low):.1f}"


def write(output: Path, report: Mapping[str, Any]) -> None:
    """Write ``learning_curve.csv``, a line a row and number of labels, and ``learning_curve.json`` to a folder.

    Raises:
        ToolkitError: if the disk refuses.
    """
    lines = []
    for row in report["rows"]:
        for count, rows, point in zip(report["labels_per_class"], report["labelled_rows"], row["points"], strict=True):
            if point is not None:
                flat = {**point, "name": row["name"], "labels_per_class": count or "all", "labelled_rows": rows,
                        "low95": point["interval95"][0], "high95": point["interval95"][1]}
                lines.append(["" if flat[column] is None else flat[column] for column in COLUMNS])
    files.write_csv(output / "learning_curve.csv", COLUMNS, lines)
    files.write_json(output / "learning_curve.json", report)
