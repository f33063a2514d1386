"""The files and the words of a run whose rows have more than one answer: tags, forecasts, next tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit.evaluation.report import files
from toolkit.evaluation.text_tables import WIDTH, aligned, printable, wrapped

COLUMNS: dict[str, dict[str, str]] = {
    "tag": {"accuracy": "token accuracy", "macro_f1": "macro F1", "entity_f1": "entity F1"},
    "forecast": {"r2": "R^2", "mean_absolute_error": "mean absolute error"},
    "language-model": {"bits_per_character": "bits a character", "perplexity": "perplexity of a token"},
}
"""The scores that a report shows, by task."""
_SKILL = ("accuracy", "macro_f1", "entity_f1")


def write(folder: Path, result: Mapping[str, Any], *, predictions: Iterable[Sequence[Any]],
          splits: Iterable[Sequence[Any]], rejected: Iterable[Any], params: Mapping[str, Any],
          history: Sequence[Mapping[str, Any]], class_names: Sequence[str] | None = None) -> None:
    """Writes predictions.csv, splits.csv, rejected.csv, history.csv, params.json and, last, report.json.

    Args:
        folder: of the run.
        result: the report.
        predictions: the header, then a line for every row in input order.
        splits: (row, split) in input order.
        rejected: rows set aside.
        params: of the run.
        history: a dict an epoch.
        class_names: for classes.json, where there are classes.
    """
    lines = iter(predictions)
    files.write_csv(folder / "predictions.csv", next(lines), lines)
    files.write_csv(folder / "splits.csv", ["row", "split"], splits)
    files.write_csv(folder / "rejected.csv", ["row", "input", "reason", "message"],
                    ([row.row, row.input, row.reason, row.message] for row in rejected))
    columns = list(dict.fromkeys([*files.HISTORY_COLUMNS, *(key for epoch in history for key in epoch)]))
    files.write_csv(folder / "history.csv", columns, ([row.get(name, "") for name in columns] for row in history))
    if class_names is not None:
        files.write_json(folder / "classes.json", list(class_names))
    files.write_json(folder / "params.json", params)
    files.write_json(folder / "report.json", result)


def text(result: Mapping[str, Any]) -> str:
    """A report in words and columns, the verdict last."""
    data, training = result["data"], result["training"]
    title = printable(f"{result['recipe']} on {data['source']}")
    lines = [title, "=" * min(len(title), WIDTH), *wrapped(data["sentence"], indent=0)]
    facts = [f"{name.replace('_', ' ')} {f'{value:.4g}' if isinstance(value, float) else value}"
             for name, value in training.items() if isinstance(value, (int, float, str))]
    lines += wrapped(f"Training: {', '.join(facts)}", indent=0)
    if result["test"] is not None:
        lines += ["", *_scores(result)]
    if result["notes"]:
        lines += ["", "Notes", *(line for note in result["notes"] for line in wrapped(note, mark="- "))]
    return "\n".join([*lines, "", *wrapped(f"Verdict: {result['verdict']['sentence']}", indent=0)])


def _scores(result: Mapping[str, Any]) -> list[str]:
    """The scores of the run and of its baselines, a line each."""
    beside = {result["recipe"]: result["test"], **result["baselines"]}
    shown = {name: words for name, words in COLUMNS[result["task"]].items()
             if any(scores.get(name) is not None for scores in beside.values())}
    rows = [["Scores on test", *shown.values()]]
    rows += [[f"  {name}", *(_score(scores, metric) for metric in shown)] for name, scores in beside.items()]
    return [*aligned(rows, "<" * len(rows[0]), indent=0), *wrapped(result["intervals_sentence"])]


def _score(scores: Mapping[str, Any], metric: str) -> str:
    value, interval = scores.get(metric), scores["intervals"].get(metric)
    if value is None:
        return "-"
    factor, unit, digits = (100, " %", 1) if metric in _SKILL else (1, "", 3 if abs(value) < 100 else 1)
    words = f"{factor * value:.{digits}f}{unit}"
    return words + (f" [{', '.join(f'{factor * bound:.{digits}f}' for bound in interval)}]" if interval else "")
