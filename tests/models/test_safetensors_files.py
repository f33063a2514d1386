"""The reader of .safetensors: sound files, and files that lie."""

import json
import random
import runpy
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from toolkit import ToolkitError
from toolkit.models import safetensors_files

checkpoint_writers = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "checkpoint_writers.py")))
FLOAT = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def file_of(header, content=bytes(8), length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + content


@pytest.fixture
def read(tmp_path):
    def read(content):
        (tmp_path / "file.safetensors").write_bytes(content)
        return safetensors_files.read(tmp_path / "file.safetensors")

    return read


def test_reads_every_kind_of_tensor(read):
    tensors = {"matrix": np.arange(6, dtype="f4").reshape(2, 3), "half": np.array([0.5, 2], "f2"),
               "scalar": np.array(3), "flags": np.array([True, False]), "empty": np.zeros((0, 3), "f8"),
               "bytes": np.array([255], "u1")}
    found = read(b"".join(checkpoint_writers.safetensors(tensors, {"format": "pt"})))
    assert list(found) == list(tensors) and len(found) == 6
    for name, array in found.items():
        assert array.dtype == tensors[name].dtype
        np.testing.assert_array_equal(array, tensors[name])
        assert array.size == 0 or not array.flags.writeable


def test_bfloat16_comes_as_float32(read):
    numbers = np.array([1.0, -2.5, 3e38, 0.0], np.float32)
    header = {"w": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}
    array = read(file_of(header, (numbers.view(np.uint32) >> 16).astype("<u2").tobytes()))["w"]
    assert array.dtype == np.float32 and array.shape == (2, 2)
    np.testing.assert_allclose(array.ravel(), numbers, rtol=2**-7)


@pytest.mark.parametrize(("content", "message"), [
    (b"", "it ends early"),
    (b"\x01", "it ends early"),
    (file_of({"w": FLOAT}, length=2**63), "more bytes than the file has"),
    (file_of(b" " * (4 * 2**20 + 1)), "expected 4,194,304 at most"),
    (file_of(b"[" * 100_000), "no JSON"),
    (file_of(b'{"w": ' + b"9" * 5000 + b"}"), "no JSON"),
    (file_of(b"\xff\xfe"), "no JSON"),
    (file_of([FLOAT]), "no list of tensors"),
    (file_of({}, b""), "holds no tensors"),
    (file_of({"__metadata__": {}}, b""), "holds no tensors"),
    (file_of(b'{"w": %s, "w": %s}' % (2 * (json.dumps(FLOAT).encode(),))), "occurs twice"),
    (file_of({"w": FLOAT | {"more": 1}}), "odd description"),
    (file_of({"w": 3}), "odd description"),
    (file_of({"w": FLOAT | {"dtype": "F8_E4M3"}}), "a type other than F64"),
    (file_of({"w": FLOAT | {"dtype": ["F32"]}}), "a type other than F64"),
    (file_of({"w": FLOAT | {"shape": [-2]}}), "odd shape"),
    (file_of({"w": FLOAT | {"shape": [True]}}), "odd shape"),
    (file_of({"w": FLOAT | {"shape": [2.0]}}), "odd shape"),
    (file_of({"w": FLOAT | {"shape": [1] * 9}}), "odd shape"),
    (file_of({"w": FLOAT | {"shape": [2**40, 2**40]}}), "another size than its shape"),
    (file_of({"w": FLOAT | {"data_offsets": [8, 0]}}), "another size than its shape"),
    (file_of({"w": FLOAT | {"data_offsets": [0]}}), "odd offsets"),
    (file_of({"w": FLOAT | {"shape": [3]}}), "another size than its shape"),
    (file_of({"w": FLOAT | {"data_offsets": [4, 12]}}, bytes(12)), "overlap or leave a hole"),
    (file_of({"v": FLOAT, "w": FLOAT}), "overlap or leave a hole"),
    (file_of({"w": FLOAT}, bytes(9)), "have 8 bytes, the file 9"),
    (file_of({"w": FLOAT}, bytes(7)), "have 8 bytes, the file 7"),
    (file_of({"w": FLOAT | {"shape": [0, 2**47, 2**47], "data_offsets": [0, 0]}}, b""), "odd shape"),
])
def test_lies_are_refused_in_one_sentence(content, message, read):
    with pytest.raises(ToolkitError, match=f"file.safetensors: .*{message}") as refusal:
        read(content)
    assert "\n" not in str(refusal.value)


def test_damage_anywhere_ends_in_arrays_or_one_sentence(read):
    whole = b"".join(checkpoint_writers.safetensors({"v": np.ones(5, np.float32), "w": np.zeros((2, 3), np.float16)}))
    generator = random.Random(0)
    for _ in range(300):
        content = bytearray(whole)
        if generator.random() < 0.3:
            del content[generator.randrange(len(content)):]
        for _ in range(generator.randrange(1, 4) if content else 0):
            content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        try:
            assert all(isinstance(array, np.ndarray) for array in read(bytes(content)).values())
        except ToolkitError as error:
            assert "\n" not in str(error)


def test_a_file_that_changes_while_it_is_read(read, tmp_path):
    tensors = read(file_of({"w": FLOAT}))
    (tmp_path / "file.safetensors").write_bytes(b"")
    with pytest.raises(ToolkitError, match="has changed while it was being read"):
        tensors["w"]


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ToolkitError, match="nowhere.safetensors: cannot be read"):
        safetensors_files.read(tmp_path / "nowhere.safetensors")
    with pytest.raises(ToolkitError, match="no ordinary file"):
        safetensors_files.read(tmp_path)
    with pytest.raises(ToolkitError, match="no ordinary file"):
        safetensors_files.read("/dev/zero")
