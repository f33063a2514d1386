"""What a source lists, before any input is looked at: the form that every reader of this room returns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

SPLIT_WORDS = {
    "train": "train", "training": "train",
    "validation": "validation", "val": "validation", "valid": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What a split may be called, in lower case -> its name in a Table."""
NOUNS = {"image": ("image", "images"), "text": ("text", "texts"), "series": ("series", "series")}
"""The kinds of a Table -> what one input, and what several, are called."""


@dataclass
class Entries:
    """The n rows of a source, in its own order. A blank cell is the empty string.

    Attributes:
        source: what the user named.
        names: n inputs as the user wrote them.
        inputs: n absolute paths, n texts, or (n,) int64 positions in ``array``.
        labels: n label cells.
        splits: n of "train", "validation", "test"; None if the source does not say.
        groups: n group cells, or None.
        rows: n numbers of the rows, ascending, from 1.
        by_row: the user knows rows by number (a CSV), not by name (files, arrays).
        label_column: name of the column of labels, for messages; None if the source has no labels.
        how_unlabelled: how the user makes a row unlabelled, for messages.
        array: (N, H, W) or (N, H, W, C) uint8 images, (N,) object of (T, C) float32 series, or None.
        notes: sentences for the report.
        kind: of the inputs, a key of ``NOUNS``.
        problems: index of a row that the reader could make nothing of -> (reason, message).
    """

    source: str
    names: list[str]
    inputs: list[str] | np.ndarray
    labels: list[str]
    splits: list[str] | None
    groups: list[str] | None = None
    rows: list[int] = field(default_factory=list)
    by_row: bool = False
    label_column: str | None = "label"
    how_unlabelled: str = "leave it empty for unlabelled"
    array: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
    kind: str = "image"
    problems: dict[int, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = self.rows or list(range(1, len(self.names) + 1))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def noun(self) -> str:
        """What one input is called."""
        return NOUNS[self.kind][0]

    @property
    def nouns(self) -> str:
        """What several inputs are called."""
        return NOUNS[self.kind][1]

    def short(self, index: int) -> str:
        """How the user finds a row: "row 17" of a CSV, else the name of the input."""
        return f"row {self.rows[index]}" if self.by_row else self.names[index]

    def where(self, index: int, column: str | None = None) -> str:
        """The start of a sentence about a row, or about one of its cells.

        Args:
            index: of the row, from 0.
            column: of the cell; columns called "label" are not named, since the sentence says "label" anyway.
        """
        cell = f", column '{column}'" if self.by_row and column not in (None, "label") else ""
        return f"{self.source}, {self.short(index)}{cell}"

    def in_training(self, index: int) -> bool:
        """Whether the row is a training row, or may become one."""
        return self.splits is None or self.splits[index] == "train"
