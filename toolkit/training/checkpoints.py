"""Checkpoints for exact resume: everything a training step depends on, in one file written atomically.

A step is a function of the weights, the optimizer's variables (its step counter drives the schedule), the position in
the stream of batches and the seeds of the dropout layers. Position and seeds are functions of (seed, epoch), so a
checkpoint at the end of an epoch holds the arrays and the epoch, and nothing else.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit import ToolkitError

if TYPE_CHECKING:
    import keras

KEEP = 2  # the newest and the one before it


def save(folder: Path, step: int, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Path:
    """Writes ``checkpoint-<step>.npz``: to a temporary file, to the disk, then renamed; older ones are removed.

    Args:
        folder: made if it is missing.
        step: orders the checkpoints.
        arrays: by name.
        facts: JSON-ready values kept with them.

    Raises:
        ToolkitError: if the disk refuses.
    """
    path = folder / f"checkpoint-{step:08d}.npz"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: np.savez(file, facts=np.array(json.dumps(facts)), **arrays))
    except OSError as error:
        raise ToolkitError(f"Could not write the checkpoint {path}: {error.strerror or error}. The checkpoint before "
                           f"it is intact: free space or mend the folder and run again with --resume.") from error
    for old in sorted(folder.glob("checkpoint-*.npz"))[:-KEEP]:
        old.unlink(missing_ok=True)
    return path


def write_atomically(path: Path, write: Any) -> None:
    """Calls ``write(file)`` on a temporary file beside ``path`` and renames it once it is on the disk."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """The newest readable checkpoint of ``folder`` as (arrays, facts); None if there is none."""
    for path in sorted(folder.glob("checkpoint-*.npz"), reverse=True):
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            return arrays, json.loads(str(arrays.pop("facts")))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            continue
    return None


def get_state(model: "keras.Model") -> dict[str, np.ndarray]:
    """The weights of ``model`` and the variables of its optimizer as arrays, by position."""
    return {**{f"weight_{i}": value for i, value in enumerate(get_weights(model))},
            **{f"optimizer_{i}": variable.numpy() for i, variable in enumerate(model.optimizer.variables)}}


def set_state(model: "keras.Model", arrays: Mapping[str, np.ndarray]) -> None:
    """Puts back what ``get_state`` took."""
    set_weights(model, [arrays[f"weight_{i}"] for i in range(len(model.weights))])
    for i, variable in enumerate(model.optimizer.variables):
        variable.assign(arrays[f"optimizer_{i}"])


def get_weights(model: "keras.Model") -> list[np.ndarray]:
    """Copies of all weights of ``model``."""
    return [np.array(weight.numpy()) for weight in model.weights]


def set_weights(model: "keras.Model", values: list[np.ndarray]) -> None:
    """Assigns ``values`` to the weights of ``model``."""
    for weight, value in zip(model.weights, values, strict=True):
        weight.assign(value)
