"""The labels-only control in pixel space, trained once per table and setting: kept in the user's cache folder.

It is the same network with the same start (but the probe's head where the method has that of a stage in feature space),
steps, augmentation and seeds, without the pool. Whatever decides its weights is in the name of its file: the data, the
settings, the length, the weights it starts from, and the version of this package. Several workers train it together
unless all of them have it.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import toolkit
from toolkit import atomic_files
from toolkit.tables import Table
from toolkit.training import workers
from toolkit.training.progress import say

VERSION = 3  # raise it when the way from these facts to the weights changes


def weights(table: Table, facts: Mapping[str, Any], start: list[np.ndarray], train: Callable[[], list[np.ndarray]]
            ) -> tuple[list[np.ndarray], bool]:
    """The weights of the control, from the cache or trained now.

    Args:
        table: that it learns from.
        facts: JSON-ready, all that decides the training beside table and start.
        start: weights before training.
        train: trains it.

    Returns:
        Its weights, and whether they were found in the cache.
    """
    path = toolkit.cache_folder() / "controls" / f"{_key(table, facts, start)}.npz"
    found = _read(path, [value.shape for value in start])
    if workers.gathered(np.array([found is not None], np.int64)).all():  # else all workers train it together
        say(f"the control was trained before: {path}")
        return found, True
    trained = train()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_files.in_place_of(path) as temporary:
            np.savez(temporary, **{str(number): value for number, value in enumerate(trained)})
    except OSError as error:
        say(f"The control could not be kept in {path.parent} ({error.strerror or error}); going on without. Set "
            "TOOLKIT_CACHE to a folder that can be written.")
    return trained, False


def _key(table: Table, facts: Mapping[str, Any], start: list[np.ndarray]) -> str:
    digest = hashlib.sha256(json.dumps([VERSION, toolkit.__version__, table.fingerprint, dict(facts)],
                                       sort_keys=True).encode())
    for value in start:
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()[:32]


def _read(path: Path, shapes: list[tuple[int, ...]]) -> list[np.ndarray] | None:
    """The weights of a file; None if there is none, or it is damaged and therefore removed."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            found = [archive[str(number)] for number in range(len(shapes))]
        if [value.shape for value in found] == shapes:
            return found
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    path.unlink(missing_ok=True)
    return None
