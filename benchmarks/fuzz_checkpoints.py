"""Reads 10,000 broken and hostile checkpoints: tensors or one sentence, nothing executed, memory and time bounded.

    python benchmarks/fuzz_checkpoints.py --count 10000 --seed 0

Files are .safetensors and both containers of .pth, small and sound to begin with; then cut off, flipped bit by bit,
spliced, given lying lengths, offsets and shapes, turned into zip bombs, or filled with pickles that call os.system in
every way that pickle knows, with random instructions, and with what makes an unpickler run out of memory or time. Some
lie in directories as a hub cache holds them. Every file is read by a worker process under a limit of its memory, and
every tensor of it is touched. A file that was left sound must be read, and with the right values. Prints one line of
JSON; the exit status is 1 if anything went wrong.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import pickle
import random
import resource
import runpy
import struct
import sys
import tempfile
import time
import tracemalloc
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from toolkit import ToolkitError
from toolkit.models import checkpoint_files

FILES_A_TASK = 250
MULTIPLE, CONSTANT = 4, 128 * 2**20  # bytes of memory that a file may cost: MULTIPLE x its size + CONSTANT
ADDRESS_SPACE = 512 * 2**20  # beyond what a worker has when it begins
SECONDS = 30.0  # of the processor that one file may take, its memory being traced
WRITERS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "tests/models/checkpoint_writers.py")))
CANARY = "executed"
COMMAND = f"touch {CANARY}"
SUFFIXES = {"safetensors": ".safetensors", "zip": ".pth", "legacy": ".bin"}


# ---- Sound files --------------------------------------------------------------------------------------------------


def sound(form: str, generator: random.Random) -> tuple[bytes, dict[str, np.ndarray]]:
    """A small checkpoint and what is in it."""
    numbers = np.random.default_rng(generator.randrange(2**32))
    tensors: dict[str, np.ndarray] = {}
    for index in range(generator.randrange(1, 12)):
        shape = tuple(generator.randrange(5) for _ in range(generator.randrange(5)))
        dtype = generator.choice(("float32", "float32", "float16", "float64", "int64", "uint8", "bool"))
        tensors[f"layer{index}.weight"] = numbers.integers(0, 2, shape).astype(dtype)
    if generator.random() < 0.1:
        tensors["large"] = numbers.normal(size=generator.randrange(10_000, 100_000)).astype(np.float32)
    return written(form, tensors), tensors


def written(form: str, tensors: dict[str, np.ndarray]) -> bytes:
    """The file of some tensors."""
    if form == "safetensors":
        return b"".join(WRITERS.safetensors(tensors))
    return WRITERS.torch_zip(tensors) if form == "zip" else WRITERS.torch_legacy(tensors)


def container(form: str, body: bytes, generator: random.Random) -> bytes:
    """A pickle in one of the containers of PyTorch, or bare."""
    if generator.random() < 0.1:
        return body
    if form == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", generator.choice((0, 0, 0, zipfile.ZIP_DEFLATED))) as archive:
            archive.writestr("archive/data.pkl", body)
            for key in range(generator.randrange(3)):
                archive.writestr(f"archive/data/{key}", bytes(generator.choice((0, 16, 4000))))
        return buffer.getvalue()
    whole = WRITERS.torch_legacy({})
    end = whole.index(b"ccollections")
    return whole[:end - 2] + body + pickle.dumps(["0"][:generator.randrange(2)], 2) + struct.pack("<q", 4) + bytes(16)


# ---- Damage -------------------------------------------------------------------------------------------------------


def cut_off(data: bytes, form: str, generator: random.Random) -> bytes:
    """The beginning of a file."""
    return data[:generator.randrange(len(data))]


def flipped(data: bytes, form: str, generator: random.Random) -> bytes:
    """Some bits of a file changed, half of the time near its beginning or end."""
    broken = bytearray(data)
    reach = generator.choice((len(data), min(len(data), 200)))
    for _ in range(generator.choice((1, 1, 2, 8, 64))):
        place = generator.randrange(reach)
        broken[place if generator.random() < 0.7 else len(data) - 1 - place] ^= 1 << generator.randrange(8)
    return bytes(broken)


def spliced(data: bytes, form: str, generator: random.Random) -> bytes:
    """Parts of a file moved, repeated, or taken from one of another kind."""
    other = sound(generator.choice(tuple(SUFFIXES)), generator)[0]
    first, second = sorted(generator.randrange(len(data) + 1) for _ in range(2))
    middle = generator.choice((b"", data[first:second] * 2, other, generator.randbytes(50)))
    return data[:first] + middle + data[second:]


def lying(data: bytes, form: str, generator: random.Random) -> bytes:
    """A number somewhere in a file, as long as one of the format's, made into another."""
    broken, width = bytearray(data), generator.choice((1, 2, 4, 8))
    if form == "zip" and generator.random() < 0.5:
        start = generator.choice((data.rfind(b"PK\x05\x06"), data.rfind(b"PK\x01\x02"), data.find(b"PK\x03\x04")))
        place = max(start, 0) + generator.randrange(4, 46)
    else:
        place = generator.randrange(len(data))
    values = (0, 1, 2, 127, 255, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1, len(data))
    number = generator.choice(values) % 2 ** (8 * width)
    broken[place:place + width] = number.to_bytes(width, "little")
    return bytes(broken)


def lying_header(data: bytes, form: str, generator: random.Random) -> bytes:
    """A .safetensors file whose header says what is not so."""
    tensors = {f"t{index}": np.zeros(generator.randrange(9), np.float32) for index in range(3)}
    whole = b"".join(WRITERS.safetensors(tensors))
    length = struct.unpack("<Q", whole[:8])[0]
    header, content = json.loads(whole[8:8 + length]), whole[8 + length:]
    odd = (-1, 0, 1, 2**31, 2**63, 10**400, 1.5, None, True, "x", [], [[]], [-1, 4], [0, 2**62], [2**32] * 9, {},
           "BF16", "I64", "F8_E4M3", [8, 0], [4, 8], [1] * 100_000)
    for _ in range(generator.randrange(1, 4)):
        description = header[generator.choice(list(header))]
        description[generator.choice(("dtype", "shape", "data_offsets", "more"))] = generator.choice(odd)
    text = json.dumps(header).encode()
    bomb = generator.choice((None,) * 6 + (b"[" * 200_000, b'{"a":' * 50_000, b"[" + b"[]," * 900_000, b"9" * 50_000,
                                           b'{"t0":1,"t0":2}', b'{"' + b"a" * 2**20 + b'":{}}'))
    text = text if bomb is None else bomb
    claimed = len(text) if generator.random() < 0.8 else generator.choice((0, 2**40, 2**63, len(text) + 1))
    return struct.pack("<Q", claimed) + text + content


# ---- Hostile pickles ----------------------------------------------------------------------------------------------

CALLS = ("os system", "posix system", "nt system", "builtins eval", "builtins exec", "builtins __import__",
         "builtins getattr", "subprocess call", "subprocess Popen", "torch load", "torch.hub load", "numpy load",
         "torch.storage _load_from_bytes", "pickle loads", "shutil rmtree", "webbrowser open", "runpy run_path",
         "torch._utils _rebuild_tensor_v2.__globals__", "collections OrderedDict.fromkeys",
         "torch FloatStorage.__new__")


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


class _Shell:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (COMMAND,)


def calling(data: bytes, form: str, generator: random.Random) -> bytes:
    """A pickle that calls a function, in one of the ways that pickle knows."""
    module, _, name = generator.choice(CALLS).partition(" ")
    argument = _text(COMMAND if "exec" not in name and "eval" not in name else
                     f"__import__('os').system({COMMAND!r})")
    reference = f"c{module}\n{name}\n".encode()
    stacked = _text(module) + _text(name) + b"\x93"
    call = generator.choice((
        reference + argument + b"\x85R", reference + b"(" + argument + b"tR", stacked + argument + b"\x85R",
        b"(" + argument + f"i{module}\n{name}\n".encode(), b"(" + reference + argument + b"o",
        reference + argument + b"\x85\x81", reference + argument + b"\x85}\x92", b"\x82\x01", b"\x83\x01\x00",
        b"P" + COMMAND.encode() + b"\n", argument + b"Q", reference + b"}" + argument + argument + b"sb",
        b"ccollections\nOrderedDict\n(" + reference + b"tR",
        b"ctorch._utils\n_rebuild_parameter\n" + reference + b"\x85R",
        pickle.dumps(_Shell(), generator.randrange(6))[:-1]))
    body = b"\x80\x02}" + _text("w") + call + b"s."
    return container(form, generator.choice((body, body, b"\x80\x04" + call + b".")), generator)


PIECES = (b"(", b")", b"]", b"}", b"N", b"\x88", b"\x89", b"K\x01", b"K\x00", b"M\x10\x00", b"J\xff\xff\xff\xff",
          b"J\x00\x00\x00\x40", b"\x8a\x08" + b"\xff" * 7 + b"\x7f", b"G" + b"\x7f\xf8" + bytes(6), b"t", b"\x85",
          b"\x86", b"\x87", b"a", b"e", b"s", b"u", b"q\x00", b"q\x01", b"h\x00", b"h\x01", b"r\xff\xff\xff\xff",
          b"j\x00\x00\x00\x00",
          b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n",
          b"ctorch._utils\n_rebuild_parameter\n", b"R", b"b", b"Q", _text("storage"), _text("0"), _text("cpu"),
          _text("w"), b"U\x01a", b"0", b"1", b"2", b"\x8f", b"\x90", b"\x94", b"\x95" + bytes(8), b".",
          b"\x80\x02", b"\x80\xff")


def random_instructions(data: bytes, form: str, generator: random.Random) -> bytes:
    """A pickle of random instructions, most of which the reader knows."""
    length = generator.choice((3, 10, 30, 300))
    return container(form, b"\x80\x02" + b"".join(generator.choices(PIECES, k=length)) + b".", generator)


def exhausting(data: bytes, form: str, generator: random.Random) -> bytes:
    """A pickle that an unpickler pays for many times over."""
    count = generator.choice((1_000, 10_000, 10_000, 100_000, 600_000) if generator.random() < 0.2 else (1_000, 10_000))
    storage = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text("0") + _text("cpu")
    view = b"ctorch._utils\n_rebuild_tensor_v2\n(h\x05K\x00J%s\x85K\x00\x85\x89NtR" % struct.pack("<i", 2**30)
    colliding = b"".join(b"\x8a\x0c" + (index * (2**61 - 1)).to_bytes(12, "little") + b"N" for index in range(count))
    body = generator.choice((
        b"}" * count, b"(" * count, b"]" * count, b")" * count, b"K\x01q\x00" * count, b"(]" * count + b"tt" * count,
        b")" + b"q\x00h\x00\x86" * count, b"]" + b"q\x00h\x00a" * count, b"]q\x00(" + b"h\x00" * count + b"e",
        b"X" + struct.pack("<I", 2**32 - 1), b"T" + struct.pack("<I", 2**31 - 1), b"\x8a\xff" + b"\x7f" * 255,
        b"](" + b"(X\x01\x00\x00\x00wNt" * (count // 50) + b"eq\x00" + b"ccollections\nOrderedDict\nh\x00\x85R" * count,
        b"}(" + colliding + b"u", b"".join(b"r" + struct.pack("<I", index) for index in range(count)),
        storage + b"J" + struct.pack("<i", 2**31 - 1) + b"tQ", storage + b"\x8a\x07" + b"\xff" * 6 + b"\x0ftQ",
        b"}(" + storage + b"K\x04tQq\x05" + (_text("w") + view) * (count // 100) + b"u"))
    return container(form, b"\x80\x02" + body + b".", generator)


def zip_bomb(data: bytes, form: str, generator: random.Random) -> bytes:
    """A zip file that holds more than it should: deflated zeros, too many entries, entries twice."""
    buffer, kind = io.BytesIO(), generator.randrange(4)
    state = zipfile.ZipFile(io.BytesIO(WRITERS.torch_zip({"w": np.zeros(4, np.float32)}))).read("archive/data.pkl")
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED if kind else zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", state if kind else state + bytes(generator.choice((2**20, 2**26))))
        archive.writestr("archive/data/0", bytes(16) if kind else bytes(2**24))
        for number in range(generator.choice((10, 1000, 20_000)) if kind == 1 else 0):
            archive.writestr(zipfile.ZipInfo(f"archive/data/{number + 1}"), b"")
        if kind == 2:
            archive.writestr("other/data.pkl", state)
    whole = bytearray(buffer.getvalue())
    if kind == 3:  # the storage lies where the pickle does, or is as large as the file
        place = whole.rfind(b"PK\x01\x02")
        whole[place + 42:place + 46] = bytes(4)
        if generator.random() < 0.5:
            whole[place + 20:place + 28] = struct.pack("<2I", *(generator.choice((16, len(whole), 2**31)),) * 2)
    return bytes(whole)


DAMAGES: dict[str, Callable[[bytes, str, random.Random], bytes]] = {
    "left sound": lambda data, form, generator: data, "cut off": cut_off, "bits flipped": flipped, "spliced": spliced,
    "lying numbers": lying, "lying headers": lying_header, "calls": calling, "random pickles": random_instructions,
    "exhausting pickles": exhausting, "zip bombs": zip_bomb}
FIXED_FORM = {"lying headers": "safetensors", "zip bombs": "zip"}


# ---- Reading ------------------------------------------------------------------------------------------------------


def limit_memory() -> None:
    """Let this worker have a fixed amount of address space beyond what it has now."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + ADDRESS_SPACE, now + ADDRESS_SPACE))
    tracemalloc.start()


def place(folder: Path, data: bytes, form: str, generator: random.Random) -> Path:
    """Writes a file, sometimes into a directory with a broken configuration, and returns what is to be read."""
    if generator.random() < 0.9 or form == "legacy":
        path = folder / f"file{SUFFIXES[form]}"
        path.write_bytes(data)
        return path
    directory = folder / "models--a--b" / "snapshots" / "c"
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.iterdir():
        old.unlink()
    (directory / ("model.safetensors" if form == "safetensors" else "pytorch_model.bin")).write_bytes(data)
    (directory / "config.json").write_bytes(generator.choice(
        (b"{}", b'{"architecture": "resnet18"}', b"[" * 100_000, b"\xff", b"", b'{"pretrained_cfg": 3}', b"3")))
    return folder / "models--a--b"


def touched(path: Path) -> dict[str, np.ndarray]:
    """Everything that is in a checkpoint."""
    checkpoint = checkpoint_files.read(path)
    checkpoint_files.architecture(checkpoint.configuration)
    checkpoint_files.preprocessing(checkpoint.configuration, str(path))
    small = {}
    for name in checkpoint.tensors:
        array = checkpoint.tensors[name]
        with np.errstate(all="ignore"):
            np.add.reduce(array, axis=None, dtype=np.float64)
        if array.size <= 1000:
            small[name] = array.copy()
    return small


def fuzz(seed: int, start: int, count: int) -> tuple[Counter[str], list[str], float, int]:
    """Reads some files in a folder of their own.

    Returns:
        Outcomes, failures, the seconds of the slowest file, the most bytes of memory beyond the multiple of a file.
    """
    outcomes, failures, slowest, most = Counter(), [], 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for number in range(start, start + count):
            generator = random.Random(f"{seed} {number}")
            kind = list(DAMAGES)[number % len(DAMAGES)]
            form = FIXED_FORM.get(kind) or generator.choice(tuple(SUFFIXES))
            if kind in ("calls", "random pickles", "exhausting pickles"):
                form = generator.choice(("zip", "legacy"))
            data, tensors = sound(form, generator)
            data = DAMAGES[kind](data, form, generator)
            path = place(Path(folder), data, form, generator)
            what, seconds, memory = outcome(path, tensors if kind == "left sound" else None)
            outcomes[f"{kind}: {what.partition(':')[0]}"] += 1
            slowest, most = max(slowest, seconds), max(most, memory - MULTIPLE * len(data))
            if os.path.exists(CANARY):
                what = f"failed: {CANARY}"
                os.unlink(CANARY)
            if seconds > SECONDS or memory > MULTIPLE * len(data) + CONSTANT:
                what = f"failed: {seconds:.1f} seconds, {memory:,} bytes for a file of {len(data):,}"
            if what.startswith("failed"):
                failures.append(f"file {number} ({kind}, {form}) {what}")
        os.chdir("/")
    return outcomes, failures, slowest, most


def outcome(path: Path, expected: dict[str, np.ndarray] | None) -> tuple[str, float, int]:
    """What became of one file ("read", "refused" or "failed: why"), the seconds and the bytes of memory it took."""
    tracemalloc.reset_peak()
    before, start = tracemalloc.get_traced_memory()[0], time.process_time()
    try:
        found = touched(path)
        what = "read"
        if expected is not None and not all(np.array_equal(found[name], array) and found[name].dtype == array.dtype
                                            for name, array in expected.items() if array.size <= 1000):
            what = "failed: other values than were written"
    except ToolkitError as error:
        sentence = str(error)
        plain = sentence.isprintable() and len(sentence) < 1000 and sentence.endswith(".") and str(path) in sentence
        what = "refused" if plain else f"failed: no sentence: {sentence!r}"
        if expected is not None and "config.json" not in sentence:
            what = f"failed: a sound file was refused: {sentence}"
    except BaseException:
        what = f"failed: {traceback.format_exc()}"
    return what, time.process_time() - start, tracemalloc.get_traced_memory()[1] - before


def main() -> None:
    """Shares the files out among the workers and prints what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes")
    options = parser.parse_args()
    outcomes, failures, slowest, most, start = Counter(), [], 0.0, 0, time.perf_counter()
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn"), limit_memory) as pool:
        tasks = [pool.submit(fuzz, options.seed, first, min(FILES_A_TASK, options.count - first))
                 for first in range(0, options.count, FILES_A_TASK)]
        for task in tasks:
            try:
                counts, failed, seconds, memory = task.result()
            except Exception as error:  # a worker that died
                failures.append(f"a worker died: {error!r}")
                continue
            outcomes, failures = outcomes + counts, failures + failed
            slowest, most = max(slowest, seconds), max(most, memory)
    for failure in failures:
        print(failure, file=sys.stderr)
    print(json.dumps({
        "files": sum(outcomes.values()), "seed": options.seed, "failures": len(failures),
        "executed": sum(CANARY in failure for failure in failures), "slowest_file_processor_seconds": round(slowest, 2),
        f"most_bytes_beyond_{MULTIPLE}_times_the_file": most, "seconds": round(time.perf_counter() - start, 1),
        "outcomes": dict(sorted(outcomes.items()))}))
    sys.exit(1 if failures or sum(outcomes.values()) != options.count else 0)


if __name__ == "__main__":
    main()
