r"""Scores of tags: accuracy and F1 over tokens, F1 over entities, with intervals over rows.

An entity is a run of tokens of one type in the B-, I- notation (also E-, S-); it is right if its first token, last
token and type are. Where the notation is broken (an I- that follows nothing), it is read as the CoNLL scorer reads it.

.. math:: F_1 = 2 \, |\text{right}| / (|\text{predicted}| + |\text{true}|)

References:
    Tjong Kim Sang, De Meulder 2003, https://aclanthology.org/W03-0419; Nakayama 2018,
    https://github.com/chakki-works/seqeval
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from toolkit.evaluation import bootstrap
from toolkit.evaluation import groups as groups_
from toolkit.evaluation.comparison import wilson_interval
from toolkit.evaluation.metrics import confusion_matrix

OUTSIDE = "O"
METRICS = ("accuracy", "macro_f1", "entity_f1")
_CHUNKED = re.compile(r"[BIES]-.+")

Entity = tuple[str, int, int]
"""Type, first token, last token."""


def are_chunks(class_names: Sequence[str]) -> bool:
    """Whether tags mark the parts of entities.

    Example:
        >>> are_chunks(["B-person", "I-person", "O"]), are_chunks(["noun", "verb"])
        (True, False)
    """
    marks = [name for name in class_names if name != OUTSIDE]
    return bool(marks) and all(map(_CHUNKED.fullmatch, marks))


def entities(tags: Sequence[str]) -> set[Entity]:
    """The entities of a row of tags.

    Example:
        >>> sorted(entities(["B-person", "I-person", "O", "B-place"]))
        [('person', 0, 1), ('place', 3, 3)]
    """
    found, first = set(), 0
    before, kind_before = OUTSIDE, ""
    for position, tag in enumerate([*tags, OUTSIDE]):
        mark, kind = tag[0], tag[2:] if tag != OUTSIDE else ""
        if before != OUTSIDE and (before in "ES" or mark in "BSO" or kind != kind_before):
            found.add((kind_before, first, position - 1))
        if mark != OUTSIDE and (mark in "BS" or before in "ESO" or kind != kind_before):
            first = position
        before, kind_before = mark, kind
    return found


def scores(true: Sequence[np.ndarray], predicted: Sequence[np.ndarray], class_names: Sequence[str], *,
           groups: np.ndarray | None = None, draws: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Scores the tags of n rows.

    Args:
        true: n arrays of class numbers.
        predicted: as many, of the same lengths.
        class_names: C names.
        groups: (n,) names of groups of rows that belong together; None: every row is drawn on its own.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        dict for JSON: count (tokens), rows, accuracy, macro_f1 (over the classes among true or predicted tags),
        entity_f1, entity_precision, entity_recall (None without entities), interval95 (of the accuracy, rows drawn),
        intervals, per_class, confusion.
    """
    sums = _row_sums(true, predicted, class_names)
    units = groups_.numbers(groups, len(true))
    estimate = {name: float(value[0]) for name, value in _metrics(sums.sum(axis=0, keepdims=True)).items()}
    confusion = confusion_matrix(np.concatenate(true), np.concatenate(predicted), len(class_names))
    intervals = _intervals(sums, units, estimate, draws, seed)
    wilson = list(wilson_interval(int(np.trace(confusion)), int(confusion.sum())))
    right, found, real = sums[:, -3:].sum(axis=0)
    return {
        "count": int(confusion.sum()), "rows": len(true), "accuracy": estimate["accuracy"],
        "interval95": intervals["accuracy"] or wilson, "macro_f1": _number(estimate["macro_f1"]),
        "entity_f1": _number(estimate["entity_f1"]), "entity_precision": float(right / found) if found else None,
        "entity_recall": float(right / real) if real else None, "intervals": intervals,
        "per_class": _per_class(confusion, class_names), "confusion": confusion.tolist()}


def _row_sums(true: Sequence[np.ndarray], predicted: Sequence[np.ndarray], class_names: Sequence[str]) -> np.ndarray:
    """(n, 3 C + 3): of each row, for every class and for entities, how many are right, predicted and true."""
    num_classes, chunks = len(class_names), are_chunks(class_names)
    sums = np.zeros((len(true), 3 * num_classes + 3))
    for number, (tags, guesses) in enumerate(zip(true, predicted, strict=True)):
        columns = (tags[tags == guesses], guesses, tags)
        sums[number, :-3] = np.concatenate([np.bincount(column, minlength=num_classes) for column in columns])
        if chunks:
            real, found = (entities([class_names[tag] for tag in row]) for row in (tags, guesses))
            sums[number, -3:] = len(real & found), len(found), len(real)
    return sums


def _metrics(sums: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics of d sums (d, 3 C + 3), each (d,); NaN where undefined."""
    right, predicted, true = np.split(sums[:, :-3], 3, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        of_class = 2 * right / (predicted + true)
        occurs = ~np.isnan(of_class)
        return {"accuracy": right.sum(axis=1) / true.sum(axis=1),
                "macro_f1": np.where(occurs, of_class, 0).sum(axis=1) / occurs.sum(axis=1),
                "entity_f1": 2 * sums[:, -3] / (sums[:, -2] + sums[:, -1])}


def _intervals(sums: np.ndarray, units: np.ndarray, estimate: dict[str, float], draws: int, seed: int
               ) -> dict[str, list[float] | None]:
    """95 % intervals by drawing units, (n,) numbers; None where nothing can be said."""
    drawn_sums = bootstrap.drawn_sums(sums, units, draws=draws, seed=seed)
    if drawn_sums is None:
        return dict.fromkeys(METRICS)
    drawn = _metrics(drawn_sums)
    return {name: None if np.isnan(estimate[name])
            else [float(bound) for bound in np.nanquantile(drawn[name], [0.025, 0.975])] for name in METRICS}


def _per_class(confusion: np.ndarray, class_names: Sequence[str]) -> dict[str, dict[str, Any]]:
    rows, columns, hits = confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)
    return {name: {"precision": float(hits[i] / columns[i]) if columns[i] else None,
                   "recall": float(hits[i] / rows[i]) if rows[i] else None,
                   "f1": float(2 * hits[i] / (rows[i] + columns[i])) if rows[i] + columns[i] else None,
                   "count": int(rows[i])} for i, name in enumerate(class_names)}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
