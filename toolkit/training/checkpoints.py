"""Checkpoints for exact resume: everything a training step depends on, in one file written atomically.

A step is a function of the weights, the optimizer's variables (its step counter drives the schedule), the position in
the stream of batches and the seeds of the dropout layers. The batches are a function of the step's number, and the
seeds at the beginning of an epoch one of (seed, epoch): a checkpoint at the end of an epoch holds the weights and the
optimizer, one within an epoch also the seeds and the running mean of the loss.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit import ToolkitError, atomic_files

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
        with atomic_files.in_place_of(path) as temporary:
            np.savez(temporary, facts=np.array(json.dumps(facts)), **arrays)
    except OSError as error:
        raise ToolkitError(f"Could not write the checkpoint {path}: {error.strerror or error}. The checkpoint before "
                           f"it is intact: free space or mend the folder and run again with --resume.") from error
    for old in sorted(folder.glob("checkpoint-*.npz"))[:-KEEP]:
        old.unlink(missing_ok=True)
    return path


def load(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """The newest readable checkpoint of ``folder`` as (arrays, facts); None if there is none."""
    for path in sorted(folder.glob("checkpoint-*.npz"), reverse=True):
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            return arrays, json.loads(str(arrays.pop("facts")))
        except (OSError, ValueError, KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile,
                zlib.error):
            continue  # whatever a flipped bit may raise
    return None


def get_state(model: "keras.Model") -> dict[str, np.ndarray]:
    """The weights of ``model`` and the variables of its optimizer as arrays, by position."""
    return {**_arrays("weight", model.weights), **_arrays("optimizer", model.optimizer.variables)}


def set_state(model: "keras.Model", arrays: Mapping[str, np.ndarray]) -> None:
    """Puts back what ``get_state`` took."""
    _assign("weight", model.weights, arrays)
    _assign("optimizer", model.optimizer.variables, arrays)


def get_epoch_state(model: "keras.Model") -> dict[str, np.ndarray]:
    """What changes within an epoch besides: the seeds of the dropout layers and the running mean of the loss."""
    return {**_arrays("seed", seeds(model)), **_arrays("metric", model.metrics_variables)}


def set_epoch_state(model: "keras.Model", arrays: Mapping[str, np.ndarray]) -> None:
    """Puts back what ``get_epoch_state`` took."""
    _assign("seed", seeds(model), arrays)
    _assign("metric", model.metrics_variables, arrays)


def seeds(model: "keras.Model") -> list["keras.Variable"]:
    """The states of the seed generators of all layers of ``model``."""
    return [variable for variable in model.variables if variable.path.endswith("seed_generator_state")]


def _arrays(name: str, variables: Sequence["keras.Variable"]) -> dict[str, np.ndarray]:
    return {f"{name}_{i}": np.array(variable.numpy()) for i, variable in enumerate(variables)}


def _assign(name: str, variables: Sequence["keras.Variable"], arrays: Mapping[str, np.ndarray]) -> None:
    for i, variable in enumerate(variables):
        variable.assign(arrays[f"{name}_{i}"])


def get_weights(model: "keras.Model") -> list[np.ndarray]:
    """Copies of all weights of ``model``."""
    return [np.array(weight.numpy()) for weight in model.weights]


def set_weights(model: "keras.Model", values: list[np.ndarray]) -> None:
    """Assigns ``values`` to the weights of ``model``."""
    for weight, value in zip(model.weights, values, strict=True):
        weight.assign(value)
