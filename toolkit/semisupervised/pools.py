"""The unlabelled rows of a table: which are used, how labelled rows stand in for them, what a run says of them.

Few labels leave no validation split, so everything is judged by cross-fitting: some labelled rows are hidden in the
pool, the method runs on the others, and its answers for the hidden ones are scored. A row is hidden together with its
copies and its group, and a class never loses its last row. The same rows decide whether the unlabelled rows are used at
all: without a gain over the control on them, the run falls back to the control.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.evaluation import groups as groups_
from toolkit.evaluation.report import files
from toolkit.semisupervised.audit import audit as audit_
from toolkit.semisupervised.audit import once_each, swallowing
from toolkit.tables import Table, entries, units

FEW = 4  # labels of a class below which folds are repeated
REPEATS = 3
VERDICTS = {"better": "The unlabelled rows helped", "worse": "The unlabelled rows hurt",
            "not_distinguishable": "No difference can be seen"}


@dataclass(frozen=True, eq=False)
class Pool:
    """The unlabelled training rows that may be learnt from.

    Attributes:
        rows: (p,) positions in the table, ascending.
        dropped: how many were left out, because validation or test rows are the same.
        notes: sentences for the report.
        set_aside: how many were left out, because they look like no labelled row; see ``foreign``.
    """

    rows: np.ndarray
    dropped: int
    notes: tuple[str, ...]
    set_aside: int = 0


@dataclass(frozen=True)
class Judgement:
    """Whether the unlabelled rows are used.

    Attributes:
        gain: in accuracy over the control on the rows that judge, in [-1, 1]; None where there are none.
        rows: how many judge.
        fall_back: whether the control is what the run returns.
        why: a sentence.
    """

    gain: float | None
    rows: int
    fall_back: bool
    why: str


MOST_LOST = 0.02  # of the accuracy, that leniency may cost
UNUSED = Judgement(None, 0, True, "There is no unlabelled row to use.")


def unaudited(num_classes: int) -> dict[str, Any]:
    """The audit of an empty pool, from ``audit.audit``."""
    numbers, nothing = np.zeros(0, np.int64), np.zeros(0, bool)
    return audit_(numbers, np.zeros(0), nothing, hidden_labels=numbers, hidden_predictions=numbers,
                  hidden_used=nothing, num_classes=num_classes)


def pool(table: Table) -> Pool:
    """The unlabelled training rows of a table, without those whose content is also a validation or test row.

    Args:
        table: of any kind; a training row without a label is unlabelled.
    """
    rows = table.unlabelled()
    held_out = table.checksums[table.splits != "train"]
    same = np.isin(table.checksums[rows].astype(str), held_out.astype(str))
    notes = []
    if not len(rows):
        notes.append("No training row is unlabelled, so the result is that of the control. Leave labels blank, or add "
                     "rows without a label.")
    if same.any():
        held = "show an image" if table.kind == "image" else f"hold a {entries.NOUNS[table.kind][0]}"
        notes.append(f"{int(same.sum()):,} of {len(rows):,} unlabelled rows {held} that is also a validation or test "
                     "row, byte for byte: they are not learnt from.")
    return Pool(rows[~same], int(same.sum()), tuple(notes))


def together(table: Table, rows: np.ndarray) -> np.ndarray:
    """What must be hidden together: rows of a group, and copies of one image, so that none betrays a label.

    Args:
        table: of any kind.
        rows: (n,) positions in it.

    Returns:
        (n,) names.
    """
    checksums = table.checksums[rows].astype(object)
    if table.groups is None:
        return checksums
    return units.number(table.checksums, table.groups, rows)


def hidden_folds(labels: np.ndarray, num_classes: int, *, groups: np.ndarray | None = None, seed: int = 0,
                 folds: int = 5) -> list[tuple[np.ndarray, np.ndarray]]:
    """Which labelled rows are hidden in the pool, fold after fold.

    Each fold hides about the same share of every class, so that what is kept is as balanced as what is there. With few
    labels there are fewer folds (two labels a class: two folds), and the folds are drawn three times.

    Args:
        labels: (n,) int in 0..C-1.
        num_classes: C.
        groups: (n,) names; rows of one group are hidden together. None: every row stands alone.
        seed: of the folds.
        folds: at most so many, 2 or more.

    Returns:
        (kept (a,), hidden (b,)) positions into ``labels`` for each fold, ascending; each class that has a row keeps
        one, and no group is on both sides. A row is hidden once, with few labels three times, and never where its class
        would be lost. Empty where nothing can be hidden.

    Example:
        >>> [(len(kept), len(hidden)) for kept, hidden in hidden_folds(np.arange(50) % 10, 10)]
        [(40, 10), (40, 10), (40, 10), (40, 10), (40, 10)]
    """
    counts = np.bincount(labels, minlength=num_classes)
    if not (counts >= 2).any():
        return []
    usual = float(np.median(counts[counts >= 2]))
    numbers = groups_.numbers(groups, len(labels))
    found = []
    for repeat in range(1 if usual >= FEW else REPEATS):
        random = np.random.default_rng([seed, repeat])
        of_row = _assigned(labels, numbers, max(2, min(folds, int(usual))), random)[numbers]
        for fold in range(int(of_row.max()) + 1):
            hidden = of_row == fold
            lost = np.flatnonzero((counts > 0) & (np.bincount(labels[~hidden], minlength=num_classes) == 0))
            hidden &= ~np.isin(numbers, numbers[np.isin(labels, lost)])
            if hidden.any():
                found.append((np.flatnonzero(~hidden), np.flatnonzero(hidden)))
    return found


def _assigned(labels: np.ndarray, numbers: np.ndarray, num_folds: int, random: np.random.Generator) -> np.ndarray:
    """The fold of each group (G,): large groups first, each where fewest rows of its classes are, then fewest rows."""
    sizes = np.bincount(numbers)
    filled = np.zeros((num_folds, int(labels.max()) + 1))
    result = np.empty(len(sizes), dtype=np.int64)
    members = np.split(np.argsort(numbers, kind="stable"), np.cumsum(sizes)[:-1])
    for group in sorted(random.permutation(len(sizes)), key=lambda one: -sizes[one]):
        classes, counts = np.unique(labels[members[group]], return_counts=True)
        result[group] = np.lexsort((filled.sum(axis=1), filled[:, classes] @ counts))[0]
        filled[result[group], classes] += counts
    return result


def judge(labels: np.ndarray, method: np.ndarray, control: np.ndarray, rows: np.ndarray | None = None, *,
          what: str = "labelled rows that it did not see", lenient: bool = False) -> Judgement:
    """Decides whether the unlabelled rows are used: only if they gained on rows whose labels the method did not see.

    More rows right decide; with as many right, the smaller log loss. A row that was hidden several times has one vote.

    Args:
        labels: (h,) int, of hidden rows and of validation rows.
        method: (h, C) probabilities by the method.
        control: (h, C) probabilities by the control, from the same labels.
        rows: (h,) which row each is; None: all are different ones.
        what: they are, in words.
        lenient: use the unlabelled rows unless the control is better by more than such rows can tell, a standard error
            of the paired difference or one row, or by more than 2 points; log loss says nothing then.

    Example:
        >>> judge(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.9, 0.1], [0.6, 0.4]])).fall_back
        False
    """
    if not len(labels):
        return Judgement(None, 0, False, "No labelled row could be hidden, so nothing could be judged, and the "
                                         "unlabelled rows are used unjudged.")
    places, weights = np.arange(len(labels)), once_each(np.arange(len(labels)) if rows is None else rows)
    count = round(float(weights.sum()))
    right, before = (float(weights @ (values.argmax(axis=1) == labels)) / count for values in (method, control))
    loss, loss_before = (-float(weights @ np.log(np.maximum(values[places, labels], 1e-12))) / count
                         for values in (method, control))
    gain = 0.0 if abs(right - before) < 1e-9 else right - before
    fall_back = gain < 0 or gain == 0 and loss >= loss_before
    if lenient:
        differing = float(weights @ ((method.argmax(axis=1) == labels) != (control.argmax(axis=1) == labels)))
        fall_back = gain < -min(max(1.0, differing**0.5) / count, MOST_LOST) - 1e-9
    way = "not used" if fall_back else "used, since so few rows cannot tell the two apart" if gain < 0 else "used"
    why = (f"On {count:,} {what}, the method had {100 * right:.1f} % right (log loss "
           f"{loss:.2f}), the control {100 * before:.1f} % ({loss_before:.2f}): the unlabelled rows are {way}.")
    return Judgement(gain, count, fall_back, why)


def unless_swallowed(judgement: Judgement, labels: np.ndarray, shares: np.ndarray) -> Judgement:
    """Falls back where nothing could judge the pseudo-labels and one class holds far more of them than of the labels.

    Args:
        judgement: from ``judge``.
        labels: (k,) int, the pseudo-labels that are used.
        shares: (C,) of the classes among the labels.
    """
    if judgement.rows or judgement.fall_back or swallowing(np.bincount(labels, minlength=len(shares)), shares) is None:
        return judgement
    return Judgement(None, 0, True, "No labelled row could be hidden, so nothing could be judged, and one class "
                                    "swallows the pseudo-labels: the unlabelled rows are not used.")


def write(path: Path, table: Table, rows: np.ndarray, labels: np.ndarray, confidences: np.ndarray, rounds: np.ndarray,
          class_names: Sequence[str]) -> None:
    """Writes pseudo_labels.csv: row,input,label,confidence,round, in the order of the input.

    Where rows were added from other sources there is a column source, blank for rows of the table itself; the others
    follow, source by source, and their row numbers count in their source.

    Args:
        path: of the file.
        table: of any kind.
        rows: (p,) positions of the pool's rows in it.
        labels: (p,) int in 0..C-1.
        confidences: (p,) in [0, 1].
        rounds: (p,) int, the round that took the row, from 1; 0: no round did.
        class_names: C names.

    Raises:
        ToolkitError: if the file cannot be written.
    """
    own = np.full(len(rows), "", object) if table.origins is None else table.origins[rows]
    order = np.lexsort((table.rows[rows], own.astype(str)))
    lines = ([int(table.rows[rows[i]]), table.names[rows[i]], class_names[labels[i]], float(confidences[i]),
              int(rounds[i]), *([] if table.origins is None else [own[i]])] for i in order)
    sources = [] if table.origins is None else ["source"]
    files.write_csv(path, ["row", "input", "label", "confidence", "round", *sources], lines)


def section(found: Pool, audit: Mapping[str, Any], judgement: Judgement, class_names: Sequence[str]) -> dict[str, Any]:
    """What the report says under ``unlabelled``.

    Args:
        found: from ``pool``.
        audit: from ``audit.audit``.
        judgement: from ``judge``.
        class_names: C names.

    Returns:
        dict for JSON: rows, dropped, set_aside, coverage,
        precision {estimate, interval95, count, by_class {name: ...}}, alarms, history,
        fall_back, why, gain, judged_rows.
    """
    by_class = dict(zip(class_names, audit["precision"]["by_class"], strict=True))
    return {"rows": len(found.rows), "dropped": found.dropped, "set_aside": found.set_aside, **audit,
            "precision": {**audit["precision"], "by_class": by_class}, "fall_back": judgement.fall_back,
            "why": judgement.why, "gain": judgement.gain, "judged_rows": judgement.rows}


def completed(report: Mapping[str, Any], found: Pool, audit: Mapping[str, Any], judgement: Judgement) -> dict[str, Any]:
    """A report with its section ``unlabelled``, the alarms among its notes and the verdict on the unlabelled rows.

    Args:
        report: from ``evaluation.report.build``, its control the labels-only control.
        found: from ``pool``.
        audit: from ``audit.audit``.
        judgement: from ``judge``.
    """
    own = section(found, audit, judgement, report["data"]["classes"])
    notes = [*found.notes, *(f"Alarm: {alarm}" for alarm in own["alarms"]), *([own["why"]] if len(found.rows) else [])]
    return {**report, "unlabelled": own, "notes": [*report["notes"], *notes],
            "verdict": verdict(report["verdict"], used=len(found.rows) > 0 and not judgement.fall_back)}


def verdict(of_comparison: Mapping[str, Any], *, used: bool) -> dict[str, Any]:
    """The verdict in words: whether the unlabelled rows helped, hurt, or made no difference that can be seen.

    Args:
        of_comparison: code and sentence, of the method against the labels-only control.
        used: whether unlabelled rows were learnt from.

    Returns:
        the same code, and a sentence that begins with the answer.

    Example:
        >>> verdict({"code": "better", "sentence": "A (90.0 %) is better than B (80.0 %)."}, used=True)["sentence"]
        'The unlabelled rows helped: A (90.0 %) is better than B (80.0 %).'
    """
    if of_comparison["code"] is None:
        return dict(of_comparison)
    words = VERDICTS[of_comparison["code"]] if used else "The unlabelled rows were not used"
    return {**of_comparison, "sentence": f"{words}: {of_comparison['sentence']}"}
