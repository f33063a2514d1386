"""Write a table of real English sentences: those of the docstrings of numpy, pandas and scikit-learn.

The packages are installed with the toolkit, so nothing is downloaded; their files are parsed and never run. Run it as
a script: ``python data/docstrings/prepare.py --help``. The same options and the same versions give the same table.
"""

import argparse
import ast
import csv
import hashlib
import importlib.util
import io
import os
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGES = {"numpy": "numpy", "pandas": "pandas", "scikit-learn": "sklearn"}
"""Label -> the package's name in Python."""
FEWEST_WORDS, MOST_WORDS = 5, 60
_TELL_TALE = re.compile(r"\b(num|sci)?(py|pandas|numpy|np|pd|sklearn|scikit|learn)\b", re.IGNORECASE)
_NOT_PROSE = re.compile(r">>>|::|\.\. |={3,}|-{3,}|~{3,}|^\s*[-*+|#]|^\s*\w+ : ", re.MULTILINE)
_MARKUP = re.compile(r":\w+:`~?\.?([^`<]*?)(?:\s*<[^`]*>)?`|`+([^`]*)`+|\*+([^*\s][^*]*)\*+")
_END = re.compile(r"(?<=[a-z)][.!?])\s+(?=[A-Z])")


def docstrings(package: str) -> Iterator[tuple[str, str]]:
    """The docstrings of an installed package, tests aside: the file of each, relative to the package, and its text."""
    top = Path(importlib.util.find_spec(package).submodule_search_locations[0])
    for path in sorted(top.rglob("*.py")):
        name = path.relative_to(top).as_posix()
        if "test" in name:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        for node in ast.walk(tree):
            if isinstance(node, kinds) and (text := ast.get_docstring(node)):
                yield name, text


def sentences(text: str) -> Iterator[str]:
    """The sentences of a docstring's paragraphs of prose; examples, tables and lists of arguments are left out.

    A sentence that names one of the packages would give its label away, and is left out as well.
    """
    for paragraph in re.split(r"\n\s*\n", text):
        if _NOT_PROSE.search(paragraph):
            continue
        plain = _MARKUP.sub(lambda found: next(filter(None, found.groups()), ""), paragraph)
        for sentence in _END.split(" ".join(plain.split())):
            words = sentence.split()
            if FEWEST_WORDS <= len(words) <= MOST_WORDS and sentence[0].isupper() and sentence[-1] in ".!?" \
                    and not _TELL_TALE.search(sentence):
                yield sentence


def collect() -> dict[str, list[tuple[str, str]]]:
    """The distinct sentences of each package with the file of each; one that two packages have is left out."""
    found: dict[str, dict[str, str]] = {}
    for label, package in PACKAGES.items():
        found[label] = {}
        for name, text in docstrings(package):
            for sentence in sentences(text):
                found[label].setdefault(sentence, name)
    for label, own in found.items():
        others = set().union(*(other for key, other in found.items() if key != label))
        found[label] = {sentence: name for sentence, name in own.items() if sentence not in others}
    return {label: [(name, sentence) for sentence, name in own.items()] for label, own in found.items()}


def select_rows(found: list[tuple[str, str]], num_train: int, num_test: int, seed: int) -> list[tuple[str, str]]:
    """Sentences of one package with their split: those of a file are all in training or all in test.

    Args:
        found: the file of each sentence, and the sentence.
        num_train: how many for training.
        num_test: how many for test.
        seed: of the choice.

    Raises:
        SystemExit: there are not as many.
    """

    def drawn(*words: str) -> str:
        return hashlib.sha256("\n".join((str(seed), *words)).encode()).hexdigest()

    order = sorted(found, key=lambda one: (drawn(one[0]), drawn(*one)))
    test = order[:num_test]
    of_test = {name for name, _ in test}
    train = [one for one in sorted(order[num_test:], key=lambda one: drawn(*one)) if one[0] not in of_test]
    if len(test) < num_test or len(train) < num_train:
        raise SystemExit(f"{num_train:,} training and {num_test:,} test sentences of each package are asked for, but "
                         f"one has only {len(train):,} and {len(test):,}. Ask for fewer.")
    return [(sentence, "train") for _, sentence in train[:num_train]] + [(sentence, "test") for _, sentence in test]


def write_table(output: Path, rows: list[tuple[str, str, str]]) -> Path:
    """Write ``output/docstrings.csv`` whole or not at all, and leave alone one that already holds these rows."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("text", "label", "split"))
    writer.writerows(rows)
    content, path = text.getvalue().encode(), output / "docstrings.csv"
    output.mkdir(parents=True, exist_ok=True)
    if not (path.is_file() and path.read_bytes() == content):
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        part.write_bytes(content)
        os.replace(part, path)
    return path


def count(text: str) -> int:
    """Parse a whole number of at least 0."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return number


def main(arguments: list[str] | None = None) -> None:
    """Prepare the table as the command line asks and say what was written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE, metavar="DIR", help="folder of docstrings.csv (here)")
    for name, default, what in (("--num-train", 800, "training sentences a package"),
                                ("--num-labelled", None, "training sentences a package that keep their label (all)"),
                                ("--num-test", 200, "test sentences a package"), ("--seed", 0, "of the selection")):
        parser.add_argument(name, type=count, default=default, metavar="N", help=f"{what} ({default})")
    options = parser.parse_args(arguments)
    labelled = options.num_train if options.num_labelled is None else options.num_labelled
    rows = []
    for label, found in collect().items():
        chosen = select_rows(found, options.num_train, options.num_test, options.seed)
        rows += [(sentence, label if split == "test" or number < labelled else "", split)
                 for number, (sentence, split) in enumerate(chosen)]
    path = write_table(options.output, rows)
    versions = ", ".join(f"{label} {metadata.version(label)}" for label in PACKAGES)
    print(f"{path}: {len(rows):,} sentences from the docstrings of {versions}")


if __name__ == "__main__":
    main()
