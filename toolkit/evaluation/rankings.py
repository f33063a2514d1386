"""Backbones in the order of how well their frozen features suit a table: report, files, text and a word of advice.

The order is that of the held-out accuracy of logistic regression. What trains nothing (LogME, H-score) stands beside
it with its rank correlation, Kendall's tau-b, so that a reader sees how far to trust them.
Every candidate is compared with the best on the same rows by the paired test, adjusted by Holm for being several.

References:
    Kendall (1945), The treatment of ties in ranking problems. https://doi.org/10.1093/biomet/33.3.239
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from toolkit.evaluation import comparison
from toolkit.evaluation.report import files
from toolkit.evaluation.text_tables import aligned, percent, printable, score, shortened, wrapped

SCORES = {"logme": "LogME", "h_score": "H-score"}
MIN_CANDIDATES = 3  # of two, a rank correlation is a coin
COLUMNS = ("rank", "name", "backbone", "weights", "image_size", "num_features", "accuracy", "difference",
           "p_value_holm", "logme", "h_score", "seconds_per_step", "fine_tuning_minutes")
NO_YARDSTICK = ("fewer than two classes have three labelled training rows (or groups), so none could be held out; "
                "label more rows before trusting any order")


def build(candidates: Sequence[dict[str, Any]], hits: Sequence[np.ndarray | None], labels: np.ndarray, *,
          groups: np.ndarray | None = None) -> dict[str, Any]:
    """Rank candidates.

    Args:
        candidates: each with name, logme, h_score, fine_tuning_minutes (a number or None) and whatever else is known.
        hits: for each, (n,) bool, which rows it gets right held out; None for all where nothing can be held out.
        labels: (n,) int of those rows.
        groups: (n,) names of groups of rows that belong together.

    Returns:
        JSON-serialisable dict: candidates (the best first, with rank, count, accuracy, interval95 (Wilson's; None with
        groups), difference from the best, its interval and p_value_holm), correlations {score: Kendall's tau-b with the
        accuracy, or None}, majority_accuracy, advice.
    """
    known = all(own is not None for own in hits)
    accuracies = [float(own.mean()) if known else None for own in hits]
    order = sorted(range(len(candidates)), key=lambda i: (-(accuracies[i] or 0), -candidates[i]["logme"]))
    compared = _compared([hits[i] for i in order], groups) if known else [{"difference": None}] * len(order)
    ranked = [{"rank": rank, **candidates[i], "count": len(labels), "accuracy": accuracies[i],
               "interval95": _interval(hits[i]) if known and groups is None else None, **found}
              for rank, (i, found) in enumerate(zip(order, compared, strict=True), start=1)]
    most = labels == np.bincount(labels).argmax()
    useful = known and comparison.compare_hits(hits[order[0]], most, first_name="", second_name="")
    return {"candidates": ranked, "majority_accuracy": float(most.mean()),
            "correlations": {name: _correlation(accuracies, [row[name] for row in candidates]) for name in SCORES},
            "advice": _advice(ranked, helps=not useful or useful["difference"] > 0
                              and useful["p_value"] < comparison.SIGNIFICANCE)}


def write(output: Path, ranking: dict[str, Any]) -> None:
    """Write ``ranking.csv``, a line a candidate, and ``ranking.json`` to a folder.

    Raises:
        ToolkitError: if the disk refuses.
    """
    lines = ([row.get(name) for name in COLUMNS] for row in ranking["candidates"])
    files.write_csv(output / "ranking.csv", COLUMNS, (["" if value is None else value for value in line]
                                                      for line in lines))
    files.write_json(output / "ranking.json", ranking)


def text(ranking: dict[str, Any]) -> str:
    """The ranking for a terminal: heading, table, what the columns mean, notes and the advice.

    Args:
        ranking: of ``build``, with source, rows, labelled_rows, num_classes and notes added.
    """
    candidates, tau = ranking["candidates"], ranking["correlations"]
    timed = any(row["fine_tuning_minutes"] is not None for row in candidates)
    header = ["backbone", "pixels", "features", "held-out accuracy", "from the best", "LogME", "H-score"]
    rows = [[*header, "step (s)", "minutes"] if timed else header]
    rows += [_cells(row, timed) for row in candidates]
    of = "" if ranking["rows"] == ranking["labelled_rows"] else f" (a sample of {ranking['labelled_rows']:,})"
    lines = [f"{ranking['rows']:,} labelled training rows{of} of {printable(ranking['source'])}, "
             f"{ranking['num_classes']:,} classes", "", *aligned(rows, "<>><<>>" + ">>" * timed), ""]
    lines += wrapped("held-out accuracy: logistic regression on frozen features, on rows that neither its fit nor its "
                     f"choice of C has seen; the most frequent class: {percent(ranking['majority_accuracy'])}. LogME "
                     "and H-score train nothing. No test row was used.")
    if timed:
        lines += wrapped("minutes: predicted for fine-tune with its defaults on this machine, from a few real steps; "
                         "with random weights, for training from scratch.")
    if any(value is not None for value in tau.values()):
        found = " and ".join(f"{'-' if tau[name] is None else f'{tau[name]:+.2f}'} ({title})"
                             for name, title in SCORES.items())
        lines += wrapped(f"Kendall's rank correlation with the held-out accuracy, {len(candidates)} candidates: "
                         f"{found}.")
    return "\n".join([*lines, *(line for note in ranking["notes"] for line in wrapped(note)), "",
                      *wrapped(ranking["advice"], indent=0)])


def _cells(row: dict[str, Any], timed: bool) -> list[str]:
    """The line of a candidate."""
    difference = ""
    if row["rank"] > 1 and row["difference"] is not None:
        difference = comparison.points({**row, "interval95": row["difference_interval95"]})
    cells = [shortened(row["name"], 40), str(row["image_size"]), f"{row['num_features']:,}", score(row, "accuracy"),
             difference.replace(" points", ""), f"{row['logme']:.3f}", f"{row['h_score']:.3f}"]
    if not timed:
        return cells
    if row["fine_tuning_minutes"] is None:
        return [*cells, "-", "-"]
    return [*cells, f"{row['seconds_per_step']:.3g}", f"{row['fine_tuning_minutes']:,.1f}"]


def _interval(hits: np.ndarray) -> list[float]:
    return list(comparison.wilson_interval(int(hits.sum()), len(hits)))


def _compared(hits: Sequence[np.ndarray], groups: np.ndarray | None) -> list[dict[str, Any]]:
    """Each with the first, by the paired test; the first with itself."""
    found = [comparison.compare_hits(own, hits[0], first_name="", second_name="", groups=groups) for own in hits]
    adjusted = [1.0, *comparison.holm([result["p_value"] for result in found[1:]])]
    return [{"difference": result["difference"], "difference_interval95": result["interval95"], "p_value_holm": p}
            for result, p in zip(found, adjusted, strict=True)]


def _correlation(accuracies: Sequence[float | None], scores: Sequence[float]) -> float | None:
    """Kendall's tau-b; None for fewer than three candidates, or where all are equal."""
    if len(scores) < MIN_CANDIDATES or None in accuracies:
        return None
    tau = float(stats.kendalltau(accuracies, scores).statistic)
    return None if np.isnan(tau) else tau


def _advice(ranked: Sequence[dict[str, Any]], *, helps: bool) -> str:
    """One sentence: what to use."""
    best, others = ranked[0], ranked[1:]
    name = printable(best["name"])
    if best["accuracy"] is None:
        return f"By LogME alone {name} comes first: {NO_YARDSTICK}."
    if not helps:
        return (f"None is better than always answering the most frequent class: the features of {name} do not help, "
                "so check the labels, or fine-tune and compare.")
    if not others:
        return f"{name} alone was ranked: name others with --backbone NAME[=WEIGHTS][@SIZE]."
    equal = [row for row in others if row["p_value_holm"] >= comparison.SIGNIFICANCE]
    if not equal:
        return f"Use {name}: {percent(best['accuracy'])} held out, better than every other candidate."
    sentence = (f"{name} leads with {percent(best['accuracy'])} held out, but on {best['count']:,} rows it is not "
                f"distinguishable from {_listed(equal)}")
    timed = [row for row in (best, *equal) if row["fine_tuning_minutes"] is not None]
    fastest = min(timed, key=lambda row: row["fine_tuning_minutes"], default=best)
    if fastest is best or best["fine_tuning_minutes"] is None:
        return f"{sentence}: use {name}."
    return (f"{sentence}: use {name}, or {printable(fastest['name'])} to fine-tune in {_minutes(fastest)} instead of "
            f"{_minutes(best)} minutes.")


def _listed(rows: Iterable[dict[str, Any]], limit: int = 3) -> str:
    names = [f"{printable(row['name'])} ({percent(row['accuracy'])})" for row in rows]
    if len(names) > limit:
        return f"{', '.join(names[:limit])} and {len(names) - limit} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _minutes(row: dict[str, Any]) -> str:
    return f"{row['fine_tuning_minutes']:,.{0 if row['fine_tuning_minutes'] >= 10 else 1}f}"
