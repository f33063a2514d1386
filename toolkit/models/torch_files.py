"""Reading PyTorch checkpoint files without PyTorch, and without running anything that stands in them.

Two containers hold the same pickle: since PyTorch 1.6 a zip file (`archive/data.pkl`, and one uncompressed entry
`archive/data/<key>` for each storage), before that the "legacy" form: five pickles (magic number, protocol, system
information, state dict, storage keys) followed by the storages, each an int64 count and its raw values. The pickle
is read by `torch_pickles`; here its claims are held against the bytes that are really there.

References:
    https://github.com/pytorch/pytorch/blob/main/torch/serialization.py
"""

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from toolkit import ToolkitError
from toolkit.models.tensor_spans import Refusal, Span, Tensors, file_size, require
from toolkit.models.torch_pickles import MAX_BYTES, Machine, Tensor

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_WRAPPERS = ("state_dict", "model_state_dict", "model")  # where scripts put it, beside an epoch, an optimizer ...
_PARALLEL = "module."  # what DataParallel puts before every name
_MAX_DIRECTORY = 8 * 2**20  # bytes of a zip file's list of entries: an entry takes about a hundred
_CHUNK = 2**20
_DAMAGE = (IndexError, KeyError, OverflowError, TypeError, ValueError, struct.error, zlib.error,
           zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, RecursionError, OSError)


def read(path: str | Path) -> Tensors:
    """The tensors of a PyTorch checkpoint (`.pth`, `.pt`, `.bin`), whichever of the two containers it is.

    Args:
        path: a file written by `torch.save`: a state dict, or a dict that holds one as `state_dict`,
            `model_state_dict` or `model`.

    Returns:
        Name to read-only array, in the file's order, each read when it is asked for; bfloat16 comes as float32.

    Raises:
        ToolkitError: the file is damaged, or holds more than tensors in a dict.
    """
    path = Path(path)
    size = file_size(path)
    try:
        with open(path, "rb") as file:
            zipped = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            root, positions = _read_zip(file, size) if zipped else _read_legacy(file, size)
        return Tensors(path, size, _spans(root, positions))
    except Refusal as refusal:
        raise ToolkitError(f"{path}: not a plain PyTorch checkpoint of tensors: {refusal}.") from None
    except PermissionError as error:
        raise ToolkitError(f"{path}: cannot be read ({error.strerror}).") from None
    except _DAMAGE:
        raise ToolkitError(f"{path}: damaged or truncated; expected a file that torch.save has written. "
                           "Download or save it again.") from None


def _read_legacy(file: BinaryIO, size: int) -> tuple[Any, dict[str, int]]:
    """The state dict as the pickle describes it, and where in the file each of its storages begins."""
    machine = Machine(file.read(MAX_BYTES))
    require(machine.data[:1] == b"\x80", "it does not begin with the mark of a PyTorch file")
    require(machine.load() == _LEGACY_MAGIC, "it does not begin with the mark of a PyTorch file")
    require(machine.load() == _LEGACY_PROTOCOL, "an unknown version of the format")
    system = machine.load()
    require(type(system) is dict and system.get("little_endian") is True, "it was written on a big-endian machine")
    root, keys = machine.load(), machine.load()
    require(type(keys) is list and all(type(key) is str for key in keys), "storage keys that are no names")
    require(sorted(keys) == sorted(machine.storages), "its list of storages differs from those in use")
    position, positions = machine.position, {}
    for key in keys:
        storage = machine.storages[key]
        file.seek(position)
        require(struct.unpack("<q", file.read(8))[0] == storage.count, "a storage of another size than declared")
        positions[key] = position + 8
        position += 8 + storage.num_bytes
        if position > size:
            raise EOFError
    return root, positions


def _read_zip(file: BinaryIO, size: int) -> tuple[Any, dict[str, int]]:
    """The same of a zip file, whose checksums are verified."""
    _check_directory(file, size)
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        plain = all(e.compress_type == zipfile.ZIP_STORED and e.file_size == e.compress_size <= size
                    for e in entries.values())
        require(plain, "compressed entries, which torch.save does not write")
        pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        require(len(pickles) == 1, "a zip file without exactly one data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        order = entries.get(f"{folder}byteorder")
        require(order is None or order.file_size == 6 and archive.read(order) == b"little",
                "it was written on a big-endian machine")
        require(entries[pickles[0]].file_size <= MAX_BYTES, f"a pickle of more than {MAX_BYTES:,} bytes")
        machine = Machine(archive.read(pickles[0]))
        root = machine.load()
        needed = sum(storage.num_bytes for storage in machine.storages.values())
        require(needed <= size, "its storages claim more bytes than the file has")
        positions = {}
        for key, storage in machine.storages.items():
            entry = entries[f"{folder}data/{key}"]
            require(entry.file_size == storage.num_bytes, "a storage of another size than declared")
            positions[key] = _verified(archive, entry, file)
    return root, positions


def _check_directory(file: BinaryIO, size: int) -> None:
    """Refuse a list of entries so long that reading it would cost many times the file."""
    file.seek(max(size - 98, 0))
    tail = file.read()  # the end of a zip file without comment, and what a large one has before it
    if tail[-22:-18] != b"PK\x05\x06" or tail[-2:] != b"\0\0":
        raise zipfile.BadZipFile
    length = struct.unpack("<I", tail[-10:-6])[0]
    if tail[-42:-38] == b"PK\x06\x07" and tail[-98:-94] == b"PK\x06\x06":
        length = struct.unpack("<Q", tail[-58:-50])[0]
    require(length <= _MAX_DIRECTORY, "a zip file of too many entries")


def _verified(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, file: BinaryIO) -> int:
    """Where the content of an entry begins, once its checksum was found right."""
    with archive.open(entry) as content:
        while content.read(_CHUNK):
            pass
    file.seek(entry.header_offset)
    name, extra = struct.unpack("<26x2H", file.read(30))
    return entry.header_offset + 30 + name + extra


def _spans(root: Any, positions: dict[str, int]) -> dict[str, Span]:
    for wrapper in _WRAPPERS:
        if type(root) is dict and type(root.get(wrapper)) is dict:
            root = root[wrapper]
    require(type(root) is dict, "its content is no dict of tensors")
    tensors = {name: value for name, value in root.items() if type(name) is str and type(value) is Tensor}
    require(bool(tensors), "it holds no tensors (expected a state dict, or one under 'state_dict' or 'model')")
    if all(name.startswith(_PARALLEL) for name in tensors):
        tensors = {name.removeprefix(_PARALLEL): tensor for name, tensor in tensors.items()}
    return {name: _span(tensor, positions[tensor.storage.key]) for name, tensor in tensors.items()}


def _span(tensor: Tensor, position: int) -> Span:
    storage = tensor.storage
    offset = 0 if 0 in tensor.shape else tensor.offset  # that of an empty one may be anything
    start = position + offset * int(storage.dtype[-1])
    return Span(start, storage.dtype, tensor.shape, tensor.strides, storage.bfloat16)
