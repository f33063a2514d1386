"""How a baseline chooses its settings: on held-out training rows, fewest errors first, then the smallest log loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from toolkit.evaluation.baselines.folds import folds, of_a_sample
from toolkit.evaluation.baselines.temperatures import temperature

MAX_ROWS_TO_CHOOSE = 5000
NUM_FOLDS = 5
DOUBT = 1.0
LEAST_TEMPERATURE = 1e-4
CALIBRATION = "softmax of the scores, its temperature chosen on held-out training rows"
UNCALIBRATED = "softmax of the scores at a fixed temperature"
TOO_FEW = "Nothing is chosen: fewer than two classes have three rows (or groups)."

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Rows to choose on.

    Attributes:
        pairs: (fitted rows, held-out rows), disjoint, no group on both sides, two classes or more fitted.
        rows: (h,) all held-out rows, pair after pair.
        note: where h < n, how these rows were picked.
    """

    pairs: tuple[tuple[np.ndarray, np.ndarray], ...]
    rows: np.ndarray
    note: str | None

    def scores(self, fit: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
               num_classes: int) -> np.ndarray:
        """Scores (h, K) of the held-out rows, -inf for classes that a fit did not know.

        Args:
            fit: (fitted rows, held-out rows) -> the classes fitted (k,), scores (held-out rows, k).
            num_classes: K.
        """
        parts = []
        for fitted, held_out in self.pairs:
            classes, scores = fit(fitted, held_out)
            part = np.full((len(held_out), num_classes), -np.inf)
            part[:, classes] = scores
            parts.append(part)
        return np.concatenate(parts)


@dataclass(frozen=True)
class Trial(Generic[T]):
    """What one candidate reached on the held-out rows.

    Attributes:
        candidate: the settings.
        accuracy: in [0, 1].
        log_loss: at that temperature, of the rows whose class was fitted.
        temperature: 1 where the scores are log probabilities already.
    """

    candidate: T
    accuracy: float
    log_loss: float
    temperature: float

    @property
    def rank(self) -> tuple[float, float]:
        """The smaller, the better."""
        return -self.accuracy, self.log_loss

    def details(self, held_out: HeldOut) -> dict:
        """For the report."""
        return {"folds": len(held_out.pairs), "rows_to_choose": len(held_out.rows),
                "cross_validated_log_loss": self.log_loss, "cross_validated_accuracy": self.accuracy,
                "notes": [held_out.note] if held_out.note else []}


def nothing(*notes: str) -> dict:
    """Details where settings are fixed; without notes, because too few rows are left to hold some out."""
    return {"folds": 0, "rows_to_choose": 0, "cross_validated_log_loss": None, "cross_validated_accuracy": None,
            "notes": list(notes or (TOO_FEW,))}


def on_a_sample(labels: np.ndarray, groups: np.ndarray | None, seed: int, *, size: int = MAX_ROWS_TO_CHOOSE,
                num_folds: int = NUM_FOLDS) -> HeldOut | None:
    """Folds of a stratified sample, for methods whose time grows faster than the rows.

    Args:
        labels: (n,) int, not negative.
        groups: (n,) names; rows of one group share a fold.
        seed: of sample and folds.
        size: largest number of rows.
        num_folds: at least 2.

    Returns:
        None where fewer than two classes have three rows (or groups).
    """
    rows, numbers = of_a_sample(labels, groups, size, num_folds=num_folds, seed=seed)
    note = f"Settings were chosen on a stratified sample of {len(rows):,} of the {len(labels):,} rows."
    return _held_out(labels, rows, numbers, range(num_folds), note)


def on_all_rows(labels: np.ndarray, groups: np.ndarray | None, seed: int, *,
                max_held_out: int = MAX_ROWS_TO_CHOOSE, num_folds: int = NUM_FOLDS) -> HeldOut | None:
    """Every row held out once where n <= ``max_held_out``; else one fold of at most about that size, the rest fitted.

    Args:
        labels: (n,) int, not negative.
        groups: (n,) names; rows of one group share a fold.
        seed: of the folds.
        max_held_out: largest number of rows to judge on.
        num_folds: at least 2; more where a single fold would be too large.

    Returns:
        None where fewer than two classes have three rows (or groups).
    """
    count = len(labels)
    few = count <= max_held_out
    num_folds = num_folds if few else max(num_folds, -(-count // max_held_out))
    numbers = folds(labels, groups=groups, num_folds=num_folds, seed=seed)
    size = 0 if numbers is None else int((numbers == 0).sum())
    note = f"Settings were chosen on {size:,} of the {count:,} rows by fits to the others."
    return _held_out(labels, np.arange(count), numbers, range(num_folds if few else 1), note)


def _held_out(labels: np.ndarray, rows: np.ndarray, numbers: np.ndarray | None, used: Iterable[int],
              note: str) -> HeldOut | None:
    if numbers is None:
        return None
    pairs = tuple((rows[numbers != fold], rows[numbers == fold]) for fold in used)
    pairs = tuple((fitted, out) for fitted, out in pairs if len(out) and len(np.unique(labels[fitted])) > 1)
    if not pairs:
        return None
    held_out = np.concatenate([out for _, out in pairs])
    return HeldOut(pairs, held_out, note if len(held_out) < len(labels) else None)


def trial(candidate: T, scores: np.ndarray, labels: np.ndarray, *, calibrate: bool = True) -> Trial[T]:
    """Judge a candidate.

    Args:
        candidate: its settings.
        scores: (h, K) of the held-out rows, -inf for a class that was not fitted.
        labels: (h,) int in 0..K-1.
        calibrate: choose a temperature; else the scores are log probabilities.

    Example:
        >>> trial("k = 1", np.log([[0.8, 0.2], [0.4, 0.6]]), np.array([0, 0]), calibrate=False).accuracy
        0.5
    """
    rows = np.arange(len(labels))
    known = np.isfinite(scores[rows, labels])
    accuracy = float((scores.argmax(axis=1) == labels).mean())
    if not calibrate:
        return Trial(candidate, accuracy, -float(scores[rows, labels][known].mean()), 1.0)
    loss, found = temperature(scores[known], labels[known], least=LEAST_TEMPERATURE, doubt=DOUBT)
    return Trial(candidate, accuracy, loss, found)


def best(candidates: Iterable[T], judge: Callable[[T], Trial[T]], *others: Trial[T]) -> Trial[T]:
    """The best trial of these candidates and of ``others``, which win where equal; the first of equal candidates."""
    return min((*others, *map(judge, candidates)), key=lambda one: one.rank)
