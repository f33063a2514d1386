"""Tagged texts: a CSV with a column of tokens and one of tags, a tag a token.

A cell holds its tokens with blanks between them, or as a JSON list where a token holds blanks itself:

    tokens,tags,split
    John lives in Berlin,B-person O O B-place,train
    "[""New York"", ""sleeps""]","[""B-place"", ""O""]",test

Blank tags mean unlabelled. The promises are those of a Table: rows in a canonical order, every row in one split, one
map of tags, and rows without tokens set aside.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from toolkit.tables import labels, sheets, splits
from toolkit.tables.entries import SPLIT_WORDS
from toolkit.tables.errors import TableError, counted, listed, one_line, suggestion
from toolkit.tables.sheets import Sheet
from toolkit.tables.table import RejectedRow
from toolkit.tables.texts import short

MOST_TOKENS = 2000  # of a row: attention takes the square of it


@dataclasses.dataclass(frozen=True, eq=False)
class TaggedTexts:
    """n rows of tokens, in canonical order.

    Attributes:
        tokens: n tuples of tokens, none empty.
        tags: n arrays (T,) int64 of class numbers; None for an unlabelled row.
        splits: (n,) object, "train", "validation" or "test".
        groups: (n,) object, "" for none; or None.
        rows: (n,) int64, 1 for the first line after the header.
        class_names: C tags, those of the training rows.
        rejected: rows without tokens.
        notes: sentences for the report.
        source: what the user named.
        arguments: of ``read``, JSON-ready.
        kind: "tokens".
    """

    tokens: tuple[tuple[str, ...], ...]
    tags: tuple[np.ndarray | None, ...]
    splits: np.ndarray
    groups: np.ndarray | None
    rows: np.ndarray
    class_names: tuple[str, ...]
    rejected: tuple[RejectedRow, ...]
    notes: tuple[str, ...]
    source: str
    arguments: dict[str, Any]
    kind: str = "tokens"

    def __len__(self) -> int:
        return len(self.tokens)

    def in_split(self, split: str) -> np.ndarray:
        """Positions of the rows of a split, (k,) int64."""
        return np.flatnonzero(self.splits == split)

    def labelled(self, split: str) -> np.ndarray:
        """Positions of the rows of a split that have tags, (k,) int64."""
        return np.array([i for i in self.in_split(split) if self.tags[i] is not None], np.int64)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of tokens, tags, splits and class names."""
        tags = [None if row is None else row.tolist() for row in self.tags]
        return _sha256([self.tokens, tags, self.splits.tolist(), self.class_names])

    @property
    def split_fingerprint(self) -> str:
        """SHA-256 of which row is in which split."""
        return _sha256([self.tokens, self.splits.tolist()])


def read(source: str, *, tokens_column: str = "tokens", tags_column: str = "tags", split_column: str | None = "split",
         group_column: str | None = "group", split_seed: int = 0, test_ratio: float = splits.TEST_RATIO,
         validation_ratio: float | None = None, class_names: tuple[str, ...] | None = None) -> TaggedTexts:
    """Reads a CSV of tokens and tags.

    Args:
        source: path of the file.
        tokens_column: column of the tokens.
        tags_column: column of the tags; a blank cell is unlabelled.
        split_column: of train, validation or test; where it is missing, they are drawn as by ``read_table``.
        group_column: of what must stay in one split.
        split_seed: of such draws.
        test_ratio: of them.
        validation_ratio: of them.
        class_names: the tags of a trained model: others are refused, tags may be missing, and no split is drawn.

    Raises:
        TableError: the file or one of its rows cannot be used.
    """
    arguments = {"task": "tag", "source": os.path.abspath(source), "tokens_column": tokens_column,
                 "tags_column": tags_column, "split_column": split_column, "group_column": group_column,
                 "split_seed": split_seed, "test_ratio": test_ratio, "validation_ratio": validation_ratio}
    sheet = sheets.read(source)
    found = _Cells(sheet, tokens_column, tags_column, split_column, group_column, trained=class_names is not None)
    rejected = tuple(RejectedRow(sheet.rows[i], short(" ".join(row[:20])), found.splits[i] if found.splits else "", "",
                                 *problem) for i, row in enumerate(found.tokens) if (problem := _problem(row)))
    kept = found.in_canonical_order()
    names = class_names or found.class_map(kept)
    found.refuse_unknown(kept, names)
    number = {name: position for position, name in enumerate(names)}
    tags = tuple(np.array([number[tag] for tag in found.tags[i]], np.int64) if found.tags[i] else None for i in kept)

    def column(values: list[Any] | None) -> np.ndarray | None:
        return None if values is None else np.array([values[i] for i in kept], object)

    policy = splits.Policy(class_names is None, split_seed, test_ratio, validation_ratio)
    assigned = splits.assign(np.array([-1 if row is None else 0 for row in tags], np.int64), column(found.splits),
                             [_sha256(found.tokens[i]) for i in kept], column(found.groups), ("tagged",), policy)
    notes = [f"{counted(len(rejected), 'row')} of {len(sheet.rows):,} set aside, since they hold no tokens or more "
             f"than {MOST_TOKENS:,}."] if rejected else []
    return TaggedTexts(tuple(found.tokens[i] for i in kept), tags, assigned.splits, column(found.groups),
                       np.array([sheet.rows[i] for i in kept], np.int64), names, rejected,
                       tuple(map(one_line, [*sheet.notes, *notes, *assigned.notes])), source, arguments)


class _Cells:
    """The cells of a sheet by what they are, each row checked on its own."""

    def __init__(self, sheet: Sheet, tokens: str, tags: str, split: str | None, group: str | None, *, trained: bool
                 ) -> None:
        self.sheet, self.tags_column = sheet, tags
        named = [self._items(i, tokens, cell) for i, cell in enumerate(self._column("tokens", tokens, True))]
        self.tokens = [tuple(map(_without_blanks, row)) for row in named]
        cells = self._column("tags", tags, not trained) or [""] * len(named)
        self.tags = [self._items(i, tags, cell) for i, cell in enumerate(cells)]
        cells = self._column("split", split, split not in (None, "split"))
        self.splits = None if cells is None else [self._split(i, cell, trained) for i, cell in enumerate(cells)]
        self.groups = self._column("group", group, group not in (None, "group"))
        for i, (row, row_tags) in enumerate(zip(self.tokens, self.tags)):
            if row and row_tags and len(row) != len(row_tags):
                raise TableError(f"{sheet.source}, row {sheet.rows[i]}: {counted(len(row), 'token')}, but "
                                 f"{counted(len(row_tags), 'tag')} ({short(' '.join(row))}). Give each token one tag, "
                                 f"or leave all tags of the row blank for unlabelled.")

    def in_canonical_order(self) -> list[int]:
        """Indices of the rows that have tokens, by content."""
        keys = [(_sha256(row), self.tags[i], self.splits[i] if self.splits else "",
                 self.groups[i] if self.groups else "", i) for i, row in enumerate(self.tokens) if not _problem(row)]
        return [key[-1] for key in sorted(keys)]

    def class_map(self, kept: list[int]) -> tuple[str, ...]:
        """The tags of the rows that are, or may become, training rows."""
        source = self.sheet.source
        names = {tag for i in kept if self.splits is None or self.splits[i] == "train" for tag in self.tags[i]}
        if not names:
            raise TableError(f"{source} has no training row with tags in column '{self.tags_column}'. Tag some rows.")
        if len(names) == 1:
            raise TableError(f"{source}: every tag of the training rows is '{names.pop()}', and a tagger needs two.")
        return labels.in_order(names)

    def refuse_unknown(self, kept: list[int], names: tuple[str, ...]) -> None:
        """An error for the first row with a tag that is not among ``names``."""
        for i in sorted(kept):
            unknown = sorted(set(self.tags[i]) - set(names))
            if unknown:
                raise TableError(f"{self._where(i, self.tags_column)}: tag '{unknown[0]}' is not among the training "
                                 f"tags ({listed(names)}). Correct it, or leave all tags of the row blank for "
                                 f"unlabelled.{suggestion(unknown[0], names)}")

    def _column(self, role: str, name: str | None, required: bool) -> list[str] | None:
        position = self.sheet.find(name)
        if position is None and required:
            raise self.sheet.no_column(role, str(name), " A table to tag has the columns tokens and tags.")
        return self.sheet.column(position)

    def _where(self, index: int, column: str) -> str:
        return f"{self.sheet.source}, row {self.sheet.rows[index]}, column '{column}'"

    def _items(self, index: int, column: str, cell: str) -> tuple[str, ...]:
        """The items of a cell: of a JSON list, or between blanks."""
        if not (cell.startswith("[") and cell.endswith("]")):
            return tuple(cell.split())
        try:
            items = json.loads(cell)
        except (ValueError, RecursionError):
            return tuple(cell.split())  # words that happen to stand in brackets
        if not (isinstance(items, list) and all(isinstance(item, (str, int, float)) for item in items)):
            raise TableError(f"{self._where(index, column)}: '{short(cell)}' is no list of words. Write "
                             f'["one", "two"], or the words with blanks between them.')
        blank = next((item for item in items if not str(item).strip()), None)
        if blank is not None:
            raise TableError(f"{self._where(index, column)}: the list holds a blank item. Write a word for each.")
        return tuple(str(item).strip().encode("utf-8", "replace").decode() for item in items)  # no half surrogates

    def _split(self, index: int, cell: str, trained: bool) -> str:
        if not cell and trained:
            return "test"
        if cell.lower() not in SPLIT_WORDS:
            raise TableError(f"{self._where(index, 'split')}: '{cell}' is not a split. Write train, validation or "
                             f"test, or delete the column for an automatic split.")
        return SPLIT_WORDS[cell.lower()]


def _problem(row: Sequence[str]) -> tuple[str, str] | None:
    """Reason and message where a row of tokens cannot be used."""
    if not row:
        return "empty", "the cell holds no tokens: fill it in, or delete the row"
    if len(row) > MOST_TOKENS:
        return "too_large", f"{len(row):,} tokens, and at most {MOST_TOKENS:,} can be tagged: split it into sentences"
    return None


def _without_blanks(token: str) -> str:
    """A token in one piece: blanks within it become no-break spaces, at which nothing is split."""
    return "\N{NO-BREAK SPACE}".join(token.split())


def _sha256(value: object) -> str:
    return hashlib.sha256(repr(value).encode("utf-8", "surrogatepass")).hexdigest()
