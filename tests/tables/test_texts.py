"""Tables of texts: which column, which rows, whatever stands in a cell."""

import csv
import hashlib
import io
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.tables import TableError, read_table
from toolkit.tables.texts import LONGEST_NAME, short

ROWS = ['"good, very good",pos,train', "bad,neg,train", "so so,,train", '"a\n\n""quoted"" line",pos,test',
        "worse,neg,test"]


@pytest.fixture
def table(write_csv):
    return read_table(write_csv(["text,label,split", *ROWS], "reviews.csv"))


def test_a_table_of_texts(table):
    by_row = dict(zip(table.rows.tolist(), zip(table.inputs, table.names, table.labels.tolist(), table.splits)))
    assert table.kind == "text" and table.class_names == ("neg", "pos") and table.array is None and table.channels == 1
    assert by_row[1] == ("good, very good", "good, very good", 1, "train")
    assert by_row[3] == ("so so", "so so", -1, "train")
    assert by_row[4] == ('a\n\n"quoted" line', 'a "quoted" line', 1, "test")
    assert dict(zip(table.inputs, table.sizes.tolist()))["worse"] == [5, 1]
    assert not table.decoders.any() and table.sizes.dtype == np.int32 and table.decoders.dtype == np.uint8
    assert list(table.checksums) == sorted(hashlib.sha256(text.encode()).hexdigest() for text in table.inputs)


def test_the_order_of_the_rows_changes_nothing(write_csv, table):
    shuffled = random.Random(0).sample(ROWS, len(ROWS))
    other = read_table(write_csv(["text,label,split", *shuffled], "shuffled.csv"))
    assert other.fingerprint == table.fingerprint and list(other.inputs) == list(table.inputs)


def test_blank_texts_are_set_aside_and_counted(write_csv):
    table = read_table(write_csv(["text,label", '"  ",pos', ",neg", "one,pos", "two,neg", '"\n",neg', ","]))
    assert [(row.row, row.reason, row.label) for row in table.rejected] == [
        (1, "empty", "pos"), (2, "empty", "neg"), (5, "empty", "neg")]
    assert sorted(table.rows) == [3, 4] and "3 rows of 5 set aside (3 empty)" in table.notes[0]
    with pytest.raises(TableError, match="row 1.*cannot be used: the text is blank"):
        read_table(table.source, on_bad_image="fail")
    with pytest.raises(TableError, match="none of 2 texts can be used"):
        read_table(write_csv(["text,label", " ,pos", " ,neg"], "blank.csv"))


def test_a_single_column_keeps_its_blank_rows(write_csv):
    table = read_table(write_csv(["text", "one", '""', "", '"\n"', "two"]), require_labels=False)
    assert sorted(table.rows) == [1, 5] and [row.row for row in table.rejected] == [2, 4]  # the blank line is no row


def test_a_text_of_a_megabyte_and_one_of_a_single_letter(write_csv):
    table = read_table(write_csv(["text,label", '"' + "word\n" * 200_000 + '",long', "x,short"]))
    assert sorted(table.sizes[:, 0]) == [1, 999_999]  # without the last line break
    assert max(map(len, table.names)) == LONGEST_NAME and table.rejected == ()


def test_more_than_a_hundred_megabytes_are_refused_by_row(write_csv, monkeypatch):
    monkeypatch.setattr("toolkit.tables.texts.LARGEST_CELL", 1000)
    table = read_table(write_csv(["text,label", "y" * 1001 + ",a", "x,a", "z,b"]))
    assert [(row.row, row.reason) for row in table.rejected] == [(1, "too_large")]
    assert "1,001 characters" in table.rejected[0].message


@pytest.mark.parametrize(("encoding", "noted"), [("utf-8", False), ("utf-16", False), ("latin-1", True)])
def test_other_encodings(write_csv, encoding, noted):
    table = read_table(write_csv(["text,label", "schön,a", "Straße,b"], encoding=encoding))
    assert sorted(table.inputs) == ["Straße", "schön"]
    assert any("not UTF-8" in note for note in table.notes) == noted


def test_equal_texts_are_noted_as_texts(write_csv):
    rows = ["a,x,train", "a,x,train", "b,x,train", "b,y,test", "c,y,train"]
    notes = " ".join(read_table(write_csv(["text,label,split", *rows])).notes)
    assert "1 row repeats the text of another row" in notes and "image" not in notes
    assert "Leak: 1 validation or test row holds a text that is also a training row" in notes
    assert "1 row has the same text, byte for byte, as a row with another label" in notes


@pytest.mark.parametrize(("header", "options", "kind"), [
    ("text,label", {}, "text"), ("Text,Label", {}, "text"), ("review,label", {"text_column": "review"}, "text"),
    ("text,path,label", {"kind": "text"}, "text"), ("text,path,label", {"text_column": "text", "kind": "text"}, "text"),
    ("text,time,time,label", {}, "text"), ("path,review,label", {"text_column": "review"}, "text")])
def test_the_kind_follows_from_the_columns(write_csv, header, options, kind):
    cells = [",".join("ab" if name != "label" else label for name in header.lower().split(",")) for label in "xy"]
    assert read_table(write_csv([header, *cells]), **options).kind == kind


@pytest.mark.parametrize(("header", "options", "message"), [
    ("path,text,label", {}, "columns 'path' and 'text', and it is not clear .* --kind image or --kind text"),
    ("text,values,label", {}, "--kind text or --kind series"),
    ("sentence,label", {}, "no column 'path'.*--text-column"),
    ("sentence,label", {"kind": "text"}, r"no column 'text'; its columns are sentence, label\. .*--text-column"),
    ("text,label", {"text_column": "review"}, "no column 'review'.*--text-column"),
    ("text,class", {}, "no column 'label'.*--label-column")])
def test_doubt_is_an_error_that_names_the_columns(write_csv, header, options, message):
    with pytest.raises(TableError, match=message) as caught:
        read_table(write_csv([header, ",".join("a" for _ in header.split(","))]), **options)
    assert "\n" not in str(caught.value)


def test_other_sources_hold_no_texts(tmp_path, make_table):
    make_table(["cat,train"])
    with pytest.raises(TableError, match="holds images, not inputs of kind text.*column 'text'"):
        read_table([tmp_path / "0.png"], kind="text", require_labels=False)


def test_more_unlabelled_texts_join(write_csv, table):
    more = write_csv(["text,label", "bad,pos", "new,neg", '" ",neg', "worse,neg"], "more.csv")
    joined = read_table(table.source, unlabelled=[more])
    added = joined.select(np.flatnonzero(joined.origins != ""))
    assert sorted(added.inputs) == ["new", "worse"] and set(added.labels) == {-1}  # not the training row
    assert f"2 texts of {more} joined the unlabelled rows, without 1 copy of training texts." in joined.notes
    assert joined.rejected[0].origin == more


@pytest.mark.parametrize("text", ["", " a\tb\r\nc ", "ä" * 199, "x" * 200, "y" * 201, "z " * 3000, " " * 5000 + "q"])
def test_short_names(text):
    name = short(text)
    assert len(name) <= LONGEST_NAME and "\n" not in name and name.endswith("…") == (len(" ".join(text.split())) > 200
                                                                                     or len(text) > 2000)


# ---- Anything at all -------------------------------------------------------------------------------------------------

CELLS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30)


@given(st.lists(st.tuples(CELLS, st.sampled_from(["a", "b", ""])), min_size=1, max_size=8))
def test_every_cell_comes_back_or_is_set_aside(tmp_path_factory, rows):
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([("text", "label"), *rows])
    path = tmp_path_factory.mktemp("fuzz") / "texts.csv"
    path.write_text(stream.getvalue(), encoding="utf-8", newline="")
    try:
        table = read_table(path, require_labels=False)
    except TableError as error:
        assert not any(text.strip() or label for text, label in rows) and "no rows" in str(error)
        return
    expected = {row: text.strip() for row, (text, label) in enumerate(rows, start=1) if text.strip() or label}
    found = dict(zip(table.rows.tolist(), table.inputs)) | {row.row: "" for row in table.rejected}
    assert found == expected


@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "any.csv"
    for header in (b"text,label\n", b"values,label\n", b"series,time,x,label\n", b"a,b,c,label\n", b""):
        path.write_bytes(header + content)
        for kind in (None, "text", "series"):
            try:
                table = read_table(path, kind=kind, require_labels=False)
            except TableError as error:
                assert "\n" not in str(error)
                continue
            assert len(table) + len(table.rejected) > 0


@given(st.binary(max_size=100))
def test_any_ts_file_is_a_table_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "any.ts"
    for header in (b"@data\n", b"@data\n1,2:a\n", b"@classLabel false\n@data\n1:2:", b""):
        path.write_bytes(header + content)
        try:
            read_table(path, require_labels=False)
        except TableError as error:
            assert "\n" not in str(error)
