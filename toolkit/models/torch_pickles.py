"""The pickles of PyTorch checkpoints, read without the pickle module: nothing that stands in them is ever run.

A pickle is a program for a small stack machine, and Python's own machine can be talked into calling any function. The
machine below knows only the instructions that `torch.save` writes. Names of functions become inert marks; only the
marks of `_CALLS` can be "called", and what they build are descriptions of tensors. Time and memory are linear in the
number of bytes, whatever these say, and the number of instructions is limited.

References:
    https://docs.python.org/3/library/pickletools.html
    https://github.com/pytorch/pytorch/blob/main/torch/_weights_only_unpickler.py
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from toolkit.models.tensor_spans import MAX_AXES, MAX_NUMBERS, require

MAX_BYTES = 16 * 2**20
_MAX_INSTRUCTIONS = 500_000  # a tensor takes about thirty
STORAGE_TYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "|b1",
}


# ---- What a pickle may describe ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Mark:
    """The name of a function or class of the file: inert."""

    name: str


@dataclass(frozen=True)
class Storage:
    """A run of numbers elsewhere in the file, as the pickle declares it."""

    key: str
    dtype: str
    bfloat16: bool
    count: int

    @property
    def num_bytes(self) -> int:
        """The size in bytes that the file must have for it."""
        return self.count * int(self.dtype[-1])


@dataclass(frozen=True, eq=False)
class Tensor:
    """A view of a storage; offset, shape and strides count elements and lie within the declared storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < MAX_NUMBERS


def _are_counts(values: object) -> bool:
    return type(values) is tuple and len(values) <= MAX_AXES and all(map(_is_count, values))


def _ordered_dict(*arguments: Any) -> dict:
    require(not arguments or (len(arguments) == 1 and type(arguments[0]) is list), "an OrderedDict of odd arguments")
    result: dict = {}
    pairs = arguments[0] if arguments else []
    for pair in pairs:
        require(type(pair) in (list, tuple) and len(pair) == 2, "an OrderedDict of odd arguments")
        _put(result, pair[0], pair[1])
    pairs.clear()  # else a file could have one long list copied again and again
    return result


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    require(type(storage) is Storage, "a tensor without storage")
    require(_is_count(offset) and _are_counts(shape) and _are_counts(strides) and len(shape) == len(strides),
             "a tensor whose shape or strides are no natural numbers")
    count = math.prod(shape)
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    require(count <= storage.count and (count == 0 or last < storage.count), "a tensor that exceeds its storage")
    return Tensor(storage, offset, shape, strides)


def _parameter(tensor: Any, *_: Any) -> Tensor:
    require(type(tensor) is Tensor, "a parameter that is no tensor")
    return tensor


_CALLS: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": _ordered_dict,
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": _parameter,
}
_MARKS = {name: _Mark(name) for name in (*_CALLS, *(f"torch {kind}" for kind in STORAGE_TYPES))}


def _put(target: Any, key: Any, value: Any) -> None:
    plain = type(key) is str or (type(key) is int and abs(key) < 2**32)  # larger ones can be made to share a hash
    require(type(target) is dict and plain, "a dict whose keys are no plain names")
    target[key] = value


# ---- The machine -------------------------------------------------------------------------------------------------


class Machine:
    """Runs one pickle of `data` after another; `storages` collects what they refer to."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position, self.remaining = data, 0, _MAX_INSTRUCTIONS
        self.storages: dict[str, Storage] = {}

    def load(self) -> Any:
        """Run up to the next STOP and return the value on top of the stack."""
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        while (code := self.take(1)) != b".":
            self.remaining -= 1
            require(self.remaining > 0, f"more than {_MAX_INSTRUCTIONS:,} pickle instructions, which no network needs")
            require(code in _INSTRUCTIONS, f"the pickle instruction {code!r}, which torch.save does not write")
            _INSTRUCTIONS[code](self)
        return self.stack.pop()

    def take(self, count: int) -> bytes:
        """The next bytes."""
        start = self.position
        self.skip(count)
        return self.data[start : self.position]

    def skip(self, count: int) -> None:
        """Pass over bytes that must be there."""
        if self.position + count > len(self.data):
            raise IndexError("the file ends early")
        self.position += count

    def number(self, layout: str) -> Any:
        """The next number, in the notation of `struct`."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> str:
        """The text up to the next line break, of 200 characters at most."""
        end = self.data.index(b"\n", self.position, self.position + 200)
        return self.take(end + 1 - self.position)[:-1].decode("ascii")

    def since_mark(self) -> list[Any]:
        """Take everything above the last mark off the stack."""
        start = self.marks.pop()
        items, self.stack[start:] = self.stack[start:], []
        return items

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def push_tuple(self, count: int) -> None:
        """Make one tuple of the topmost values."""
        items, self.stack[-count:] = tuple(self.stack[-count:]), []
        require(len(items) == count, "a tuple of too few items")
        self.push(items)

    def remember(self, index: int) -> None:
        """Keep the topmost value for later reference."""
        self.memo[index] = self.stack[-1]

    def append(self, items: list[Any]) -> None:
        """Extend the list on top of the stack."""
        require(type(self.stack[-1]) is list, "items appended to something that is no list")
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        """Put keys and values in turn into the dict on top of the stack."""
        for key, value in zip(items[::2], items[1::2], strict=True):
            _put(self.stack[-1], key, value)

    def global_name(self) -> None:
        """Push the mark of a name, if it is one of those that tensors need."""
        name = f"{self.line()} {self.line()}"
        module, _, attribute = name.partition(" ")
        require(name in _MARKS, f"it names {module}.{attribute}, and only tensors are read" if name.isprintable() else
                "it names something unprintable, and only tensors are read")
        self.push(_MARKS[name])

    def call(self) -> None:
        """Replace a mark and its arguments by what `_CALLS` makes of them."""
        arguments, function = self.stack.pop(), self.stack.pop()
        require(type(function) is _Mark and function.name in _CALLS and type(arguments) is tuple, "a forbidden call")
        self.push(_CALLS[function.name](*arguments))

    def build(self) -> None:
        """Attributes of an OrderedDict (`_metadata`): dropped."""
        self.stack.pop()
        require(type(self.stack[-1]) is dict, "attributes set on something that is no dict")

    def persistent(self) -> None:
        """Replace the description of a storage by a Storage."""
        identity = self.stack.pop()
        require(type(identity) is tuple and len(identity) in (5, 6), "a storage of odd description")
        tag, kind, key, _, count, *view = identity
        require(tag == "storage" and type(kind) is _Mark and type(key) is str and _is_count(count)
                 and view in ([], [None]), "a storage of odd description")
        name = kind.name.removeprefix("torch ")
        require(name in STORAGE_TYPES, "a storage of odd type")
        storage = Storage(key, STORAGE_TYPES[name], name.startswith("BFloat16"), count)
        require(self.storages.setdefault(key, storage) == storage, "one storage described in two ways")
        self.push(storage)


def _text(layout: str, encoding: str) -> Callable[[Machine], None]:
    return lambda machine: machine.push(machine.take(machine.number(layout)).decode(encoding))


def _long(machine: Machine) -> None:
    machine.push(int.from_bytes(machine.take(machine.number("<B")), "little", signed=True))


_INSTRUCTIONS: dict[bytes, Callable[[Machine], None]] = {
    b"\x80": lambda m: require(m.number("<B") <= 5, "a newer pickle protocol"),
    b"(": lambda m: m.marks.append(len(m.stack)),
    b")": lambda m: m.push(()),
    b"]": lambda m: m.push([]),
    b"}": lambda m: m.push({}),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"J": lambda m: m.push(m.number("<i")),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"G": lambda m: m.push(m.number(">d")),
    b"\x8a": _long,
    b"X": _text("<I", "utf-8"),
    b"U": _text("<B", "latin-1"),
    b"T": _text("<I", "latin-1"),
    b"t": lambda m: m.push(tuple(m.since_mark())),
    b"\x85": lambda m: m.push_tuple(1),
    b"\x86": lambda m: m.push_tuple(2),
    b"\x87": lambda m: m.push_tuple(3),
    b"a": lambda m: m.append([m.stack.pop()]),
    b"e": lambda m: m.append(m.since_mark()),
    b"s": lambda m: m.set_items([m.stack.pop(-2), m.stack.pop()]),
    b"u": lambda m: m.set_items(m.since_mark()),
    b"q": lambda m: m.remember(m.number("<B")),
    b"r": lambda m: m.remember(m.number("<I")),
    b"h": lambda m: m.push(m.memo[m.number("<B")]),
    b"j": lambda m: m.push(m.memo[m.number("<I")]),
    b"c": Machine.global_name,
    b"R": Machine.call,
    b"b": Machine.build,
    b"Q": Machine.persistent,
}
