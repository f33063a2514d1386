"""Tensors that stay in their file until they are asked for: what the readers of checkpoints make of one.

A reader finds out where each tensor lies and holds that against the size of the file. Loading then needs the memory of
one tensor at a time beside the network, and what a file claims can cost no more than what it holds.
"""

import math
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit import ToolkitError

MAX_AXES = 8
MAX_NUMBERS = 2**48
_MOST_READ = 4  # times the file's size that all its tensors may have together: views of one storage, tied weights


class Refusal(Exception):
    """What in a file is not allowed, as half a sentence."""


def require(condition: bool, otherwise: str) -> None:
    """Raise Refusal(otherwise) unless the condition holds."""
    if not condition:
        raise Refusal(otherwise)


@dataclass(frozen=True, eq=False)
class Span:
    """Where the numbers of a tensor stand in a file.

    `position` counts bytes from the beginning of the file, `strides` elements; `dtype` is NumPy's name, little-endian,
    "<u2" for bfloat16. The reader has made sure that shape and strides hold no negative number.
    """

    position: int
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    bfloat16: bool = False

    @property
    def extent(self) -> int:
        """Elements from the first to the last, those in between included that belong to no row or column."""
        if math.prod(self.shape) == 0:
            return 0
        return 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))

    @property
    def num_bytes(self) -> int:
        """Bytes that reading it takes."""
        return max(self.extent, math.prod(self.shape)) * int(self.dtype[-1])


class Tensors(Mapping[str, np.ndarray]):
    """Name to array, read from the file when it is asked for, and not kept.

    bfloat16 comes as float32; the arrays are read-only.
    """

    def __init__(self, path: Path, file_size: int, spans: Mapping[str, Span]) -> None:
        for span in spans.values():
            require(len(span.shape) <= MAX_AXES and math.prod(max(size, 1) for size in span.shape) < MAX_NUMBERS,
                    "a tensor of odd shape")
            end = span.position + span.extent * int(span.dtype[-1])
            require(span.position >= 0 and end <= file_size, "a tensor that lies beyond the end of the file")
        require(sum(span.num_bytes for span in spans.values()) <= _MOST_READ * file_size,
                "tensors that claim many times the numbers that the file has")
        self.path, self.file_size, self.spans = path, file_size, dict(spans)

    def __getitem__(self, name: str) -> np.ndarray:
        span = self.spans[name]
        try:
            with open(self.path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(span.position)
                values = np.fromfile(file, span.dtype, span.extent)
        except OSError as error:
            raise ToolkitError(f"{self.path}: cannot be read ({error.strerror or error}).") from None
        if size != self.file_size or len(values) != span.extent:
            raise ToolkitError(f"{self.path}: has changed while it was being read; do it again.")
        if span.bfloat16:
            halves = np.zeros((len(values), 2), "<u2")
            halves[:, 1] = values
            values = halves.view("<f4")[:, 0]
        if not span.extent:
            return np.zeros(span.shape, values.dtype)
        strides = tuple(stride * values.itemsize for stride in span.strides)
        return np.lib.stride_tricks.as_strided(values, span.shape, strides, writeable=False)

    def __iter__(self) -> Iterator[str]:
        return iter(self.spans)

    def __len__(self) -> int:
        return len(self.spans)


def file_size(path: Path) -> int:
    """The size in bytes of an ordinary file.

    Raises:
        ToolkitError: there is none, or it is a device, a pipe or a folder.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise ToolkitError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}).") from None
    if not stat.S_ISREG(status.st_mode):
        raise ToolkitError(f"{path}: cannot be read (it is no ordinary file).")
    return status.st_size
