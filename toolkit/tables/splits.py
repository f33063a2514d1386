"""Which rows are for training, validation and test, where the source does not say.

Every choice is a function of the seed and of the canonical order of the rows, never of the order of the source. Rows
are taken in units: rows with the same group or the same image are never parted. Classes are taken in proportion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.tables.errors import counted, listed
from toolkit.tables.labels import tiny_classes

TEST_RATIO, VALIDATION_RATIO = 0.2, 0.1
FEWEST_FOR_VALIDATION = 200
"""Labelled training rows below which none becomes validation."""
_TEST_STREAM, _VALIDATION_STREAM, _LABEL_STREAM = 1, 2, 3  # told apart, so that no choice repeats another's draws


@dataclass(frozen=True)
class Policy:
    """What may be chosen where the source does not say.

    Attributes:
        choose: splits may be; else all rows of a source without splits are test rows.
        seed: of the splits.
        labels_per_class: training labels to keep, or None for all.
        label_seed: of those.
    """

    choose: bool = True
    seed: int = 0
    labels_per_class: int | None = None
    label_seed: int = 0


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
    splits = choose(labels, checksums, groups, seed=policy.seed) if declared is None else declared
    training = labels[(splits == "train") & (labels >= 0)]
    notes = tiny_classes([class_names[label] for label in training])
    if policy.labels_per_class is not None:
        labels, few = with_few_labels(labels, splits, policy.labels_per_class, class_names, seed=policy.label_seed)
        notes += few
    has_validation = bool((splits == "validation").any())
    if not has_validation:
        ratio = VALIDATION_RATIO / (1 - TEST_RATIO) if declared is None else VALIDATION_RATIO
        splits = with_validation(splits, labels, checksums, groups, ratio=ratio, seed=policy.seed)
    return Assigned(labels, splits, notes + _notes(labels, splits, declared is not None, has_validation, policy.seed))


def _notes(labels: np.ndarray, splits: np.ndarray, declared: bool, had_validation: bool, seed: int) -> list[str]:
    counts = Counter(splits[labels >= 0].tolist())
    train, validation, test = (counts[split] for split in ("train", "validation", "test"))
    few = (f"There is no validation, since {counted(train, 'labelled training row is', 'labelled training rows are')} "
           f"fewer than {FEWEST_FOR_VALIDATION}.")
    notes = []
    if not declared:
        notes.append(f"The table names no splits. Its labelled rows were split by seed {seed}, class by class: "
                     f"{train:,} training, {validation:,} validation, {test:,} test.{'' if validation else ' ' + few}")
    elif not had_validation:
        notes.append(f"The table names no validation rows: {validation:,} of {train + validation:,} labelled training "
                     f"rows became validation (split seed {seed})." if validation else few)
    return notes + ([] if test else ["There is no labelled test row, so nothing will be scored on test rows."])


def choose(labels: np.ndarray, checksums: Sequence[str], groups: Sequence[str] | None, *, seed: int) -> np.ndarray:
    """Chooses the test rows of a table without splits: 20 % of the labelled rows, all others are for training.

    Each class of three units or more gets a test row, and each class keeps a training row, where groups allow it.

    Args:
        labels: (n,) class numbers, -1 for unlabelled, in canonical order.
        checksums: n, of the images.
        groups: n, "" for none; or None.
        seed: of the choice.

    Returns:
        (n,) object array of "train" and "test".
    """
    rows = np.arange(len(labels))
    taken = _take(labels, units(checksums, groups, rows), TEST_RATIO, [seed, _TEST_STREAM], every_class=True)
    return np.where(taken, "test", "train").astype(object)


def with_validation(splits: np.ndarray, labels: np.ndarray, checksums: Sequence[str], groups: Sequence[str] | None, *,
                    ratio: float, seed: int) -> np.ndarray:
    """Makes some labelled training rows validation rows, unless there are fewer than 200.

    Unlabelled rows of a group, or of an image, go with its labelled ones.

    Args:
        splits: (n,) in canonical order.
        labels: (n,) class numbers, -1 for unlabelled.
        checksums: n, of the images.
        groups: n, "" for none; or None.
        ratio: of the labelled training rows.
        seed: of the choice.

    Returns:
        (n,) object array.
    """
    rows = np.flatnonzero(splits == "train")
    if (labels[rows] >= 0).sum() < FEWEST_FOR_VALIDATION:
        return splits
    together = units(checksums, groups, rows)
    taken = _take(labels[rows], together, ratio, [seed, _VALIDATION_STREAM], every_class=False)
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


def units(checksums: Sequence[str], groups: Sequence[str] | None, rows: np.ndarray) -> np.ndarray:
    """Numbers the rows that copies or groups connect.

    Args:
        checksums: n, of the images.
        groups: n, "" for none; or None.
        rows: (k,) positions.

    Returns:
        (k,) int, from 0 in the order of each unit's first row.
    """
    parents = list(range(len(rows)))

    def top(row: int) -> int:
        while parents[row] != row:
            parents[row] = row = parents[parents[row]]
        return row

    first: dict[tuple[str, str], int] = {}
    for position, row in enumerate(rows.tolist()):
        keys = [("checksum", checksums[row])] + ([("group", groups[row])] if groups is not None and groups[row] else [])
        for key in keys:
            one, other = top(first.setdefault(key, position)), top(position)
            parents[max(one, other)] = min(one, other)
    tops = np.array([top(row) for row in parents], np.int64)
    return np.unique(tops, return_inverse=True)[1]


def _take(labels: np.ndarray, units: np.ndarray, ratio: float, seed: list[int], *, every_class: bool) -> np.ndarray:
    """Marks about ``ratio`` of the labelled rows, class by class, in whole units.

    Args:
        labels: (n,) class numbers, -1 for unlabelled.
        units: (n,) number of each row's unit.
        ratio: of the labelled rows.
        seed: of the choice.
        every_class: take a row of each class that has three units or more.

    Returns:
        (n,) bool.
    """
    choice = _Choice(labels, units)
    strata = choice.strata()
    targets = {stratum: ratio * sum(choice.sizes[unit] for unit in members) for stratum, members in strata.items()}
    orders = {stratum: np.random.default_rng([*seed, stratum]).permutation(members).tolist()
              for stratum, members in strata.items()}
    for stratum, order in orders.items():  # the whole part of each class's share
        choice.take_up_to(order, int(targets[stratum] + 1e-9))
    ties = np.random.default_rng(seed).permutation(int(labels.max(initial=0)) + 1)
    missing = {stratum: targets[stratum] - choice.count(orders[stratum]) for stratum in orders}
    total = int(ratio * choice.num_labelled + 0.5)
    for stratum in sorted(orders, key=lambda stratum: (-missing[stratum], ties[stratum])):  # largest remainders next
        if missing[stratum] > 0:
            choice.take_one(orders[stratum], total - choice.num_taken)
    if every_class:
        for number in range(int(labels.max(initial=-1)) + 1):
            choice.take_one_of(number)
    return np.isin(units, np.fromiter(choice.taken, np.int64, len(choice.taken)))


class _Choice:
    """Units taken so far; the last labelled row of a class is never taken."""

    def __init__(self, labels: np.ndarray, units: np.ndarray) -> None:
        """Counts the labels of every unit that has any."""
        self.counts: dict[int, Counter[int]] = {}
        for unit, label in zip(units.tolist(), labels.tolist()):
            if label >= 0:
                self.counts.setdefault(unit, Counter())[label] += 1
        self.sizes = {unit: counts.total() for unit, counts in self.counts.items()}
        self.left = Counter(labels[labels >= 0].tolist())
        self.num_labelled, self.num_taken = self.left.total(), 0
        self.taken: set[int] = set()
        self.of_class: dict[int, list[int]] = {}
        for unit, counts in self.counts.items():
            for label in counts:
                self.of_class.setdefault(label, []).append(unit)

    def strata(self) -> dict[int, list[int]]:
        """Units by their most frequent label, classes and units ascending."""
        strata: dict[int, list[int]] = {}
        for unit in sorted(self.counts):
            counts = self.counts[unit]
            strata.setdefault(min(counts, key=lambda label: (-counts[label], label)), []).append(unit)
        return dict(sorted(strata.items()))

    def count(self, units: list[int]) -> int:
        """Labelled rows taken among some units."""
        return sum(self.sizes[unit] for unit in units if unit in self.taken)

    def take_up_to(self, units: list[int], quota: int) -> None:
        """Takes units, in their order, while that brings the number of their rows nearer to the quota."""
        count = 0
        for unit in units:
            if count >= quota:
                return
            if abs(count + self.sizes[unit] - quota) < abs(count - quota) and self._take(unit):
                count += self.sizes[unit]

    def take_one(self, units: list[int], wanted: int) -> None:
        """Takes the first unit left that brings the number of rows nearer to those still wanted."""
        for unit in units:
            if unit not in self.taken and abs(self.sizes[unit] - wanted) < abs(wanted) and self._take(unit):
                return

    def take_one_of(self, label: int) -> None:
        """Takes the smallest unit with a label that no unit taken has, if three units or more have it."""
        units = self.of_class.get(label, [])
        if len(units) >= 3 and self.taken.isdisjoint(units):
            any(self._take(unit) for unit in sorted(units, key=lambda unit: (self.sizes[unit], unit)))

    def _take(self, unit: int) -> bool:
        if any(self.left[label] <= count for label, count in self.counts[unit].items()):
            return False
        self.left.subtract(self.counts[unit])
        self.num_taken += self.sizes[unit]
        self.taken.add(unit)
        return True
