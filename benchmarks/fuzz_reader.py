"""Reads 2,000 broken files: no error but TableError, no hang, every row accounted for.

    python benchmarks/fuzz_reader.py --count 2000 --seed 0

Half are images (cut off, overwritten, spliced, of a promised size, pipes, folders, links), in CSVs of 40 rows with
sound ones between them; the others are CSVs, and some .npz files, damaged byte by byte or cell by cell. For each CSV
that is read, rows kept and rejected together must be the rows that Python's own csv module counts. Prints one line of
JSON; the exit status is 1 if anything went wrong.
"""

from __future__ import annotations

import argparse
import csv
import faulthandler
import io
import json
import os
import random
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from toolkit.tables import Table, TableError, read_table

ROWS_A_TABLE = 40
HANG_SECONDS = 60
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")
OTHER_CONTENTS = (b"", b"<html><body>404</body></html>", b"<svg/>", b"%PDF-1.7", b"PK\x03\x04", b"\xff\xd8\xff",
                  b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\xff\xff\xff\xffWEBP", b"II*\0\x08\0\0\0", b"BM",
                  b"P6\n99999999 99999999 255\n", b"\0" * 5000)
CELLS = ("", " ", "cat", "dog", "nan", "cat;dog", "1.5", "\u00e9", '"', "train", "test", "vla", "x" * 70_000, "\x00",
         "../a.png", "~nobody/a.png", "file:///a.png", "http://a/b.png", "0.png", "-1", "=1+1", "\ud7ff", "a\nb")


class Outcomes:
    """What happened, and the failures among it."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.slowest = 0.0

    def read(self, source: str | Path, what: str, **options: object) -> Table | None:
        """Reads a table; anything raised but TableError, and any warning, is a failure."""
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                table = read_table(source, **options)
            self.counts[f"{what} read"] += 1
            return table
        except TableError as error:
            self.counts[f"{what} refused"] += 1
            if "\n" in str(error) or "Traceback" in str(error):
                self.failures.append(f"{what}: a message of several lines: {error!r}")
        except Exception:
            self.failures.append(f"{what}: {traceback.format_exc()}")
        finally:
            faulthandler.cancel_dump_traceback_later()
            self.slowest = max(self.slowest, time.perf_counter() - start)
        return None

    def account(self, table: Table | None, expected: int, what: str) -> None:
        """Kept and rejected rows together must be all rows, each once."""
        if table is None:
            return
        rows = [*table.rows.tolist(), *(row.row for row in table.rejected)]
        self.counts["rows kept"] += len(table)
        self.counts.update(f"rows rejected: {row.reason}" for row in table.rejected)
        if len(rows) != expected or len(set(rows)) != expected:
            self.failures.append(f"{what}: {expected} rows, {len(table)} kept, {len(table.rejected)} rejected")


# ---- Broken images ---------------------------------------------------------------------------------------------------


def picture(generator: random.Random, side: int = 24) -> Image.Image:
    """A colour picture of noise and a gradient."""
    noise = np.random.default_rng(generator.randrange(2**32)).integers(0, 80, (side, side + 5, 3))
    return Image.fromarray((noise + np.linspace(0, 170, side)[:, None, None]).astype(np.uint8))


def sound_images(generator: random.Random) -> list[bytes]:
    """One file of every format and of a few variants."""
    image, files = picture(generator), []
    variants = [(kind, image, {}) for kind in FORMATS]
    variants += [("JPEG", image.convert(mode), {}) for mode in ("CMYK", "L")]
    variants += [("PNG", image.convert(mode), {}) for mode in ("P", "RGBA", "I;16")]
    variants += [("JPEG", image, {"progressive": True})]
    variants += [("GIF", image, {"save_all": True, "append_images": [image.rotate(90)]})]
    variants += [("TIFF", image, {"compression": compression}) for compression in ("tiff_lzw", "jpeg")]
    for kind, variant, options in variants:
        buffer = io.BytesIO()
        variant.save(buffer, kind, **options)
        files.append(buffer.getvalue())
    return files


def damaged(data: bytes, generator: random.Random) -> bytes:
    """A file with a few bytes changed, or with a part cut out, put in or moved."""
    broken = bytearray(data)
    kind = generator.randrange(6)
    first, second = sorted(generator.randrange(len(data) + 1) for _ in range(2))
    if kind == 0:
        del broken[first:]
    elif kind == 1:
        del broken[first:second]
    elif kind == 2:
        broken[first:first] = generator.randbytes(generator.randrange(1, 200))
    elif kind == 3:
        broken[first:second] = broken[first:second][::-1]
    else:
        reach = len(broken) if kind == 4 else min(64, len(broken))
        for _ in range(generator.choice((1, 2, 8, 64))):
            broken[generator.randrange(reach)] = generator.choice((0, 255, generator.randrange(256)))
    return bytes(broken)


def write_broken_image(path: Path, sound: list[bytes], generator: random.Random) -> None:
    """A broken image, or something that is none."""
    kind = generator.randrange(12)
    if kind == 0:
        path.write_bytes(generator.choice(OTHER_CONTENTS))
    elif kind == 1:
        special = generator.randrange(5)
        if special == 0:
            os.mkfifo(path)
        elif special == 1:
            path.mkdir()
        elif special == 2:
            path.symlink_to(path)
        elif special == 3:
            path.symlink_to("/dev/zero")
        # else the file is missing
    else:
        path.write_bytes(damaged(generator.choice(sound), generator))


def fuzz_images(folder: Path, count: int, generator: random.Random, outcomes: Outcomes) -> None:
    """Tables of broken images, with a sound one after every fourth."""
    sound = sound_images(generator)
    for start in range(0, count, ROWS_A_TABLE):
        names = [f"{number}.{generator.choice(('jpg', 'png', 'gif', 'tif', 'dat'))}"
                 for number in range(start, min(start + ROWS_A_TABLE, count))]
        lines = ["path,label"]
        for number, name in enumerate(names):
            write_broken_image(folder / name, sound, generator)
            lines.append(f"{name},{('cat', 'dog', '')[number % 3]}")
            if number % 4 == 0:
                picture(generator).save(folder / f"sound{start + number}.png")
                lines.append(f"sound{start + number}.png,{('cat', 'dog')[number // 4 % 2]}")
        (folder / "images.csv").write_text("\n".join(lines))
        table = outcomes.read(folder / "images.csv", "tables of images")
        outcomes.account(table, len(lines) - 1, f"images from {start}")


# ---- Broken CSVs and arrays ------------------------------------------------------------------------------------------


def broken_csv(generator: random.Random) -> bytes:
    """A table of twelve sound images, written or damaged in one of many ways."""
    columns = generator.choice((["path", "label"], ["path", "label", "split"], ["path", "label", "split", "group"]))
    cells = {"label": ("cat", "dog", ""), "split": ("train", "train", "test"), "group": ("a", "b", "c", "")}
    rows = [columns] + [[f"{number % 12}.png", *(generator.choice(cells[column]) for column in columns[1:])]
                        for number in range(generator.randrange(30))]
    for _ in range(generator.choice((0, 1, 1, 3))):
        row = generator.choice(rows)
        row[generator.randrange(len(row))] = generator.choice(CELLS)
    if generator.random() < 0.15:
        rows.insert(generator.randrange(len(rows) + 1), generator.choice(([], [""], ["a"] * 9, ["0.png"])))
    buffer = io.StringIO()
    dialect = {"delimiter": generator.choice(",,,;\t|"), "lineterminator": generator.choice(("\n", "\r\n", "\r")),
               "quoting": generator.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))}
    csv.writer(buffer, **dialect).writerows(rows)
    data = buffer.getvalue().encode(generator.choice(("utf-8", "utf-8", "utf-8-sig", "latin-1", "utf-16")), "replace")
    return damaged(data, generator) if generator.random() < 0.5 else data


def rows_in(data: bytes) -> int | None:
    """Rows that Python's csv module counts, whatever the separator; None if the bytes are no text."""
    for encoding in ("utf-16",) if data.startswith((b"\xff\xfe", b"\xfe\xff")) else ("utf-8-sig", "cp1252", "latin-1"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        header = next(line for line in io.StringIO(text) if line.strip())
        separator = max(",;\t|", key=header.count)
        records = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
        return sum(any(cell.strip() for cell in record) for record in records) - 1
    return None


def fuzz_csvs(folder: Path, count: int, generator: random.Random, outcomes: Outcomes) -> None:
    """CSVs that name sound images, half of the time read for prediction."""
    for number in range(12):
        picture(generator).save(folder / f"{number}.png")
    path = folder / "table.csv"
    for number in range(count):
        data = broken_csv(generator)
        path.write_bytes(data)
        table = outcomes.read(path, "CSVs", require_labels=number % 2 == 0)
        if table is not None:
            outcomes.account(table, rows_in(data), f"CSV {number} ({data[:200]!r})")


def fuzz_arrays(folder: Path, count: int, generator: random.Random, outcomes: Outcomes) -> None:
    """Damaged .npz files."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 6, 6), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, x_train=pixels[:30], y_train=np.arange(30) % 3, x_test=pixels[30:], y_test=np.arange(10) % 3)
    for number in range(count):
        (folder / "arrays.npz").write_bytes(damaged(buffer.getvalue(), generator))
        outcomes.account(outcomes.read(folder / "arrays.npz", ".npz files"), 40, f".npz {number}")


def main() -> None:
    """Runs the three and prints what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="broken files")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    generator, outcomes = random.Random(options.seed), Outcomes()
    num_arrays = options.count // 10
    num_csvs = options.count // 2 - num_arrays
    num_images = options.count - num_csvs - num_arrays
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for fuzz, count in ((fuzz_images, num_images), (fuzz_csvs, num_csvs), (fuzz_arrays, num_arrays)):
            place = Path(folder) / fuzz.__name__
            place.mkdir()
            fuzz(place, count, generator, outcomes)
    for failure in outcomes.failures:
        print(failure, file=sys.stderr)
    print(json.dumps({
        "broken_images": num_images, "broken_csvs": num_csvs, "broken_npz": num_arrays, "seed": options.seed,
        "failures": len(outcomes.failures), "seconds": round(time.perf_counter() - start, 1),
        "slowest_table_seconds": round(outcomes.slowest, 2), "outcomes": dict(sorted(outcomes.counts.items()))}))
    sys.exit(1 if outcomes.failures else 0)


if __name__ == "__main__":
    main()
