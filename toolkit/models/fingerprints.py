"""What a model computes, as one number: the key of everything that is cached for it."""

import hashlib
import json
import re
from typing import Any

import keras
import numpy as np

_NO_PART = re.compile(r"name|trainable|shared_object_id|\w+_initializer")  # of what a model computes


def fingerprint(model: keras.Model) -> str:
    """SHA-256 (hexadecimal) of what a model computes: its graph and weights.

    The names of layers, which Keras counts up within a process, what is frozen and how weights began do not matter.
    """
    digest = hashlib.sha256(json.dumps(_anonymous(model.get_config(), {}), sort_keys=True, default=str).encode())
    for variable in model.weights:
        array = np.ascontiguousarray(variable.numpy())
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _anonymous(node: Any, names: dict[str, str]) -> Any:
    """A copy of a configuration in which layers are called by their position in their model."""
    if isinstance(node, dict):
        if "input_layers" in node:
            names = {layer["name"]: str(position) for position, layer in enumerate(node["layers"])}
        return {key: _anonymous(value, names) for key, value in node.items() if not _NO_PART.fullmatch(key)}
    if isinstance(node, (list, tuple)):
        if len(node) == 3 and isinstance(node[0], str) and node[0] in names:
            return [names[node[0]], *node[1:]]
        return [_anonymous(value, names) for value in node]
    return node
