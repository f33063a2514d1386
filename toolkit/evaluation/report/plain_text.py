"""A report in words and columns, for a terminal of 100 columns."""

from __future__ import annotations

from typing import Any

from toolkit.evaluation import comparison
from toolkit.evaluation.report.contents import NOUNS, SPLITS
from toolkit.evaluation.text_tables import (NUMBERS, WIDTH, aligned, columns, percent, printable, score, shortened,
                                            wrapped)

MAX_CLASSES_LISTED = 30
NUM_WEAKEST_CLASSES = 15
MAX_NAME_WIDTH = 40
MAX_CONFUSION_CLASSES = 20
CONFUSION_NAME_WIDTH = 10


def text(report: dict[str, Any]) -> str:
    """Put a report into words.

    Args:
        report: from ``build`` or read from ``report.json``.

    Returns:
        lines of at most about 100 columns (paths stay whole), the verdict last; no newline at the end.
    """
    sections = [_heading(report), _scores(report), _beside(report), _classes(report), _confusion(report),
                _confused_pairs(report), _worst_errors(report), _rejected(report), _notes(report), _verdict(report)]
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def _noun(report: dict[str, Any]) -> str:
    return NOUNS.get(report["data"]["kind"], "rows")


def _heading(report: dict[str, Any]) -> list[str]:
    data, noun = report["data"], _noun(report)
    title = f"{report['recipe']} on {data['source']}"
    names = ", ".join(data["classes"][:12]) + (", ..." if len(data["classes"]) > 12 else "")
    counts = []
    for split in SPLITS:
        rows, labelled = data["splits"][split]["rows"], data["splits"][split]["labelled"]
        unlabelled = f" ({labelled:,} labelled)" if labelled < rows else ""
        counts.append(f"{split} {rows:,}{unlabelled}" if rows else f"no {split} rows")
    lines = [printable(title), "=" * min(len(printable(title)), WIDTH)]
    lines += wrapped(f"{len(data['classes']):,} classes: {names}", indent=0)
    lines += wrapped(f"{data['rows']:,} {noun}: {', '.join(counts)}"
                     + (f", {sum(data['rejected'].values()):,} rejected" if data["rejected"] else "")
                     + (f"; in {data['num_groups']:,} groups" if data["num_groups"] else ""), indent=0)
    facts = [f"{key.replace('_', ' ')} {f'{value:.4g}' if isinstance(value, float) else value}"
             for key, value in report["training"].items() if isinstance(value, (int, float, str))]
    lines += wrapped(f"Training: {', '.join(facts)}", indent=0) if facts else []
    return lines + _preprocessing(report["training"].get("preprocessing"))


def _preprocessing(found: dict[str, Any] | None) -> list[str]:
    """How the rows reach the network, and who says so."""
    if not found:
        return []
    if "max_length" in found:
        what = f"a vocabulary of {found['vocabulary_size']:,} tokens" if "vocabulary_size" in found else \
            f"{found['channels']:,} channel{'s' if found['channels'] > 1 else ''}"
        kept = f"the first {found['max_length']:,} steps" if found["max_length"] else "all steps"
        return wrapped(f"Sequences: {what}, {kept}.", indent=0)
    scale = f", (pixels - {_one_or_all(found['mean'])}) / {_one_or_all(found['std'])}" if found["mean"] else ""
    return wrapped(f"Images: short side {found['resize_size']}, centre {found['image_size']}, {found['interpolation']}"
                   f"{scale}: {found['preprocessing']}.", indent=0)


def _one_or_all(numbers: list[float]) -> str:
    """One number where all are the same, else all of them."""
    return ", ".join(f"{number:.5g}" for number in (numbers[:1] if len(set(numbers)) == 1 else numbers))


def _scores(report: dict[str, Any]) -> list[str]:
    noun = _noun(report)
    found = {split: report[split] for split in ("test", "validation") if report[split] is not None}
    if not found:
        return []
    rows = [["Scores", *(f"{split}, {scores['count']:,} {noun}" for split, scores in found.items())]]
    for metric, name in NUMBERS.items():
        rows.append([f"  {name}", *(score(scores, metric) for scores in found.values())])
        if metric == "accuracy" and any(scores["intervals"].get("accuracy") for scores in found.values()):
            rows.append(["    drawing groups", *(_grouped_accuracy(scores) for scores in found.values())])
    drawn = noun if report["data"]["num_groups"] is None else "groups"
    note = f"[95 % intervals]: Wilson's for the accuracy, for the rest by bootstrap of {drawn}."
    return aligned(rows, "<" * len(rows[0]), indent=0) + wrapped(note)


def _grouped_accuracy(scores: dict[str, Any]) -> str:
    interval = scores["intervals"].get("accuracy")
    digits = comparison.decimals(scores["count"])
    return "" if interval is None else f"       [{', '.join(f'{100 * bound:.{digits}f}' for bound in interval)}]"


def _beside(report: dict[str, Any]) -> list[str]:
    if report["test"] is None or not report["baselines"]:
        return []
    rows = [["", "accuracy", "log loss", "difference", "p"],
            [report["recipe"], score(report["test"], "accuracy"), f"{report['test']['log_loss']:.3f}", "", ""]]
    for name, scores in report["baselines"].items():
        compared = report["comparisons"][name]
        rows.append([name, score(scores, "accuracy"), f"{scores['log_loss']:.3f}",
                     comparison.points(compared).replace(" points", ""),
                     comparison.p_in_words(compared["p_value"]).removeprefix("p ").removeprefix("= ")])
    test = "exact test by group" if report["data"]["num_groups"] else "McNemar's exact test"
    note = f"difference: {report['recipe']} minus the baseline, in points [95 % interval]; p: {test}."
    title = f"Beside it, on the same {report['test']['count']:,} test {_noun(report)}"
    return [title, *aligned(rows, "<<><>"), *wrapped(note)]


def _classes(report: dict[str, Any]) -> list[str]:
    if report["test"] is None:
        return []
    classes = list(report["test"]["per_class"].items())
    title = "Classes"
    if len(classes) > MAX_CLASSES_LISTED:
        title = f"The {NUM_WEAKEST_CLASSES} weakest of {len(classes):,} classes, by F1 (all are in report.json)"
        occurring = [item for item in classes if item[1]["f1"] is not None]
        classes = sorted(occurring, key=lambda item: item[1]["f1"])[:NUM_WEAKEST_CLASSES]
    rows = [["", "precision", "recall", "F1", _noun(report)]]
    rows += [[shortened(name, MAX_NAME_WIDTH), percent(numbers["precision"]), percent(numbers["recall"]),
              percent(numbers["f1"]), f"{numbers['count']:,}"] for name, numbers in classes]
    return [title, *aligned(rows, "<>>>>")]


def _confusion(report: dict[str, Any]) -> list[str]:
    if report["test"] is None:
        return []
    names, counts = report["data"]["classes"], report["test"]["confusion"]
    if len(names) > MAX_CONFUSION_CLASSES:
        return [f"Confusion matrix: {len(names):,} x {len(names):,}, in report.json."]
    short = [shortened(name, CONFUSION_NAME_WIDTH) for name in names]
    cells = [[f"{count:,}" if count else "." for count in row] for row in counts]
    lines = aligned([["", *short], *([name, *row] for name, row in zip(short, cells, strict=True))],
                    "<" + ">" * len(names))
    if max(map(columns, lines)) > WIDTH:  # numbers instead of names above the columns
        numbers = [str(number) for number in range(1, len(names) + 1)]
        rows = [[number, name, *row] for number, name, row in zip(numbers, short, cells, strict=True)]
        lines = aligned([["", "", *numbers], *rows], "><" + ">" * len(names))
    return ["Confusion matrix (rows: label, columns: prediction)", *lines]


def _confused_pairs(report: dict[str, Any]) -> list[str]:
    if not report["confused_pairs"]:
        return []
    rows = [[shortened(pair["label"], MAX_NAME_WIDTH), "taken for", shortened(pair["prediction"], MAX_NAME_WIDTH),
             f"{pair['count']:,} of {pair['of']:,}"] for pair in report["confused_pairs"]]
    return ["Most confused", *aligned(rows, "<<<>")]


def _worst_errors(report: dict[str, Any]) -> list[str]:
    if not report["worst_errors"]:
        return [] if report["test"] is None else [f"No error on the test {_noun(report)}."]
    rows = [["row", "label", "prediction", "confidence", "input"]]
    whole = report["data"]["kind"] == "image"  # a path; of a text or a series the beginning tells which it is
    rows += [[str(error["row"]), shortened(error["label"], 20), shortened(error["prediction"], 20),
              f"{error['confidence']:.3f}",
              printable(error["input"]) if whole else shortened(error["input"], MAX_NAME_WIDTH)]
             for error in report["worst_errors"]]
    return ["Worst errors: wrong and most confident, on test", *aligned(rows, "><<><")]


def _rejected(report: dict[str, Any]) -> list[str]:
    reasons = report["data"]["rejected"]
    if not reasons:
        return []
    counts = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in reasons.items())
    return wrapped(f"Rejected: {counts}. rejected.csv names them.", indent=0)


def _notes(report: dict[str, Any]) -> list[str]:
    lines = [line for note in report["notes"] for line in wrapped(note, mark="- ")]
    return ["Notes", *lines] if lines else []


def _verdict(report: dict[str, Any]) -> list[str]:
    return wrapped(f"Verdict: {report['verdict']['sentence']}", indent=0)
