"""What a benchmark shows, in words: which rows beat which, whether the deep model is worth it, and whether unlabelled
rows helped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from toolkit.evaluation import comparison, repetitions
from toolkit.evaluation.repetitions import TestRows
from toolkit.evaluation.text_tables import printable

Row = Mapping[str, Any]
MOST_NAMED = 8  # rows that a sentence names


def verdict(rows: Sequence[Row], tests: TestRows, comparisons: Mapping[str, Sequence[Row]], *, majority: str,
            control: str, best: str | None, labels_only: str | None = None, own_controls: Sequence[Row] = ()
            ) -> dict[str, Any]:
    """Say what the comparisons show.

    Args:
        rows: those that did not fail, as for ``benchmark_tables.build``.
        tests: the labelled test rows.
        comparisons: by name of the second, with p_value_holm and difference.
        majority: name of the row that always answers the most frequent class.
        control: name of the plain row that every other is held against.
        best: name of the row best on validation, if any.
        labels_only: from ``labels_only``.
        own_controls: first, p_value_holm and difference of each row that learns from unlabelled rows, against its own
            labels-only control.

    Returns:
        code: "nothing_beats_majority"; else of the deep model against the best plain row "better", "worse" or
        "not_distinguishable"; "no_deep_model" without either. sentence: the first of sentences.
    """
    against = comparisons.get(majority, [])
    if against and not any(_is_better(own) for own in against):
        sentence = (f"Nothing beats the majority class (error {_error(_named(rows, majority), tests)}): no row is "
                    "distinguishable from always answering the most frequent class, or is worse.")
        return {"code": "nothing_beats_majority", "sentence": sentence, "sentences": [sentence]}
    code, sentences = _deep(rows, tests, majority=majority, control=control)
    if own_controls:
        sentences.append(printable(f"Did the unlabelled rows help? Against the same method on the labels alone: "
                                   f"{_in_sides(own_controls)}."))
    if labels_only is not None:
        unlabelled = {own["first"] for own in own_controls}
        sentences.append(_sides(rows, tests, labels_only, ", which learns from the labels alone",
                                [own for own in comparisons[labels_only] if own["first"] in unlabelled]))
    for name in dict.fromkeys((control, best)):
        if comparisons.get(name):
            words = ", the row best on validation" if name == best else ""
            sentences.append(_sides(rows, tests, name, words, comparisons[name]))
    return {"code": code, "sentence": sentences[0] if sentences else "", "sentences": sentences}


def labels_only(rows: Sequence[Row], *, majority: str, control: str) -> str | None:
    """The row that those which learn from unlabelled rows are held against; None where there are none.

    Args:
        rows: those that did not fail, as for ``benchmark_tables.build``.
        majority: name of the row that always answers the most frequent class.
        control: name of the plain row that every other is held against.

    Returns:
        the name of the row that learns from labels alone and is best on validation; without validation rows the linear
        probe, else the first network, else the control.
    """
    others = [row for row in rows if row["kind"] != "unlabelled" and row["name"] != majority]
    if not others or all(row["kind"] != "unlabelled" for row in rows):
        return None
    if not any(None in row["validation"] for row in others):
        return max(others, key=lambda row: np.mean(row["validation"]))["name"]
    preferred = [*(row for row in others if row.get("recipe") == "linear_probe"),
                 *(row for row in others if row["kind"] == "network"),
                 *(row for row in others if row["name"] == control), *others]
    return preferred[0]["name"]


def _deep(rows: Sequence[Row], tests: TestRows, *, majority: str, control: str) -> tuple[str, list[str]]:
    """The deep row best on validation against the plain row best on validation."""
    deep = [row for row in rows if row["kind"] == "network"]
    plain = [row for row in rows if row["kind"] == "plain" and row["name"] != majority]
    if not deep or not plain:
        return "no_deep_model", []
    validated = not any(None in row["validation"] for row in (*deep, *plain))
    if validated:
        first, second = (max(some, key=lambda row: np.mean(row["validation"])) for some in (deep, plain))
    else:
        first, second = deep[0], next((row for row in plain if row["name"] == control), plain[0])
    found = repetitions.difference(first["hits"], second["hits"], tests)
    code, words, answer = _words(found, found["p_value"])
    points = comparison.points({**found, "count": len(tests.rows[0])})
    how = "each the best of its kind on validation" if validated else "there are no validation rows to choose by"
    sentence = (f"Is the deep model worth it here? {answer}: {first['name']} (error {_error(first, tests)}) {words} "
                f"{second['name']} ({_error(second, tests)}) in accuracy: {points}, "
                f"{comparison.p_in_words(found['p_value'])}; {how}.")
    return code, [printable(sentence)]


def _words(found: Row, p_value: float) -> tuple[str, str, str]:
    if p_value >= comparison.SIGNIFICANCE:
        return "not_distinguishable", "is not distinguishable from", "Not shown"
    if found["difference"] > 0:
        return "better", "is better than", "Yes"
    return "worse", "is worse than", "No"


def _sides(rows: Sequence[Row], tests: TestRows, name: str, words: str, found: Sequence[Row]) -> str:
    """Which rows are better than one, which worse, and which cannot be told from it."""
    return printable(f"Against {name}{words} (error {_error(_named(rows, name), tests)}): {_in_sides(found)}.")


def _in_sides(found: Sequence[Row]) -> str:
    sides: dict[str, list[str]] = {"better": [], "not_distinguishable": [], "worse": []}
    for own in found:
        sides[_words(own, own["p_value_holm"])[0]].append(own["first"])
    titles = {"better": "better", "not_distinguishable": "not distinguishable", "worse": "worse"}
    return "; ".join(f"{titles[side]}: {_listed(names, len(found))}" for side, names in sides.items() if names)


def _listed(names: Sequence[str], count: int) -> str:
    """Names of ``count`` rows, or how many they are where nobody would read them all."""
    if len(names) <= MOST_NAMED:
        return ", ".join(names)
    return f"all {count} others" if len(names) == count else f"{len(names)} of the others"


def _is_better(own: Row) -> bool:
    return own["difference"] > 0 and own["p_value_holm"] < comparison.SIGNIFICANCE


def _named(rows: Sequence[Row], name: str) -> Row:
    return next(row for row in rows if row["name"] == name)


def _error(row: Row, tests: TestRows) -> str:
    error = 1 - np.mean([own.mean() for own in row["hits"]])
    return f"{100 * error:.{comparison.decimals(len(tests.rows[0]))}f} %"
