"""The restricted reader: true checkpoints, broken ones and hostile ones."""

import io
import os
import pickle
import random
import struct
import time
import zipfile

import numpy as np
import pytest

from toolkit import ToolkitError
from toolkit.models import torch_files, torch_pickles

TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"


def storage(key="0", count=4, kind="FloatStorage"):
    """Pickle instructions that push a storage."""
    name = b"X" + struct.pack("<I", len(key)) + key.encode()
    return b"(X\x07\x00\x00\x00storagectorch\n" + kind.encode() + b"\n" + name + b"X\x03\x00\x00\x00cpuJ" + struct.pack(
        "<i", count) + b"tQ"


def tensor(size, stride=1, offset=0, **described):
    """Pickle instructions that push a tensor of one axis."""
    numbers = struct.pack("<i", offset), struct.pack("<i", size), struct.pack("<i", stride)
    return TENSOR + b"(" + storage(**described) + b"J%sJ%s\x85J%s\x85\x89Nt" % numbers + b"R"


def state(value, name=b"w"):
    """A state dict of one entry."""
    return b"\x80\x02}X\x01\x00\x00\x00" + name + value + b"s."


def legacy(body, keys=("0",), storages=b"\x04" + bytes(7) + bytes(16)):
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    head = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, system))
    return head + body + pickle.dumps(list(keys), 2) + storages


def zipped(body, storages=None, compression=zipfile.ZIP_STORED, **more):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("archive/data.pkl", body)
        for key, content in (storages or {"0": bytes(16)}).items():
            archive.writestr(f"archive/data/{key}", content)
        for name, content in more.items():
            archive.writestr(f"archive/{name}", content)
    return buffer.getvalue()


@pytest.fixture
def read(tmp_path):
    def read(content):
        (tmp_path / "file.pth").write_bytes(content)
        return torch_files.read(tmp_path / "file.pth")

    return read


@pytest.mark.parametrize("container", ["zip", "legacy"])
def test_reads_every_kind_of_tensor(container, goldens):
    expected = np.load(goldens.folder / "tiny.npz")
    tensors = torch_files.read(goldens.folder / f"tiny_{container}.pth")
    assert list(tensors) == list(expected)
    for name, array in tensors.items():
        assert array.dtype == expected[name].dtype
        np.testing.assert_array_equal(array, expected[name])
        assert array.size == 0 or not array.flags.writeable


@pytest.mark.parametrize("write", [legacy, zipped])
def test_the_hand_made_files_are_valid(write, read):
    np.testing.assert_array_equal(read(write(state(tensor(4))))["w"], np.zeros(4))


class Shell:
    def __reduce__(self):
        return os.system, ("echo executed > executed",)


HOSTILE = {
    "a function": (pickle.dumps({"w": Shell()}, 2), "posix.system|nt.system"),
    "eval": (state(b"cbuiltins\neval\nX\x03\x00\x00\x001+1\x85R"), "builtins.eval"),
    "a dotted name": (state(b"ctorch\nFloatStorage.__init__\n"), "FloatStorage.__init__"),
    "another protocol": (pickle.dumps({"w": print}, 4), "instruction"),
    "a call of a storage type": (state(b"ctorch\nFloatStorage\n)R"), "forbidden call"),
    "an object": (state(b"ccollections\nOrderedDict\n)\x81"), "instruction"),
    "beyond the storage": (state(tensor(5)), "exceeds its storage"),
    "offset beyond the storage": (state(tensor(2, offset=3)), "exceeds its storage"),
    "stride beyond the storage": (state(tensor(2, stride=4)), "exceeds its storage"),
    "negative stride": (state(tensor(2, stride=-1)), "no natural numbers"),
    "negative offset": (state(tensor(2, offset=-1)), "no natural numbers"),
    "blown up by stride 0": (state(tensor(2**30, stride=0)), "exceeds its storage"),
    "a huge storage": (state(tensor(2**30, count=2**30)), "another size|more bytes"),
    "negative count": (state(tensor(1, count=-1)), "odd description"),
    "unknown storage type": (state(tensor(1, kind="QInt8Storage")), "QInt8Storage"),
    "one storage twice": (state(b"(" + tensor(4) + tensor(4, kind="LongStorage") + b"t"), "two ways"),
    "no dict": (b"\x80\x02].", "no dict of tensors|list of storages"),
    "no tensors": (state(b"K\x01"), "no tensors|differs"),
    "keys of one hash": (b"\x80\x02}\x8a\x09" + (2**61 - 1).to_bytes(9, "little") + b"Ns.", "no plain names"),
    "a name with a bell": (state(b"cos\nsys\x07tem\n"), "unprintable"),
    "tuples as keys": (b"\x80\x02})K\x01s.", "no plain names"),
    "a hash that takes for ever": (b"\x80\x02})" + b"q\x00h\x00\x86" * 60 + b"K\x01s.", "no plain names"),
    "stack underflow": (b"\x80\x02R.", "damaged"),
    "memory that is not there": (b"\x80\x02h\x07.", "damaged"),
    "a huge string": (b"\x80\x02X\xff\xff\xff\xffa.", "damaged"),
    "a huge memory index": (b"\x80\x02}r\xff\xff\xff\xff].", "no dict|no tensors|list of storages"),
    "no end": (b"\x80\x02}", "damaged|instruction"),
    "nothing": (b"", "damaged|instruction|differs"),
}


@pytest.mark.parametrize("write", [legacy, zipped])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused_in_one_sentence(name, write, read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    body, message = HOSTILE[name]
    start = time.monotonic()
    with pytest.raises(ToolkitError, match=f"file.pth: .*({message})") as refusal:
        read(write(body))
    assert time.monotonic() - start < 2
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(("content", "message"), [
    (b"", "does not begin"),
    (b"just text", "does not begin"),
    (b"PK\x03\x04 and no more", "damaged"),
    (legacy(state(tensor(4)), keys=("1",)), "list of storages"),
    (legacy(state(tensor(4)), storages=struct.pack("<q", 5) + bytes(20)), "another size"),
    (legacy(state(tensor(4)), storages=struct.pack("<q", 4) + bytes(15)), "damaged"),
    (zipped(state(tensor(4)), {"0": bytes(12)}), "another size"),
    (zipped(state(tensor(4)), {"1": bytes(16)}), "damaged"),
    (zipped(state(tensor(4)), compression=zipfile.ZIP_DEFLATED), "compressed"),
    (zipped(state(tensor(4)), byteorder="big"), "big-endian"),
    (zipped(state(tensor(4)))[:-30], "damaged"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_broken_containers_are_refused(content, message, read):
    with pytest.raises(ToolkitError, match=message):
        read(content)


def test_a_list_cannot_be_copied_again_and_again(read):
    """k OrderedDicts of one list of n pairs would be k n entries from k + n instructions."""
    pairs = b"".join(b"(X\x04\x00\x00\x00%04dNt" % index for index in range(5000))
    body = b"\x80\x02](" + pairs + b"eq\x00" + b"ccollections\nOrderedDict\nh\x00\x85R" * 5000 + b"."
    start = time.monotonic()
    with pytest.raises(ToolkitError):
        read(zipped(body))
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("container", ["zip", "legacy"])
def test_damage_anywhere_ends_in_arrays_or_one_sentence(container, goldens, read):
    whole = (goldens.folder / f"tiny_{container}.pth").read_bytes()
    generator = random.Random(0)
    for _ in range(300):
        content = bytearray(whole)
        if generator.random() < 0.5:
            del content[generator.randrange(len(content)):]
        for _ in range(generator.randrange(4)):
            if content:
                content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        try:
            assert all(isinstance(array, np.ndarray) for array in read(bytes(content)).values())
        except ToolkitError as error:
            assert "\n" not in str(error)


def test_what_scripts_put_around_a_state_dict(read):
    named = b"X\x08\x00\x00\x00module.w" + tensor(4)
    for wrapper in (b"state_dict", b"model_state_dict", b"model"):
        outer = b"X" + struct.pack("<I", len(wrapper)) + wrapper
        found = read(zipped(b"\x80\x02}" + outer + b"}" + named + b"ssX\x05\x00\x00\x00epochK\x03s."))
        assert list(found) == ["w"]


def test_a_pickle_of_too_many_instructions(read, monkeypatch):
    monkeypatch.setattr(torch_pickles, "_MAX_INSTRUCTIONS", 50)
    assert list(read(zipped(state(tensor(4))))) == ["w"]
    with pytest.raises(ToolkitError, match="more than 50 pickle instructions"):
        read(zipped(b"\x80\x02" + b"]" * 50 + b"."))


def test_one_storage_cannot_be_read_again_and_again(read):
    tensors = b"".join(b"X\x04\x00\x00\x00%04d" % index + tensor(4000, count=4000) for index in range(1000))
    with pytest.raises(ToolkitError, match="claim many times the numbers that the file has"):
        read(zipped(b"\x80\x02}(" + tensors + b"u.", {"0": bytes(16_000)}))


def test_a_zip_file_of_too_many_entries(read):
    whole = zipped(state(tensor(4)), **{f"data/{'x' * 400}{index}": b"" for index in range(20_000)})
    with pytest.raises(ToolkitError, match="a zip file of too many entries"):
        read(whole)


def test_a_large_zip_file_has_its_directory_in_another_place(read, monkeypatch):
    """As torch.save writes files of more than 4 GB."""
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 0)
    whole = zipped(state(tensor(4)))
    monkeypatch.undo()
    assert b"PK\x06\x06" in whole
    np.testing.assert_array_equal(read(whole)["w"], np.zeros(4))


def test_a_wrong_checksum(read):
    whole = bytearray(zipped(state(tensor(4)), {"0": b"abcd" * 4}))
    whole[whole.index(b"abcd")] ^= 1
    with pytest.raises(ToolkitError, match="damaged"):
        read(bytes(whole))


def test_tensors_are_read_when_they_are_asked_for(read, monkeypatch):
    reads = []
    original = np.fromfile
    monkeypatch.setattr(np, "fromfile", lambda *arguments: reads.append(arguments[2]) or original(*arguments))
    tensors = read(zipped(b"\x80\x02}(X\x01\x00\x00\x00vh\x00X\x01\x00\x00\x00w".replace(b"h\x00", tensor(4))
                          + tensor(2, stride=2, offset=1) + b"u."))
    assert list(tensors) == ["v", "w"] and not reads
    assert tensors["w"].shape == (2,)
    assert reads == [3]


def test_a_missing_file():
    with pytest.raises(ToolkitError, match="nowhere.pth: cannot be read"):
        torch_files.read("nowhere.pth")
