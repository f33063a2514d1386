"""Reading PyTorch checkpoint files without PyTorch, and without running anything that stands in them.

Two containers hold the same pickle: since PyTorch 1.6 a zip file (`archive/data.pkl`, and one uncompressed entry
`archive/data/<key>` for each storage), before that the "legacy" form: five pickles (magic number, protocol, system
information, state dict, storage keys) followed by the storages, each an int64 count and its raw values. The pickle
is read by `torch_pickles`; here its claims are held against the bytes that are really there.

References:
    https://github.com/pytorch/pytorch/blob/main/torch/serialization.py
"""

import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from toolkit import ToolkitError
from toolkit.models.torch_pickles import Machine, Refusal, Storage, Tensor, require

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_WRAPPERS = ("state_dict", "model")  # where training scripts put the state dict beside an epoch, an optimizer ...
_DAMAGE = (IndexError, KeyError, OverflowError, TypeError, ValueError, struct.error, zlib.error,
           zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError)


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Read the tensors of a PyTorch checkpoint (`.pth`, `.pt`, `.bin`), whichever of the two containers it is.

    Args:
        path: a file written by `torch.save`: a state dict, or a dict that holds one as `state_dict` or `model`.

    Returns:
        Name to read-only array, in the file's order; bfloat16 comes as float32.

    Raises:
        ToolkitError: the file is damaged, or holds more than tensors in a dict.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ToolkitError(f"{path}: cannot be read ({error.strerror or error}).") from None
    try:
        root, storages = _read_zip(path, len(content)) if content[:4] == b"PK\x03\x04" else _read_legacy(content)
        return _tensors(root, storages)
    except Refusal as refusal:
        raise ToolkitError(f"{path}: not a plain PyTorch checkpoint of tensors: {refusal}.") from None
    except _DAMAGE:
        raise ToolkitError(f"{path}: damaged or truncated; expected a file that torch.save has written. "
                           "Download or save it again.") from None


def _read_legacy(content: bytes) -> tuple[Any, dict[str, np.ndarray]]:
    machine = Machine(content)
    require(content[:1] == b"\x80", "it does not begin with the mark of a PyTorch file")
    require(machine.load() == _LEGACY_MAGIC, "it does not begin with the mark of a PyTorch file")
    require(machine.load() == _LEGACY_PROTOCOL, "an unknown version of the format")
    system = machine.load()
    require(type(system) is dict and system.get("little_endian") is True, "it was written on a big-endian machine")
    root, keys = machine.load(), machine.load()
    require(type(keys) is list and all(type(key) is str for key in keys), "storage keys that are no names")
    require(sorted(keys) == sorted(machine.storages), "its list of storages differs from those in use")
    storages = {}
    for key in keys:
        storage = machine.storages[key]
        require(machine.number("<q") == storage.count, "a storage of another size than declared")
        position = machine.position
        machine.skip(storage.num_bytes)
        storages[key] = _values(content, storage, position)
    return root, storages


def _read_zip(path: Path, size: int) -> tuple[Any, dict[str, np.ndarray]]:
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        plain = all(e.compress_type == zipfile.ZIP_STORED and e.file_size == e.compress_size <= size
                    for e in entries.values())
        require(plain, "compressed entries, which torch.save does not write")
        pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        require(len(pickles) == 1, "a zip file without exactly one data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        order = f"{folder}byteorder"
        require(order not in entries or archive.read(order) == b"little", "it was written on a big-endian machine")
        machine = Machine(archive.read(pickles[0]))
        root = machine.load()
        needed = sum(storage.num_bytes for storage in machine.storages.values())
        require(needed <= size, "its storages claim more bytes than the file has")
        storages = {}
        for key, storage in machine.storages.items():
            entry = entries[f"{folder}data/{key}"]
            require(entry.file_size == storage.num_bytes, "a storage of another size than declared")
            storages[key] = _values(archive.read(entry), storage)
    return root, storages


def _values(content: bytes, storage: Storage, position: int = 0) -> np.ndarray:
    if storage.count == 0:
        return np.zeros(0, storage.dtype)
    values = np.frombuffer(content, storage.dtype, storage.count, position)
    return (values.astype(np.uint32) << 16).view(np.float32) if storage.bfloat16 else values


def _tensors(root: Any, storages: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    for wrapper in _WRAPPERS:
        if type(root) is dict and type(root.get(wrapper)) is dict:
            root = root[wrapper]
    require(type(root) is dict, "its content is no dict of tensors")
    tensors = {name: _array(value, storages[value.storage.key])
               for name, value in root.items() if type(name) is str and type(value) is Tensor}
    require(bool(tensors), "it holds no tensors (expected a state dict, or one under 'state_dict' or 'model')")
    return tensors


def _array(tensor: Tensor, values: np.ndarray) -> np.ndarray:
    if math.prod(tensor.shape) == 0:
        return np.zeros(tensor.shape, values.dtype)
    strides = tuple(stride * values.itemsize for stride in tensor.strides)
    return np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, strides, writeable=False)
