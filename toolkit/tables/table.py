"""The Table: every row checked, every label a number, every row in one split."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from toolkit.tables.errors import TableError

_ROW_FIELDS = ("inputs", "names", "labels", "splits", "groups", "rows", "checksums", "decoders", "sizes",
               "origins")


@dataclasses.dataclass(frozen=True, eq=False)
class RejectedRow:
    """A row that was set aside.

    Attributes:
        row: its number, as in ``Table.rows``.
        input: as the user wrote it.
        split: "" if unknown.
        label: "" if blank.
        reason: missing, empty, truncated, corrupt, not_an_image, directory, unreadable, too_large or unsupported.
        message: what is the matter, and what to do.
        origin: the source of unlabelled images that it is of; "" for the table's own.
    """

    row: int
    input: str
    split: str
    label: str
    reason: str
    message: str
    origin: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """n usable rows, in canonical order: by content, so that the order of the source changes nothing.

    The arrays cannot be written to.

    Attributes:
        kind: of the inputs, "image", "text" or "series".
        inputs: (n,) object, absolute paths or whole texts; or (n,) int64, positions in ``array``.
        names: (n,) object, each input as the user wrote it, on one line of at most 200 characters for texts and series;
            for arrays such as "x_train[17]".
        labels: (n,) int64 class numbers, -1 for unlabelled.
        splits: (n,) object, "train", "validation" or "test".
        groups: (n,) object, "" for none; or None.
        rows: (n,) int64, 1 for the first line after the header.
        class_names: C names, numbers sorted as numbers.
        checksums: (n,) object, SHA-256 of each file's bytes, of a text's UTF-8 bytes, or of the shape and numbers of an
            array's image or series.
        decoders: (n,) uint8, 0 for a JPEG and 1 for a PNG that TensorFlow reads to the same pixels, else 2 (see
            ``image_decoders``); 0 for texts and series.
        sizes: (n, 2) int32 heights and widths, after the turn that EXIF asks for; (characters, 1) of texts; (time
            steps, channels) of series.
        channels: 1 if every image is grey, else 3; of series their number; of texts 1.
        array: (N, H, W) or (N, H, W, 3) uint8 images; (N,) object of (T, C) float32 series, NaN where a value is
            missing, the last step with a value; or None for files and texts.
        rejected: the rows set aside, in their order.
        notes: sentences for the report.
        source: what the user named.
        arguments: of ``read_table``, JSON-ready: enough to read the same table again from anywhere on this machine.
        origins: (n,) object, the source of unlabelled images that a row was added from, which its row number counts
            in; "" for the table's own rows. None if nothing was added.
        names_splits: the source said which row is in which split.
    """

    kind: str
    inputs: np.ndarray
    names: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    groups: np.ndarray | None
    rows: np.ndarray
    class_names: tuple[str, ...]
    checksums: np.ndarray
    decoders: np.ndarray
    sizes: np.ndarray
    channels: int
    array: np.ndarray | None
    rejected: tuple[RejectedRow, ...]
    notes: tuple[str, ...]
    source: str
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    origins: np.ndarray | None = None
    names_splits: bool = True

    def __post_init__(self) -> None:
        for name in (*_ROW_FIELDS, "array"):
            values = getattr(self, name)
            if values is None:
                continue
            if name != "array" and len(values) != len(self.inputs):
                raise TableError(f"A table of {len(self.inputs):,} rows was given {len(values):,} {name}.")
            values = values.view()
            values.flags.writeable = False
            object.__setattr__(self, name, values)

    def __len__(self) -> int:
        return len(self.inputs)

    def in_split(self, split: str) -> np.ndarray:
        """Positions of the rows of a split, (k,) int64."""
        return np.flatnonzero(self.splits == split)

    def labelled(self, split: str) -> np.ndarray:
        """Positions of the rows of a split that have a label, (k,) int64."""
        return np.flatnonzero((self.splits == split) & (self.labels >= 0))

    def unlabelled(self) -> np.ndarray:
        """Positions of the training rows without a label, (k,) int64."""
        return np.flatnonzero((self.splits == "train") & (self.labels < 0))

    def select(self, indices: np.ndarray) -> Table:
        """The table of some rows, in the order of their positions ``indices``, (k,); all else stays as it is."""
        chosen = {name: values[indices] for name in _ROW_FIELDS if (values := getattr(self, name)) is not None}
        return dataclasses.replace(self, **chosen)

    @property
    def usual_side(self) -> int:
        """Median of the shorter sides of the training images, or of all where none is for training; in pixels."""
        rows = self.in_split("train")
        return int(np.median(self.sizes[rows if len(rows) else slice(None)].min(axis=1)))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of inputs, labels, splits, groups and class names: with the same one, tables train the same model."""
        groups = [] if self.groups is None else [self.groups]
        return _sha256(self.class_names, self.checksums, self.labels.tolist(), self.splits, *groups)

    @property
    def split_fingerprint(self) -> str:
        """SHA-256 of which input is in which split."""
        return _sha256(self.checksums, self.splits)


def _sha256(*columns: Iterable[object]) -> str:
    digest = hashlib.sha256()
    for column in columns:
        values = [str(value) for value in column]
        digest.update(repr(values).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
