"""Which rows are for training, validation and test, where the source does not say.

Every choice is a function of the seed and of the canonical order of the rows, never of the order of the source. Rows
are taken in units: rows with the same group or the same image are never parted. Classes are taken in proportion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.tables import units
from toolkit.tables.errors import TableError, counted, listed
from toolkit.tables.labels import tiny_classes

TEST_RATIO, VALIDATION_RATIO = 0.2, 0.1
FEWEST_FOR_VALIDATION = 200
"""Labelled training rows below which none becomes validation, unless a ratio is given."""
_TEST_STREAM, _VALIDATION_STREAM, _LABEL_STREAM = 1, 2, 3  # told apart, so that no choice repeats another's draws


@dataclass(frozen=True)
class Policy:
    """What may be chosen where the source does not say.

    Attributes:
        choose: splits may be; else all rows of a source without splits are test rows.
        seed: of the splits.
        test_ratio: of the labelled rows, where the source names no splits.
        validation_ratio: of the labelled rows, or, where the source names splits, of its labelled training rows; None:
            a tenth, and none of fewer than 200 training rows.
        labels_per_class: training labels to keep, or None for all.
        label_seed: of those.

    Raises:
        TableError: a ratio outside 0 to 1, or of 1.
    """

    choose: bool = True
    seed: int = 0
    test_ratio: float = TEST_RATIO
    validation_ratio: float | None = None
    labels_per_class: int | None = None
    label_seed: int = 0

    def __post_init__(self) -> None:
        """Checks the ratios."""
        for ratio in (self.test_ratio, self.validation_ratio or 0.0):
            if not 0 <= ratio < 1:
                raise TableError(f"A ratio of test or validation rows is {ratio:g}. Expected 0 or more, less than 1.")

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Policy:
        """The policy of what a table was read with."""
        names = {"split_seed": "seed", "test_ratio": "test_ratio", "validation_ratio": "validation_ratio"}
        return cls(**{name: arguments[given] for given, name in names.items() if given in arguments})

    def validation_share(self, *, drawn: bool) -> tuple[float, int]:
        """The ratio of validation among labelled training rows, and the fewest of them that it is taken from.

        Args:
            drawn: whether test rows were taken from the same rows before.

        Raises:
            TableError: nothing would be left to train on.
        """
        ratio, fewest = self.validation_ratio, 1
        if ratio is None:
            ratio, fewest = VALIDATION_RATIO, FEWEST_FOR_VALIDATION
        if drawn and ratio + self.test_ratio >= 1:
            raise TableError(f"The ratios of test and validation rows are {self.test_ratio:g} and {ratio:g}. Expected "
                             f"less than 1 together, so that rows to learn from are left.")
        return (ratio / (1 - self.test_ratio) if drawn else ratio), fewest


@dataclass(frozen=True, eq=False)
class Assigned:
    """Labels, some perhaps blanked, (n,) int64; splits, (n,) object; and notes on both."""

    labels: np.ndarray
    splits: np.ndarray
    notes: list[str]


def assign(labels: np.ndarray, declared: np.ndarray | None, checksums: Sequence[str], groups: np.ndarray | None,
           class_names: Sequence[str], policy: Policy) -> Assigned:
    """Splits the rows: test first, then the few labels are kept, then validation is taken from training.

    Args:
        labels: (n,) class numbers, -1 for unlabelled, in canonical order.
        declared: (n,) splits that the source names, or None.
        checksums: n, of the images.
        groups: (n,) group names, "" for none; or None.
        class_names: C names.
        policy: what may be chosen.
    """
    if not policy.choose:
        return Assigned(labels, np.full(len(labels), "test", object) if declared is None else declared, [])
    drawn = declared is None
    splits = choose(labels, checksums, groups, ratio=policy.test_ratio, seed=policy.seed) if drawn else declared
    training = labels[(splits == "train") & (labels >= 0)]
    notes = tiny_classes([class_names[label] for label in training])
    if policy.labels_per_class is not None:
        labels, few = with_few_labels(labels, splits, policy.labels_per_class, class_names, seed=policy.label_seed)
        notes += few
    has_validation = bool((splits == "validation").any())
    if not has_validation:
        ratio, fewest = policy.validation_share(drawn=drawn)
        splits = with_validation(splits, labels, checksums, groups, ratio=ratio, fewest=fewest, seed=policy.seed)
    return Assigned(labels, splits, notes + _notes(labels, splits, drawn, has_validation, policy))


def _notes(labels: np.ndarray, splits: np.ndarray, drawn: bool, had_validation: bool, policy: Policy) -> list[str]:
    counts = Counter(splits[labels >= 0].tolist())
    train, validation, test = (counts[split] for split in ("train", "validation", "test"))
    few = (f"There is no validation, since {counted(train, 'labelled training row is', 'labelled training rows are')} "
           f"fewer than {FEWEST_FOR_VALIDATION}.")
    if policy.validation_ratio is not None:
        few = f"There is no validation: its ratio is {policy.validation_ratio:g}."
    notes = []
    if had_validation and policy.validation_ratio is not None:
        notes.append("The table names its validation rows: no ratio of them is taken.")
    if not drawn and policy.test_ratio != TEST_RATIO:
        notes.append("The table names its splits: no ratio of test rows is taken.")
    if drawn:
        notes.append(f"The table names no splits. Its labelled rows were split by seed {policy.seed}, class by class: "
                     f"{train:,} training, {validation:,} validation, {test:,} test.{'' if validation else ' ' + few}")
    elif not had_validation:
        notes.append(f"The table names no validation rows: {validation:,} of {train + validation:,} labelled training "
                     f"rows became validation (split seed {policy.seed})." if validation else few)
    return notes + ([] if test else ["There is no labelled test row, so nothing will be scored on test rows."])


def choose(labels: np.ndarray, checksums: Sequence[str], groups: Sequence[str] | None, *, ratio: float = TEST_RATIO,
           seed: int) -> np.ndarray:
    """Chooses the test rows of a table without splits among the labelled rows; all others are for training.

    Unless the ratio is 0, each class of three units or more gets a test row, and each class keeps a training row, where
    groups allow it.

    Args:
        labels: (n,) class numbers, -1 for unlabelled, in canonical order.
        checksums: n, of the images.
        groups: n, "" for none; or None.
        ratio: of the labelled rows.
        seed: of the choice.

    Returns:
        (n,) object array of "train" and "test".
    """
    rows = np.arange(len(labels))
    together = units.number(checksums, groups, rows)
    taken = units.take(labels, together, ratio, [seed, _TEST_STREAM], every_class=ratio > 0)
    return np.where(taken, "test", "train").astype(object)


def with_validation(splits: np.ndarray, labels: np.ndarray, checksums: Sequence[str], groups: Sequence[str] | None, *,
                    ratio: float, fewest: int, seed: int) -> np.ndarray:
    """Makes some labelled training rows validation rows.

    Unlabelled rows of a group, or of an image, go with its labelled ones.

    Args:
        splits: (n,) in canonical order.
        labels: (n,) class numbers, -1 for unlabelled.
        checksums: n, of the images.
        groups: n, "" for none; or None.
        ratio: of the labelled training rows.
        fewest: of them; where there are fewer, none is taken.
        seed: of the choice.

    Returns:
        (n,) object array.
    """
    rows = np.flatnonzero(splits == "train")
    if (labels[rows] >= 0).sum() < fewest:
        return splits
    together = units.number(checksums, groups, rows)
    taken = units.take(labels[rows], together, ratio, [seed, _VALIDATION_STREAM], every_class=False)
    splits = splits.copy()
    splits[rows[taken]] = "validation"
    return splits


def with_few_labels(labels: np.ndarray, splits: np.ndarray, count: int, class_names: Sequence[str], *, seed: int
                    ) -> tuple[np.ndarray, list[str]]:
    """Blanks training labels until each class has at most ``count``.

    With one seed, those kept for a smaller ``count`` are also kept for a larger one.

    Args:
        labels: (n,) class numbers, -1 for unlabelled, in canonical order.
        splits: (n,).
        count: labels to keep a class.
        class_names: for the note.
        seed: of the choice.

    Returns:
        (n,) labels, and a note.
    """
    kept, scarce = np.full_like(labels, -1), []
    kept[splits != "train"] = labels[splits != "train"]
    for number, name in enumerate(class_names):
        rows = np.flatnonzero((labels == number) & (splits == "train"))
        chosen = np.random.default_rng([seed, _LABEL_STREAM, number]).permutation(rows)[:count]
        kept[chosen] = number
        scarce += [name] if len(chosen) < count else []
    before, after = (int(((values >= 0) & (splits == "train")).sum()) for values in (labels, kept))
    note = (f"Few-label problem: {after:,} of {before:,} training labels are kept, {count} a class (label seed "
            f"{seed}), and the other rows are unlabelled.")
    if scarce:
        note += f" {counted(len(scarce), 'class has', 'classes have')} fewer: {listed(scarce)}."
    return kept, [note]
