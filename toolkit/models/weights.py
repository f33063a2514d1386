"""Weights from files: PyTorch checkpoints converted and cached, and the files of earlier Keras runs.

A network lists its counterparts in PyTorch's naming as `(layer, prefix, kind)`; `convert` turns the tensors of a
checkpoint into arrays named `layer/variable` and insists that every tensor is used. The embedded ImageNet weights are
converted on first use; the result is kept in `$TOOLKIT_CACHE` or `~/.cache/toolkit` under the SHA-256 of the
checkpoint, and made again whenever what is found there is damaged.
"""

import hashlib
import io
import math
import os
import tempfile
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import keras
import numpy as np

from toolkit import ToolkitError, cache_folder
from toolkit.models import torch_files
from toolkit.models.catalogue import Entry

Counterpart = tuple[str, str, str]  # layer name, prefix of the tensors' names, kind: a key of _VARIABLES

_CACHE_FORMAT = 1  # raise it when the meaning of a cached file changes
_NORMALISATION = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
_VARIABLES = {
    "convolution": {"kernel": "weight"},
    "biased_convolution": {"kernel": "weight", "bias": "bias"},
    "depthwise": {"kernel": "weight"},
    "dense": {"kernel": "weight", "bias": "bias"},
    "normalisation": _NORMALISATION,
}
_TO_KERAS_AXES = {"convolution": (2, 3, 1, 0), "biased_convolution": (2, 3, 1, 0), "depthwise": (2, 3, 0, 1),
                  "dense": (1, 0)}


def load(
    network: keras.Model, entry: Entry, weights: str | Path, counterparts: Iterable[Counterpart] = ()
) -> keras.Model:
    """Load weights into a network that has just been built.

    Args:
        network: the network of `entry`, random.
        entry: which backbone this is.
        weights: "none", "imagenet" (of an embedded backbone), or a file: `.keras` or `.weights.h5` of an earlier run;
            a PyTorch checkpoint (`.pth`, `.pt`, `.bin`) where there are counterparts.
        counterparts: the PyTorch names of the network's layers.

    Returns:
        The network, ready to use.

    Raises:
        ToolkitError: the file is not there, is damaged, or is not of this network.
    """
    if str(weights) == "none":
        return network
    path = entry.weights_path() if str(weights) == "imagenet" else Path(weights)
    if not path.is_file():
        fix = "Reinstall the package that brings it along" if str(weights) == "imagenet" else "Check the path"
        raise ToolkitError(f"{path}: no such file, expected the weights of {entry.name}. {fix}.")
    if path.suffix == ".keras":
        network.set_weights(saved_network(network, path).get_weights())
    elif path.name.endswith(".weights.h5"):
        _load_h5(network, path, entry.name)
    elif path.suffix in (".pth", ".pt", ".bin") and counterparts:
        assign(network, converted(path, counterparts), str(path))
    else:
        kinds = ".keras, .weights.h5" + (", .pth" if counterparts else "")
        raise ToolkitError(f"{path}: weights of {entry.name} are read from these kinds of file: {kinds}.")
    return network


def _load_h5(network: keras.Model, path: Path, name: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras only warns where it leaves a layer random
            network.load_weights(path)
    except (OSError, ValueError, KeyError, UserWarning) as error:
        raise ToolkitError(f"{path}: not the weights of {name} ({_first_line(error)}).") from error


def saved_network(network: keras.Model, path: Path) -> keras.Model:
    """The network in a `.keras` file of a run: its layer "network", or the whole model where there is none.

    Args:
        network: what it must agree with in the shapes of all weights.
        path: the file.

    Raises:
        ToolkitError: no model, or one of another network.
    """
    try:
        saved = keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise ToolkitError(f"{path}: not a model that Keras can read ({_first_line(error)}).") from error
    nested = [layer for layer in saved._flatten_layers() if layer.name == network.name]
    found = (nested or [saved])[0]
    ours, theirs = ([tuple(variable.shape) for variable in model.weights] for model in (network, found))
    if ours != theirs:
        raise ToolkitError(f"{path}: its {len(theirs)} arrays, {sum(map(math.prod, theirs)):,} numbers, do not fit the "
                           f"{len(ours)} arrays, {sum(map(math.prod, ours)):,} numbers, of this network.")
    return found


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")


def convert(
    tensors: Mapping[str, np.ndarray], counterparts: Iterable[Counterpart], source: str
) -> dict[str, np.ndarray]:
    """Rename and transpose the tensors of a PyTorch checkpoint.

    Args:
        tensors: name to array, as `torch_files.read` gives them.
        counterparts: which layer takes which tensors; every layer of the network that has weights.
        source: the file's name, for messages.

    Returns:
        `layer/variable` to contiguous float32 array in Keras' layout.

    Raises:
        ToolkitError: a tensor is missing, or one is left over (`num_batches_tracked` apart).
    """
    arrays, used = {}, set()
    for layer, prefix, kind in counterparts:
        for variable, suffix in _VARIABLES[kind].items():
            name = f"{prefix}.{suffix}"
            if name not in tensors:
                raise ToolkitError(f"{source}: has no tensor '{name}' (its first is '{next(iter(tensors), '')}'). "
                                   "Use a checkpoint of this very network.")
            tensor, axes = tensors[name], _TO_KERAS_AXES[kind] if variable == "kernel" else None
            if axes is not None and tensor.ndim != len(axes):
                raise ToolkitError(f"{source}: tensor '{name}' has shape {tensor.shape}; expected {len(axes)} axes.")
            arrays[f"{layer}/{variable}"] = np.ascontiguousarray(tensor.transpose(axes) if axes else tensor, np.float32)
            used.add(name)
    left = [name for name in tensors if name not in used and not name.endswith("num_batches_tracked")]
    if left:
        raise ToolkitError(f"{source}: tensor '{left[0]}' and {len(left) - 1} more have no place in this network. "
                           "Use a checkpoint of this very network.")
    return arrays


def assign(network: keras.Model, arrays: Mapping[str, np.ndarray], source: str) -> None:
    """Put converted arrays into a network.

    Args:
        network: a flat model whose layers bear the names of the arrays.
        arrays: `layer/variable` to array, from `convert`; arrays of the classification head may be left over.
        source: the file's name, for messages.

    Raises:
        ToolkitError: an array is missing or has another shape.
    """
    for layer in network.layers:
        for variable in layer.weights:
            name = f"{layer.name}/{variable.name}"
            shape = arrays[name].shape if name in arrays else None
            if shape != tuple(variable.shape):
                raise ToolkitError(f"{source}: {name} has shape {shape}; expected {tuple(variable.shape)}.")
            variable.assign(arrays[name])


# ---- The embedded weights and their cache -------------------------------------------------------------------------


def converted(path: Path, counterparts: Iterable[Counterpart]) -> dict[str, np.ndarray]:
    """The arrays of a PyTorch checkpoint in Keras' layout, from the cache where they are already there.

    Args:
        path: the checkpoint.
        counterparts: as for `convert`.

    Returns:
        `layer/variable` to float32 array. A cache folder that cannot be written is no error.

    Raises:
        ToolkitError: the checkpoint cannot be read or does not fit.
    """
    counterparts = list(counterparts)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ToolkitError(f"{path}: cannot be read ({error.strerror or error}).") from None
    layout = hashlib.sha256(repr((_CACHE_FORMAT, counterparts)).encode()).hexdigest()
    cached = cache_folder() / "weights" / f"{digest[:32]}-{layout[:8]}.npz"
    arrays = _read_cache(cached)
    if arrays is None:
        arrays = convert(torch_files.read(path), counterparts, str(path))
        _write_cache(cached, arrays)
    return arrays


def _read_cache(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays, or None where there is no file or its content is not what was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, payload = content[:32], content[32:]
    if hashlib.sha256(payload).digest() != digest:
        return None
    with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _write_cache(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write digest and arrays under a temporary name, then rename: readers see all of it or nothing."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    payload = buffer.getvalue()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-")
    except OSError:
        return
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(hashlib.sha256(payload).digest() + payload)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
