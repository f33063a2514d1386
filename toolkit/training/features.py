"""Frozen features: each image, text or series passes through the backbone once, ever.

Features are cached on disk by content: one folder for what the backbone computes (its weights, graph and
preprocessing), and in it files of rows named by the SHA-256 of their bytes. A renamed or moved image is found
again; a changed one is not. Extraction writes its rows as it goes, so that a stopped one continues; several workers
extract a part each into the cache that all of them read. BatchNorm is folded into the convolutions first (see
``models.folding``), which wins back what decoding costs.
"""

from __future__ import annotations

import functools
import hashlib
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import toolkit
from toolkit import atomic_files, inputs
from toolkit.models import backbones
from toolkit.tables import Table
from toolkit.training import workers
from toolkit.training.progress import Progress, say

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

ROWS_PER_FILE = 4096
VERSION = 1  # raise it when the way from file to features changes
PIXEL_SIDE = 32


def extract(backbone: "keras.Model", table: Table, indices: np.ndarray | None = None, *, reflect: bool = False,
            batch_size: int = 64, cache: Path | None = None) -> np.ndarray:
    """Features of the rows of a table by a frozen backbone.

    Args:
        backbone: from ``backbones.build``.
        table: of any kind that the backbone reads.
        indices: (n,) rows of the table; None: all of them.
        reflect: mirror the images left to right first.
        batch_size: rows a step.
        cache: folder of the cache; None: ``$TOOLKIT_CACHE`` or ``~/.cache/toolkit``.

    Returns:
        (n, F) float32, in the order of ``indices``.

    Raises:
        ToolkitError: if an image can no longer be read.

    Example:
        >>> from toolkit.tables import read_table
        >>> from toolkit.models import backbones
        >>> table = read_table(digits_csv)
        >>> features = extract(backbones.build("small_cnn", weights="none", image_size=28), table)
        >>> len(features) == len(table)
        True
    """
    preprocessing = backbones.preprocessing(backbone)

    def batches(rows: np.ndarray) -> "tf.data.Dataset":
        return inputs.evaluation_batches(table, rows, preprocessing=preprocessing, batch_size=batch_size,
                                         reflect=reflect)

    return through_network(backbone, table, indices, batches, "reflected" if reflect else "",
                           title=f"features of {backbone.name}", cache=cache)


def through_network(backbone: "keras.Model", table: Table, indices: np.ndarray | None,
                    batches: Callable[[np.ndarray], "tf.data.Dataset"], *parts: str, title: str,
                    cache: Path | None = None) -> np.ndarray:
    """What the frozen network of a backbone makes of rows, computed once for each distinct content and cached.

    Args:
        backbone: from ``backbones.build``.
        table: of any kind.
        indices: (n,) rows; None: all.
        batches: rows (k,) -> what the network takes of them, images (B, S, S, 3) for one, in order.
        *parts: what decides that besides table, preprocessing and backbone.
        title: of the progress.
        cache: folder of the cache; None: the user's.

    Returns:
        (n, F) float32, in the order of ``indices``.

    Raises:
        ToolkitError: if an image can no longer be read.
    """
    from toolkit.training import loop, prediction

    network = functools.cache(lambda: backbones.fold_batch_normalization(backbones.network(backbone)))

    def compute(rows: np.ndarray, progress: Callable[[int], None]) -> np.ndarray:
        if table.kind != "image":
            return prediction.by_length(network(), batches(rows), progress)
        return inputs.explained(table, lambda: loop.predict(network(), batches(rows), progress))

    key = _key(backbones.fingerprint(backbone), repr(backbones.preprocessing(backbone)), *parts)
    return _through_cache(table, indices, Cache.open(cache, key), backbone.output_shape[-1], compute, title)


def pixels(table: Table, indices: np.ndarray | None = None, *, cache: Path | None = None) -> np.ndarray:
    """The pixels themselves as features: the plain baseline.

    Images are resized to a square of 32 pixels, or of their own size where that is usually smaller, and scaled to
    [0, 1]; grey tables have one channel.

    Args:
        table: of images.
        indices: (n,) rows; None: all.
        cache: as in ``extract``.

    Returns:
        (n, side * side * channels) float32.
    """
    side = min(PIXEL_SIDE, table.usual_side)
    preprocessing = backbones.Preprocessing(image_size=side, resize_size=side, interpolation="bilinear", antialias=True)

    def compute(rows: np.ndarray, progress: Progress) -> np.ndarray:
        batches = inputs.evaluation_batches(table, rows, preprocessing=preprocessing, batch_size=256)
        images = inputs.explained(table, lambda: np.concatenate([batch.numpy() for batch in batches]))
        return images[..., :table.channels].reshape(len(rows), -1) / np.float32(255)

    key = _key("pixels", repr(preprocessing), str(table.channels))
    return _through_cache(table, indices, Cache.open(cache, key), side * side * table.channels, compute, "pixels")


def _key(*parts: str) -> str:
    """The name of a folder of the cache: a digest of all that decides its rows."""
    return hashlib.sha256("\n".join((str(VERSION), *parts)).encode()).hexdigest()[:32]


def _through_cache(table: Table, indices: np.ndarray | None, cache: "Cache", width: int,
                   compute: Callable[[np.ndarray, Callable[[int], None]], np.ndarray], title: str) -> np.ndarray:
    """Looks up each distinct image, computes and stores the missing ones, and returns rows in the asked order.

    ``compute`` takes rows (k,) and a function that is told how many are done, and gives (k, width).
    """
    indices = np.arange(len(table)) if indices is None else np.asarray(indices)
    checksums, first, inverse = np.unique(table.checksums[indices].astype(str), return_index=True, return_inverse=True)
    result = np.zeros((len(checksums), width), np.float32)
    missing = np.flatnonzero(~cache.read_into(result, checksums))

    def fill(rows: np.ndarray) -> None:
        with Progress(title, len(rows)) as progress:
            for start in range(0, len(rows), ROWS_PER_FILE):
                part = rows[start:start + ROWS_PER_FILE]
                result[part] = compute(indices[first[part]], lambda done, start=start: progress(start + done))
                cache.write(checksums[part], result[part])

    workers.wait()  # until all have seen what is missing
    fill(workers.own(missing))
    if workers.this().count > 1:
        workers.wait()
        left = np.flatnonzero(~cache.read_into(result, checksums))
        if len(left):
            say(f"The workers do not share the cache {cache.folder}: each extracts all rows itself. Set TOOLKIT_CACHE "
                f"to a folder that all of them see.")
        fill(left)
    return result[inverse]


@dataclass(frozen=True)
class Cache:
    """Rows of features on disk, by the checksum of their image.

    Attributes:
        folder: where the files of this key lie.
    """

    folder: Path

    @classmethod
    def open(cls, root: Path | None, key: str) -> "Cache":
        """The cache of one key below ``root`` (None: the user's cache folder)."""
        return cls((root or toolkit.cache_folder()) / "features" / key)

    def read_into(self, result: np.ndarray, checksums: np.ndarray) -> np.ndarray:
        """Fills the rows of ``result`` (n, F) whose checksum is known; returns which they are, (n,) bool.

        ``checksums`` (n,) are sorted and distinct. A damaged file is removed: its rows are computed again.
        """
        found = np.zeros(len(checksums), bool)
        for path in sorted(self.folder.glob("[!.]*.npz")) if self.folder.is_dir() and len(checksums) else ():
            try:
                with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                    names = archive["checksums"].astype(str)
                    position = np.minimum(np.searchsorted(checksums, names), len(checksums) - 1)
                    hits = np.flatnonzero(checksums[position] == names)
                    if len(hits):
                        result[position[hits]] = archive["rows"][hits]
                        found[position[hits]] = True
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                path.unlink(missing_ok=True)
        return found

    def write(self, checksums: np.ndarray, rows: np.ndarray) -> None:
        """Adds rows. A cache that cannot be written costs time, not the run: it says so and goes on."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"{uuid.uuid4().hex}.npz"
            with atomic_files.in_place_of(path) as temporary:
                np.savez(temporary, checksums=checksums.astype("S64"), rows=rows)
        except OSError as error:
            say(f"The features could not be cached in {self.folder} ({error.strerror or error}); going on without. "
                f"Set TOOLKIT_CACHE to a folder that can be written.")
