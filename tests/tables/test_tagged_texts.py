"""Tables of tokens and tags: every row accounted for, refusals that name row and column."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from toolkit.tables import TableError, tagged_texts

ROWS = [("John lives in Berlin", "B-person O O B-place", "train"), ("she sleeps", "O O", "train"),
        ('["New York", "sleeps"]', '["B-place", "O"]', "test"), ("", "", "train"), ("not tagged yet", "", "train"),
        ("[ sic ]", "O O O", "train")]


def write(path: Path, rows: list, header: str = "tokens,tags,split") -> str:
    lines = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return str(path)


def test_rows_become_tokens_and_tags(tmp_path: Path) -> None:
    table = tagged_texts.read(write(tmp_path / "t.csv", ROWS))
    assert table.class_names == ("B-person", "B-place", "O")
    found = dict(zip(table.rows.tolist(), zip(table.tokens, table.tags, strict=True), strict=True))
    assert found[1][0] == ("John", "lives", "in", "Berlin") and found[1][1].tolist() == [0, 2, 2, 1]
    assert found[3][0] == ("New\N{NO-BREAK SPACE}York", "sleeps")
    assert found[5][1] is None and found[6][0] == ("[", "sic", "]")
    assert [(row.row, row.reason) for row in table.rejected] == [(4, "empty")]
    assert sorted(table.rows[table.labelled("train")]) == [1, 2, 6]


def test_half_a_surrogate_becomes_a_question_mark(tmp_path: Path) -> None:
    rows = [('["\\ud83d", "sleeps"]', "N V", "train"), ("she sleeps", "N V", "train")]
    table = tagged_texts.read(write(tmp_path / "t.csv", rows))
    assert ("?", "sleeps") in list(table.tokens)


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    rows = [row for row in ROWS if row[0]]
    shuffled = random.Random(3).sample(rows, len(rows))
    first, second = (tagged_texts.read(write(tmp_path / f"{i}.csv", some)) for i, some in enumerate((rows, shuffled)))
    assert first.tokens == second.tokens and first.fingerprint == second.fingerprint
    assert first.split_fingerprint == second.split_fingerprint


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a b", "O", "train")], r"row 1: 2 tokens, but 1 tag \(a b\)"),
        ([("a", "O", "train")], "every tag of the training rows is 'O'"),
        ([("a", "", "train")], "no training row with tags in column 'tags'"),
        ([("a b", "N O", "train"), ("c", "NN", "test")], "row 2, column 'tags': tag 'NN' is not among the training"),
        ([("a b", "N O", "trian")], "row 1, column 'split': 'trian' is not a split"),
        ([('["a", ""]', '["N", "O"]', "train")], "row 1, column 'tokens': the list holds a blank item"),
        ([('["a", ["b"]]', '["N", "O"]', "train")], "row 1, column 'tokens'.*is no list of words"),
    ],
)
def test_refusals_name_the_row(tmp_path: Path, rows: list, message: str) -> None:
    with pytest.raises(TableError, match=message):
        tagged_texts.read(write(tmp_path / "t.csv", rows))


def test_a_missing_column_is_named_with_its_option(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [("a", "O")], "words,tags")
    with pytest.raises(TableError, match="no column 'tokens'.*--tokens-column"):
        tagged_texts.read(path)


def test_without_splits_they_are_drawn_and_repeated_texts_stay_together(tmp_path: Path) -> None:
    rows = [(f"word{i % 150} is here", "N O O") for i in range(300)]
    table = tagged_texts.read(write(tmp_path / "t.csv", rows, "tokens,tags"))
    counts = {part: len(table.in_split(part)) for part in ("train", "validation", "test")}
    assert counts == {"train": 210, "validation": 30, "test": 60}
    of_text: dict[tuple, set] = {}
    for tokens, split in zip(table.tokens, table.splits, strict=True):
        of_text.setdefault(tokens, set()).add(split)
    assert all(len(found) == 1 for found in of_text.values())
    other = tagged_texts.read(write(tmp_path / "t.csv", rows, "tokens,tags"), split_seed=1)
    assert not np.array_equal(other.splits, table.splits)
    all_learn = tagged_texts.read(write(tmp_path / "t.csv", rows, "tokens,tags"), test_ratio=0.1, validation_ratio=0)
    assert len(all_learn.in_split("train")) == 270 and len(all_learn.in_split("validation")) == 0


def test_for_a_trained_model_tags_may_be_missing(tmp_path: Path) -> None:
    table = tagged_texts.read(write(tmp_path / "t.csv", [("a b",)], "tokens"), class_names=("N", "O"))
    assert table.splits.tolist() == ["test"] and table.tags == (None,)


def test_the_arguments_read_the_same_table_again(tmp_path: Path) -> None:
    table = tagged_texts.read(write(tmp_path / "t.csv", ROWS))
    arguments = json.loads(json.dumps(table.arguments))
    arguments.pop("task")
    assert tagged_texts.read(arguments.pop("source"), **arguments).fingerprint == table.fingerprint


def test_a_row_too_long_for_attention_is_set_aside(tmp_path):
    long = " ".join(["a"] * (tagged_texts.MOST_TOKENS + 1))
    (tmp_path / "tags.csv").write_text(f"tokens,tags,split\na b,X Y,train\nb a,Y X,test\n{long},,test\n")
    table = tagged_texts.read(str(tmp_path / "tags.csv"))
    assert len(table) == 2 and [row.reason for row in table.rejected] == ["too_large"]
    assert "2,001 tokens" in table.rejected[0].message
