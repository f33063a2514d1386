"""What a report says: scores, baselines beside them, paired tests, a verdict, the worst errors, the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from toolkit import ToolkitError
from toolkit.evaluation import comparison, metrics, text_tables
from toolkit.evaluation import groups as groups_
from toolkit.tables import Table

NOUNS = {"image": "images", "text": "texts", "series": "series"}
NUM_WORST_ERRORS = 20
NUM_CONFUSED_PAIRS = 5
SPLITS = ("train", "validation", "test")


def build(table: Table, probabilities: np.ndarray, *, recipe: str, training: Mapping[str, Any],
          baselines: Mapping[str, np.ndarray], control: str | None, seed: int = 0) -> dict[str, Any]:
    """Score a run on its validation and test rows and set it beside its baselines.

    Args:
        table: of n rows.
        probabilities: (n, C), in the order of the table.
        recipe: what made them, in words ("fine-tuning").
        training: anything JSON-serialisable on how it was trained.
        baselines: name in words -> (t, C) probabilities of the t labelled test rows, in the order of the table.
        control: the baseline that the verdict is against; None: no verdict.
        seed: of the bootstrap.

    Returns:
        dict for JSON: recipe, data, training, validation and test (scores, or None without labelled rows), baselines
        {name: scores on test}, comparisons {name: of the recipe with that baseline}, control, verdict {code (None where
        nothing can be compared), sentence}, confused_pairs, worst_errors, notes.

    Raises:
        ToolkitError: if a probability is not a number in [0, 1].
        ValueError: if shapes do not fit or the control is not among the baselines.
    """
    if control is not None and control not in baselines:
        raise ValueError(f"The control {control!r} is not among the baselines ({', '.join(baselines)}).")
    probabilities = normalised(table, probabilities)
    of_test = table.select(table.labelled("test"))
    beside = {name: normalised(of_test, values) for name, values in baselines.items()}
    test, validation = (_scores(table, probabilities, split, seed) for split in ("test", "validation"))
    comparisons = {name: _comparison(of_test, probabilities[table.labelled("test")], values, recipe, name)
                   for name, values in beside.items() if test is not None}
    return {
        "recipe": recipe, "data": _data(table), "training": dict(training), "validation": validation, "test": test,
        "baselines": {name: _scores(of_test, values, "test", seed) for name, values in beside.items()},
        "comparisons": comparisons,
        "control": control,
        "verdict": _verdict(table, test, comparisons, recipe, control),
        "confused_pairs": _confused_pairs(test, table.class_names),
        "worst_errors": _worst_errors(table, probabilities),
        "notes": [*table.notes, *_score_notes("Test", test), *_score_notes("Validation", validation)],
    }


def normalised(table: Table, probabilities: np.ndarray) -> np.ndarray:
    """(n, C) float64 whose rows sum to one to the last digit; an error if they are no probabilities of this table."""
    values = np.asarray(probabilities, dtype=np.float64)
    if values.shape != (len(table), len(table.class_names)):
        raise ValueError(f"Expected ({len(table)}, {len(table.class_names)}) probabilities, got {values.shape}.")
    sums = values.sum(axis=1, keepdims=True)
    bad = ~((values >= 0).all(axis=1) & (np.abs(sums[:, 0] - 1) < 1e-3))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise ToolkitError(f"Row {table.rows[first]} ({text_tables.printable(str(table.names[first]))}) was given the "
                           f"probabilities {values[first, :5].tolist()}, expected numbers in [0, 1] that sum to 1. The "
                           "network has diverged: use a smaller learning rate.")
    return values / sums


def _scores(table: Table, probabilities: np.ndarray, split: str, seed: int) -> dict[str, Any] | None:
    rows = table.labelled(split)
    if not len(rows):
        return None
    groups = None if table.groups is None else table.groups[rows]
    return metrics.scores(table.labels[rows], probabilities[rows], table.class_names, groups=groups, seed=seed)


def _comparison(of_test: Table, first: np.ndarray, second: np.ndarray, first_name: str,
                second_name: str) -> dict[str, Any]:
    return comparison.compare(of_test.labels, first, second, first_name=first_name, second_name=second_name,
                              groups=of_test.groups)


def _verdict(table: Table, scores: dict[str, Any] | None, comparisons: dict[str, dict], recipe: str,
             control: str | None) -> dict[str, str | None]:
    noun = f"test {NOUNS.get(table.kind, 'rows')}"
    if scores is None:
        sentence = f"No verdict on {recipe}: the test split has no labelled row."
    elif control is None:
        sentence = (f"No verdict on {recipe}: accuracy {text_tables.score(scores, 'accuracy')} on {scores['count']:,} "
                    f"{noun}, and no baseline to compare with.")
    else:
        return comparison.verdict(comparisons[control], noun=noun)
    return {"code": None, "sentence": sentence}


def _data(table: Table) -> dict[str, Any]:
    """Source, counts and fingerprints of the table."""
    return {
        "source": str(table.source),
        "kind": table.kind,
        "classes": list(table.class_names),
        "rows": len(table) + len(table.rejected),
        "splits": {split: _split_counts(table, split) for split in SPLITS},
        "rejected": dict(sorted(Counter(row.reason for row in table.rejected).items())),
        "num_groups": None if table.groups is None else int(groups_.numbers(table.groups, len(table)).max()) + 1,
        "fingerprint": table.fingerprint,
        "split_fingerprint": table.split_fingerprint,
    }


def _split_counts(table: Table, split: str) -> dict[str, Any]:
    labels = table.labels[table.splits == split]
    counts = np.bincount(labels[labels >= 0], minlength=len(table.class_names))
    return {"rows": len(labels), "labelled": int(counts.sum()),
            "per_class": dict(zip(table.class_names, counts.tolist(), strict=True))}


def _confused_pairs(scores: dict[str, Any] | None, class_names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The pairs of label and prediction with most test rows."""
    if scores is None:
        return []
    confusion = np.array(scores["confusion"])
    counts = confusion.sum(axis=1)
    np.fill_diagonal(confusion, 0)
    order = np.argsort(-confusion, axis=None, kind="stable")[:NUM_CONFUSED_PAIRS]
    pairs = ((label, prediction) for label, prediction in zip(*np.unravel_index(order, confusion.shape), strict=True)
             if confusion[label, prediction])
    return [{"label": class_names[label], "prediction": class_names[prediction],
             "count": int(confusion[label, prediction]), "of": int(counts[label])} for label, prediction in pairs]


def _worst_errors(table: Table, probabilities: np.ndarray) -> list[dict[str, Any]]:
    """The wrong test predictions, most confident first."""
    rows = table.labelled("test")
    predictions, confidences = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = rows[predictions[rows] != table.labels[rows]]
    worst = wrong[np.lexsort((table.rows[wrong], -confidences[wrong]))][:NUM_WORST_ERRORS]
    return [{"row": int(table.rows[row]), "input": str(table.names[row]),
             "label": table.class_names[table.labels[row]], "prediction": table.class_names[predictions[row]],
             "confidence": float(confidences[row]),
             "probability_of_label": float(probabilities[row, table.labels[row]])} for row in worst]


def _score_notes(split: str, scores: dict[str, Any] | None) -> list[str]:
    return [] if scores is None else [f"{split}: {note}" for note in scores["notes"]]
