"""Scores of predicted probabilities, with 95 % intervals.

The numbers are those of scikit-learn's functions of the same names on the same rows, but defined in every case: where
scikit-learn warns or returns NaN (a class without rows, one row, rows of one class) the score says so in a note.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolkit import ToolkitError
from toolkit.evaluation import bootstrap
from toolkit.evaluation import groups as groups_
from toolkit.evaluation.comparison import wilson_interval
from toolkit.evaluation.row_sums import RowSums

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "roc_auc", "expected_calibration_error")


def scores(labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], *,
           groups: np.ndarray | None = None, draws: int = 2000, seed: int = 0) -> dict:
    """Score probabilities against labels.

    Args:
        labels: (n,) int in 0..C-1, n >= 1; unlabelled rows are left out by the caller.
        probabilities: (n, C), rows that sum to one.
        class_names: C names.
        groups: (n,) names of groups of rows that belong together; the bootstrap then draws groups.
        draws: bootstrap draws.
        seed: of the bootstrap.

    Returns:
        dict for JSON: count, the metrics of ``METRICS``, interval95 (Wilson's, of the accuracy), intervals {metric:
        [low, high] or None} (bootstrap; the accuracy's only with groups), per_class {name: {precision, recall, f1,
        count}}, confusion (C x C counts, rows true), num_groups (None without groups), notes. Undefined numbers are
        None. ``roc_auc`` is one against the rest, the mean of the classes for which it is defined; ``macro_f1`` is
        over the classes among labels or predictions.

    Raises:
        ToolkitError: if a probability is not a number in [0, 1].

    Example:
        >>> result = scores([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], ["cat", "dog"])
        >>> round(result["accuracy"], 3), result["confusion"]
        (0.667, [[1, 0], [1, 1]])
    """
    labels, probabilities = checked(labels, probabilities, len(class_names))
    units = groups_.numbers(groups, len(labels))
    estimates, intervals = _estimates(labels, probabilities, units, grouped=groups is not None, draws=draws, seed=seed)
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), len(class_names))
    return {
        "count": len(labels), "accuracy": estimates["accuracy"],
        "interval95": list(wilson_interval(int(np.trace(confusion)), len(labels))),
        **{name: estimates[name] for name in METRICS[1:]}, "intervals": intervals,
        "per_class": _per_class(confusion, class_names),
        "confusion": confusion.tolist(),
        "num_groups": None if groups is None else int(units.max()) + 1,
        "notes": _notes(confusion, class_names, one_unit=bool(units.max() == 0), grouped=groups is not None),
    }


def _estimates(labels: np.ndarray, probabilities: np.ndarray, units: np.ndarray, *, grouped: bool, draws: int,
               seed: int) -> tuple[dict[str, float | None], dict[str, list[float] | None]]:
    """Metrics and their bootstrap intervals."""
    sums = RowSums(labels, probabilities)
    estimates = {name: _number(values[0]) for name, values in sums.metrics(np.ones((1, len(labels)))).items()}
    intervals = bootstrap.intervals(sums, estimates, units, draws=draws, seed=seed)
    if not grouped:
        del intervals["accuracy"]  # Wilson's is better
    return estimates, intervals


def checked(labels: np.ndarray, probabilities: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels as (n,) int64 and probabilities as (n, C) float64, or an error that says what is wrong with them."""
    labels = np.asarray(labels, dtype=np.int64)
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if not len(labels) or probabilities.shape != (len(labels), num_classes):
        raise ValueError(f"Expected n >= 1 labels and ({len(labels)}, {num_classes}) probabilities, got {len(labels)} "
                         f"labels and probabilities of shape {probabilities.shape}.")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"Expected labels in 0..{num_classes - 1}, got {labels.min()}..{labels.max()}.")
    if not (np.isfinite(probabilities).all() and probabilities.min() >= 0 and probabilities.max() <= 1 + 1e-6):
        bad = int(np.flatnonzero(~((probabilities >= 0) & (probabilities <= 1 + 1e-6)).all(axis=1))[0])
        raise ToolkitError(f"Prediction {bad + 1} of {len(labels)} holds a probability that is not a number in [0, 1]. "
                           "The network has diverged: use a smaller learning rate.")
    return labels, probabilities


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """(C, C) int64 counts, rows true, columns predicted."""
    flat = np.bincount(labels * num_classes + predictions, minlength=num_classes ** 2)
    return flat.reshape(num_classes, num_classes)


def _per_class(confusion: np.ndarray, class_names: Sequence[str]) -> dict[str, dict]:
    """Precision, recall, F1 and count of each class, 0 for 0/0 as in scikit-learn; None for a class that occurs neither
    among labels nor among predictions."""
    rows, predicted, hits = confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)
    result = {}
    for number, name in enumerate(class_names):
        occurs = rows[number] + predicted[number] > 0
        result[name] = {
            "precision": float(hits[number] / max(predicted[number], 1)) if occurs else None,
            "recall": float(hits[number] / max(rows[number], 1)) if occurs else None,
            "f1": float(2 * hits[number] / (rows[number] + predicted[number])) if occurs else None,
            "count": int(rows[number]),
        }
    return result


def _notes(confusion: np.ndarray, class_names: Sequence[str], *, one_unit: bool, grouped: bool) -> list[str]:
    """Sentences on what could not be computed as usual."""
    count = int(confusion.sum())
    absent = [name for name, rows in zip(class_names, confusion.sum(axis=1)) if rows == 0]
    notes = []
    if len(absent) == len(class_names) - 1:
        notes.append("All labelled rows are of one class: ROC AUC is undefined.")
    elif absent:
        notes.append(f"{_listed(absent)}: no labelled row here. Balanced accuracy and ROC AUC are means over the other "
                     f"{len(class_names) - len(absent)} classes.")
    if one_unit:
        only = "All rows are of one group" if grouped and count > 1 else "Only one row"
        notes.append(f"{only}: the bootstrap gives no interval.")
    elif np.trace(confusion) == count:
        notes.append("No error was seen, so bootstrap intervals say little; Wilson's interval of the accuracy says "
                     "how far the truth may be.")
    return notes


def _listed(names: Sequence[str], limit: int = 5) -> str:
    """The names, or the first of them and the number of the others."""
    more = f" and {len(names) - limit} more classes" if len(names) > limit else ""
    return ", ".join(map(str, names[:limit])) + more


def _number(value: float) -> float | None:
    """A float for JSON: None for NaN."""
    return None if np.isnan(value) else float(value)
