"""Reading `.safetensors` files: a length, a JSON header that says where each tensor lies, and the tensors.

The format has nothing to execute; what a reader must not do is believe it. The maintained package maps the whole file
into memory and has no bfloat16 for NumPy; these lines read one tensor at a time and refuse what that package refuses:
tensors that overlap, leave a hole, exceed the file or are not of the size that their shape says.

References:
    https://github.com/huggingface/safetensors#format
"""

import json
import math
import struct
from pathlib import Path
from typing import Any

from toolkit import ToolkitError
from toolkit.models.tensor_spans import MAX_AXES, MAX_NUMBERS, Refusal, Span, Tensors, file_size, require

_MAX_HEADER = 4 * 2**20  # bytes: a tensor takes about a hundred
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
           "I8": "|i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1"}


def read(path: str | Path) -> Tensors:
    """The tensors of a `.safetensors` file, each read when it is asked for.

    Args:
        path: the file.

    Returns:
        Name to read-only array; bfloat16 comes as float32.

    Raises:
        ToolkitError: the file is damaged, or lies about what it holds.
    """
    path = Path(path)
    size = file_size(path)
    try:
        with open(path, "rb") as file:
            start = file.read(8)
            require(len(start) == 8, "it ends early")
            length = struct.unpack("<Q", start)[0]
            require(length <= size - 8, "its header claims more bytes than the file has")
            require(length <= _MAX_HEADER, f"its header claims {length:,} bytes, expected {_MAX_HEADER:,} at most")
            header = json.loads(file.read(length), object_pairs_hook=_without_repetition)
        return Tensors(path, size, _spans(header, 8 + length, size))
    except Refusal as refusal:
        raise ToolkitError(f"{path}: not a sound .safetensors file: {refusal}. Download or save it again.") from None
    except OSError as error:
        raise ToolkitError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except (ValueError, RecursionError):
        raise ToolkitError(f"{path}: not a sound .safetensors file: its header is no JSON. Download or save it again."
                           ) from None


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    require(len(result) == len(pairs), "a name occurs twice in its header")
    return result


def _spans(header: Any, start: int, size: int) -> dict[str, Span]:
    require(type(header) is dict, "its header is no list of tensors")
    spans, ranges = {}, []
    for name, description in header.items():
        if name == "__metadata__":
            continue
        require(type(description) is dict and set(description) == {"dtype", "shape", "data_offsets"},
                "a tensor of odd description")
        dtype, shape, offsets = description["dtype"], description["shape"], description["data_offsets"]
        require(type(dtype) is str and dtype in _DTYPES,
                f"a tensor of a type other than {', '.join(_DTYPES)}")
        require(_are_counts(shape) and len(shape) <= MAX_AXES, "a tensor of odd shape")
        require(_are_counts(offsets) and len(offsets) == 2, "a tensor of odd offsets")
        first, end = offsets
        require(end - first == math.prod(shape) * int(_DTYPES[dtype][-1]), "a tensor of another size than its shape")
        strides = tuple(math.prod(shape[axis + 1:]) for axis in range(len(shape)))
        spans[name] = Span(start + first, _DTYPES[dtype], tuple(shape), strides, dtype == "BF16")
        ranges.append((first, end))
    expected = 0
    for first, end in sorted(ranges):
        require(first == expected, "tensors that overlap or leave a hole")
        expected = end
    require(expected == size - start, f"its tensors have {expected:,} bytes, the file {max(size - start, 0):,}")
    require(bool(spans), "it holds no tensors")
    return spans


def _are_counts(values: Any) -> bool:
    return type(values) is list and all(type(value) is int and 0 <= value < MAX_NUMBERS for value in values)
