"""Weights from files: checkpoints of the PyTorch world, and the files of earlier Keras runs.

A network lists its counterparts in PyTorch's naming as `(layer, prefix, kind)`; `convert` gives the tensors of a
checkpoint one by one as arrays named `layer/variable` and insists that every tensor is used. Loading needs the memory
of one tensor beside the network.
"""

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

import keras
import numpy as np

from toolkit import ToolkitError
from toolkit.models import checkpoint_files, saved_networks, shared_memory
from toolkit.models.catalogue import Entry

Counterpart = tuple[str, str, str]  # layer name, prefix of the tensors' names, kind: a key of _VARIABLES

_NORMALISATION = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
_VARIABLES = {
    "convolution": {"kernel": "weight"},
    "biased_convolution": {"kernel": "weight", "bias": "bias"},
    "depthwise": {"kernel": "weight"},
    "dense": {"kernel": "weight", "bias": "bias"},
    "convolution_as_dense": {"kernel": "weight", "bias": "bias"},  # on maps flattened channels first
    "normalisation": _NORMALISATION,
}
_TO_KERAS_AXES = {"convolution": (2, 3, 1, 0), "biased_convolution": (2, 3, 1, 0), "depthwise": (2, 3, 0, 1),
                  "dense": (1, 0), "convolution_as_dense": (1, 2, 3, 0)}
_CHUNK = 2**22  # numbers that are put in order at a time


def load(
    network: keras.Model, entry: Entry, weights: str | Path,
    counterparts: Callable[[Collection[str]], Iterable[Counterpart]] | None = None
) -> keras.Model:
    """Load weights into a network that has just been built.

    Args:
        network: the network of `entry`, random.
        entry: which backbone this is.
        weights: "none", "imagenet" (of an embedded backbone), or a file: `.keras` or `.weights.h5` of an earlier run;
            a checkpoint of the PyTorch world (`checkpoint_files`) where there are counterparts.
        counterparts: from the names of a checkpoint's tensors to where they belong in the network.

    Returns:
        The network, ready to use.

    Raises:
        ToolkitError: the file is not there, is damaged, or is not of this network.
    """
    if str(weights) == "none":
        return network
    path = entry.weights_path() if str(weights) == "imagenet" else Path(weights)
    if not path.exists():
        fix = "Reinstall the package that brings it along" if str(weights) == "imagenet" else "Check the path"
        raise ToolkitError(f"{path}: no such file, expected the weights of {entry.name}. {fix}.")
    if path.suffix == ".keras":
        for ours, theirs in zip(network.weights, saved_network(network, path).weights, strict=True):
            ours.assign(theirs)
    elif path.name.endswith(".weights.h5"):
        _load_h5(network, path, entry.name)
    elif counterparts is not None and (path.is_dir() or path.suffix in checkpoint_files.SUFFIXES):
        tensors = checkpoint_files.read(path).tensors
        wanted = {layer.name for layer in network.layers}
        assign(network, convert(tensors, counterparts(tensors), str(path), wanted), str(path))
    else:
        raise ToolkitError(f"{path}: cannot be read as weights of {entry.name}. Supported are "
                           f"{checkpoint_files.SUPPORTED}.")
    return network


# ---- Checkpoints of the PyTorch world -----------------------------------------------------------------------------


def convert(
    tensors: Mapping[str, np.ndarray], counterparts: Iterable[Counterpart], source: str,
    wanted: Collection[str] | None = None
) -> Iterator[tuple[str, np.ndarray]]:
    """Rename and transpose the tensors of a PyTorch checkpoint.

    Args:
        tensors: name to array, as `checkpoint_files.read` gives them.
        counterparts: which layer takes which tensors; every layer of the network that has weights.
        source: the file's name, for messages.
        wanted: layers whose tensors are wanted; those of others may be missing. None: all.

    Returns:
        Pairs of `layer/variable` and an array in Keras' layout, of any number type, one at a time.

    Raises:
        ToolkitError: a tensor is missing, or one is left over (`num_batches_tracked` apart).
    """
    places, left = [], dict.fromkeys(tensors)
    for layer, prefix, kind in counterparts:
        for variable, suffix in _VARIABLES[kind].items():
            name = f"{prefix}.{suffix}"
            left.pop(name, None)
            if wanted is not None and layer not in wanted:
                continue
            if name not in tensors:
                raise ToolkitError(f"{source}: has no tensor '{name}' (its first is '{next(iter(tensors), '')}'). "
                                   "Use a checkpoint of this very network.")
            places.append((f"{layer}/{variable}", kind, variable, name))
    left = [name for name in left if not name.endswith("num_batches_tracked")]
    if left:
        raise ToolkitError(f"{source}: tensor '{left[0]}' and {len(left) - 1} more have no place in this network. "
                           "Use a checkpoint of this very network.")
    return ((place, to_keras(kind, variable, tensors[name], f"{source}: tensor '{name}'"))
            for place, kind, variable, name in places)


def to_keras(kind: str, variable: str, tensor: np.ndarray, source: str) -> np.ndarray:
    """One tensor in Keras' layout, a view where that is possible.

    Args:
        kind: of the layer, a kind of counterpart.
        variable: "kernel", "bias", ...
        tensor: as PyTorch has it.
        source: file and name, for messages.

    Raises:
        ToolkitError: it has another number of axes than its kind.
    """
    if variable != "kernel":
        return tensor
    axes = _TO_KERAS_AXES[kind]
    if tensor.ndim != len(axes):
        raise ToolkitError(f"{source} has shape {tensor.shape}; expected {len(axes)} axes.")
    if kind == "convolution_as_dense":  # (1, 2, 3, 0) with the first three as one
        return tensor.reshape(len(tensor), -1).T if len(tensor) else tensor.reshape(0, 0).T
    return tensor.transpose(axes)


def assign(network: keras.Model, arrays: Iterable[tuple[str, np.ndarray]], source: str) -> None:
    """Put converted arrays into a network.

    Args:
        network: a flat model whose layers bear the names of the arrays.
        arrays: pairs of `layer/variable` and array, from `convert`; those of layers that the network does not have
            are left over.
        source: the file's name, for messages.

    Raises:
        ToolkitError: an array is missing or has another shape.
    """
    variables = {f"{layer.name}/{variable.name}": variable for layer in network.layers for variable in layer.weights}
    for name, array in arrays:
        variable = variables.pop(name, None)
        if variable is not None and array.shape != tuple(variable.shape):
            raise ToolkitError(f"{source}: {name} has shape {array.shape}; expected {tuple(variable.shape)}.")
        if variable is not None:
            variable.assign(shared_memory.tensor(_contiguous(array)))
    for name, variable in variables.items():
        raise ToolkitError(f"{source}: {name} is missing; expected an array of shape {tuple(variable.shape)}.")


def _contiguous(array: np.ndarray) -> np.ndarray:
    """A copy in float32 and in order; a large one is made piece by piece along the axis that lies outermost."""
    result = shared_memory.zeros(array.shape)
    if array.size <= _CHUNK:
        result[...] = array
        return result
    axis = int(np.argmax(np.where(np.array(array.shape) > 1, array.strides, -1)))
    step = max(1, _CHUNK * array.shape[axis] // array.size)
    for start in range(0, array.shape[axis], step):
        place = (slice(None),) * axis + (slice(start, start + step),)
        result[place] = array[place]
    return result


# ---- Files of earlier Keras runs ----------------------------------------------------------------------------------


def saved_network(network: keras.Model, path: Path) -> keras.Model:
    """The network in a `.keras` file of a run: its layer "network", or the whole model where there is none.

    Args:
        network: what it must agree with in the shapes of all weights.
        path: the file.

    Raises:
        ToolkitError: no model, or one of another network.
    """
    found = saved_networks.network(path)
    saved_networks.check_shapes([network], found, path)
    return found


def _load_h5(network: keras.Model, path: Path, name: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras only warns where it leaves a layer random
            network.load_weights(path)
    except (OSError, ValueError, KeyError, UserWarning) as error:
        raise ToolkitError(f"{path}: not the weights of {name} ({saved_networks.first_line(error)}).") from error
