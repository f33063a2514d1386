"""Makes a table to tag of real sentences: their punctuation is removed, and each token is tagged with what followed it.

    python benchmarks/punctuation_tags.py $TOOLKIT_DATA/sst2/texts.csv runs/punctuation.csv
    toolkit train-lstm runs/punctuation.csv --task tag --output runs/punctuation

Tags are COMMA, PERIOD, QUESTION, EXCLAMATION, COLON, DASH, BRACKET and O for nothing; sentences without a word are left
out. The splits are those of the table.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import click

TAGS = {",": "COMMA", ".": "PERIOD", "?": "QUESTION", "!": "EXCLAMATION", ":": "COLON", ";": "COLON", "-": "DASH",
        "--": "DASH", "(": "BRACKET", ")": "BRACKET", "...": "PERIOD"}


@click.command()
@click.argument("texts", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
def main(texts: Path, output: Path) -> None:
    """Writes OUTPUT, a CSV of tokens and tags, from the sentences of TEXTS, a CSV with the columns text and split."""
    with texts.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["tokens", "tags", "split"])
        for row in rows:
            tokens, tags = tagged(row["text"])
            if tokens:
                writer.writerow([" ".join(tokens), " ".join(tags), row["split"]])


def tagged(text: str) -> tuple[list[str], list[str]]:
    """The words of a sentence and their tags.

    Args:
        text: with blanks around its punctuation.
    """
    tokens: list[str] = []
    tags: list[str] = []
    for part in re.findall(r"--|\.\.\.|[,.?!:;()]|(?<=\s)-(?=\s)|[^\s,.?!:;()]+", text):
        if part in TAGS:
            if tokens and tags[-1] == "O":
                tags[-1] = TAGS[part]
        else:
            tokens.append(part)
            tags.append("O")
    return tokens, tags


if __name__ == "__main__":
    main()
