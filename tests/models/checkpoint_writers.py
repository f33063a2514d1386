"""Checkpoint files as safetensors and `torch.save` write them, made without either. Needs NumPy only."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Iterable, Mapping

import numpy as np

_SAFETENSORS = {"float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "uint8": "U8",
                "bool": "BOOL"}
_STORAGES = {"float64": b"DoubleStorage", "float32": b"FloatStorage", "float16": b"HalfStorage",
             "int64": b"LongStorage", "int32": b"IntStorage", "uint8": b"ByteStorage", "bool": b"BoolStorage"}


def safetensors(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> Iterable[bytes]:
    """The parts of a `.safetensors` file."""
    header: dict = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, array in tensors.items():
        header[name] = {"dtype": _SAFETENSORS[array.dtype.name], "shape": list(array.shape),
                        "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    text = json.dumps(header).encode()
    yield struct.pack("<Q", len(text)) + text
    yield from (np.ascontiguousarray(array).tobytes() for array in tensors.values())


def torch_zip(tensors: Mapping[str, np.ndarray]) -> bytes:
    """A zip file as `torch.save` writes it since PyTorch 1.6."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", _state(tensors))
        archive.writestr("archive/byteorder", b"little")
        for key, array in enumerate(tensors.values()):
            archive.writestr(f"archive/data/{key}", np.ascontiguousarray(array).tobytes())
        archive.writestr("archive/version", b"3\n")
    return buffer.getvalue()


def torch_legacy(tensors: Mapping[str, np.ndarray]) -> bytes:
    """A file as `torch.save` wrote it before."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, system)]
    parts += [_state(tensors, b"N"), pickle.dumps([str(key) for key in range(len(tensors))], 2)]
    for array in tensors.values():
        parts += [struct.pack("<q", array.size), np.ascontiguousarray(array).tobytes()]
    return b"".join(parts)


def _state(tensors: Mapping[str, np.ndarray], view: bytes = b"") -> bytes:
    """The pickle of an OrderedDict of tensors, each with a storage of its own, which is no view of another."""
    parts = [b"\x80\x02ccollections\nOrderedDict\n)R("]
    for key, (name, array) in enumerate(tensors.items()):
        strides = [int(np.prod(array.shape[axis + 1:])) for axis in range(array.ndim)]
        parts += [_text(name), b"ctorch._utils\n_rebuild_tensor_v2\n((", _text("storage"), b"ctorch\n",
                  _STORAGES[array.dtype.name], b"\n", _text(str(key)), _text("cpu"), _number(array.size),
                  view + b"tQK\x00(",
                  *map(_number, array.shape), b"t(", *map(_number, strides), b"t\x89ccollections\nOrderedDict\n)RtR"]
    return b"".join([*parts, b"u."])


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)
