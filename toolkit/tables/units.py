"""Rows that must stay together, copies of an image or rows of a group, and shares of them, class by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np


def number(checksums: Sequence[str], groups: Sequence[str] | None, rows: np.ndarray) -> np.ndarray:
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


def take(labels: np.ndarray, units: np.ndarray, ratio: float, seed: list[int], *, every_class: bool) -> np.ndarray:
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
