"""CSV files as people and programs write them."""

import os
import unicodedata

import pytest

from toolkit.tables import TableError, read_table
from toolkit.tables.csv_files import Columns, read

LINES = ["path,label,split", "a.png,cat,train", "b.png,dog,train", "c.png,,train", "d.png,cat,test"]
SPLITS = ["train", "train", "train", "test"]


def entries(source, columns=Columns(), root=None, require_labels=True):
    return read(source, columns, root=root, require_labels=require_labels)


# ---- Form of the file ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_encodings_and_line_ends(write_csv, separator, encoding, end):
    text = end.join(line.replace(",", separator) for line in LINES)
    found = entries(write_csv(text.encode(encoding)))
    assert found.names == ["a.png", "b.png", "c.png", "d.png"]
    assert found.labels == ["cat", "dog", "", "cat"] and found.splits == SPLITS and found.rows == [1, 2, 3, 4]
    assert found.notes == []


def test_other_encodings_are_read_and_noted(write_csv):
    found = entries(write_csv(["path,label", "a.png,Käse", "b.png,Brot"], encoding="latin-1"))
    assert found.labels == ["Käse", "Brot"]
    assert len(found.notes) == 1 and "not UTF-8" in found.notes[0] and "cp1252" in found.notes[0]


def test_quotes_spaces_and_blank_lines(write_csv):
    lines = ['"path" , "label"'.replace(" ,", ","), "", ' "my, cat.png",  cat ', "", '"say ""hi"".png",dog', " , ", ""]
    found = entries(write_csv(lines))
    assert found.names == ["my, cat.png", 'say "hi".png'] and found.labels == ["cat", "dog"]
    assert found.rows == [2, 4]  # as the lines are numbered in an editor


def test_words_for_nothing_are_text(write_csv):
    labels = ["NA", "nan", "None", "null", "", "  "]
    found = entries(write_csv(["path,label", *(f"{i}.png,{label}" for i, label in enumerate(labels))]))
    assert found.labels == ["NA", "nan", "None", "null", "", ""]


def test_missing_cells_at_the_end_are_blank(write_csv):
    found = entries(write_csv(["path,label,note", "a.png", "b.png,cat,,,"]))
    assert found.labels == ["", "cat"]


@pytest.mark.parametrize(("content", "message"), [
    (b"", "is empty"),
    (b"\n \n", "is empty"),
    (b"path,label\n", r"header \(path, label\) and no rows"),
    (b"path,label\n\n , \n", "no rows"),
    (b'"",""\n , \n', "blank cells only"),
    (b'path,label\n"a\nb.png",cat,dog\n', "row 1: 3 cells"),
    (b"path,label\na,b.png,cat\n",
     r"row 1: 3 cells, but the header has 2 columns \(path, label\), separated by commas"),
    (b'path,label\n"a.png,cat\n', r"line 2: .*quote"),
    (b"\x89PNG\r\n\x1a\n...", "is an image"),
    (b"\xff\xd8\xff\xe0...", "is an image"),
    (b"PK\x03\x04....", "Excel"),
    (b"path,label\n\0\0\0", "binary"),
    (b"\xff\xfea", "UTF-16"),
    (b"image,label\na.png,cat\n", r"no column 'path'; its columns are image, label\. .*--path-column"),
    (b"path,class\na.png,cat\n", r"no column 'label'; its columns are path, class\. .*--label-column"),
    (b"a.png,cat\nb.png,dog\n", "first line must be a header"),
    (b"path,path,label\na.png,b.png,cat\n", "2 columns 'path'"),
    (b"path,label,split\na.png,cat,\n", r"row 1, column 'split': the split is blank"),
    (b"path,label,split\na.png,cat,Train\nb.png,cat,trian\n", r"row 2, column 'split': 'trian' is not .*'train'\?"),
])
def test_one_clear_sentence_for_each_fault(write_csv, content, message):
    source = write_csv(content)
    with pytest.raises(TableError, match=message) as caught:
        entries(source)
    assert source in str(caught.value) and "\n" not in str(caught.value)


def test_sources_that_are_no_files(tmp_path, write_csv):
    write_csv(LINES, "photos.csv")
    with pytest.raises(TableError, match=r"does not exist.*Did you mean 'photos\.csv'"):
        read_table(tmp_path / "photo.csv")
    (tmp_path / "empty.csv").mkdir()
    with pytest.raises(TableError, match="no image in a class folder"):
        read_table(tmp_path / "empty.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(TableError, match="not an ordinary file"):
        read_table(tmp_path / "pipe.csv")
    for name in ("a\0b.csv", "a\ud800.csv", "x" * 5000, f"{tmp_path}/photos.csv/inner.csv"):
        with pytest.raises(TableError):
            read_table(name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(write_csv):
    source = write_csv(LINES)
    os.chmod(source, 0)
    with pytest.raises(TableError, match="permission"):
        read_table(source)


# ---- Columns ---------------------------------------------------------------------------------------------------------


def test_columns_by_other_names_and_capitals(write_csv):
    source = write_csv(["ID,Image,breed,fold,patient", "7,a.png,pug,DEV,p1"])
    found = entries(source, Columns("image", "breed", "fold", "patient"))
    assert (found.names, found.labels, found.splits, found.groups) == (["a.png"], ["pug"], ["validation"], ["p1"])
    assert found.label_column == "breed"


def test_optional_columns_are_required_once_they_are_named(write_csv):
    source = write_csv(["path,label", "a.png,cat"])
    assert entries(source).splits is None and entries(source).groups is None
    with pytest.raises(TableError, match="no column 'fold'.*--split-column"):
        entries(source, Columns(split="fold"))


def test_columns_can_be_left_alone(write_csv):
    found = entries(write_csv(LINES), Columns(label=None, split=None))
    assert found.labels == [""] * 4 and found.splits is None


def test_labels_and_splits_may_be_missing_for_prediction(write_csv):
    found = entries(write_csv(["path,split", "a.png,", "b.png,train"]), require_labels=False)
    assert found.labels == ["", ""] and found.splits == ["test", "train"]


@pytest.mark.parametrize(("word", "split"), [
    ("train", "train"), ("Training", "train"), ("VALIDATION", "validation"), ("val", "validation"),
    ("valid", "validation"), ("dev", "validation"), (" Test ", "test"), ("testing", "test")])
def test_words_for_splits(write_csv, word, split):
    assert entries(write_csv(["path,label,split", f"a.png,cat,{word}"])).splits == [split]


# ---- Paths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("written", "on_disk"), [
    ("sub/a.png", "sub/a.png"),
    ("./sub/../sub/a.png", "sub/a.png"),
    ("sub\\a.png", "sub/a.png"),
    ("with space.png", "with space.png"),
    (unicodedata.normalize("NFC", "é.png"), unicodedata.normalize("NFD", "é.png")),
    (unicodedata.normalize("NFD", "é.png"), unicodedata.normalize("NFC", "é.png")),
    ("日本\\é.png", "日本/" + unicodedata.normalize("NFD", "é.png")),
])
def test_paths_as_people_write_them(tmp_path, write_csv, pictures, written, on_disk):
    pictures(on_disk)
    found = entries(write_csv(["path,label", f"{written},cat"]))
    assert found.inputs == [str(tmp_path / on_disk)] and found.names == [written]


def test_absolute_home_and_file_paths(tmp_path, write_csv, monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    lines = ["path,label", f"{tmp_path}/a.png,cat", "~/b.png,cat", "file:///x/y%20z.png,cat", "https://x.org/a.png,cat"]
    found = entries(write_csv(lines))
    assert found.inputs == [f"{tmp_path}/a.png", "/home/someone/b.png", "/x/y z.png", "https://x.org/a.png"]


def test_relative_paths_start_at_the_file_or_at_the_root(tmp_path, write_csv, monkeypatch):
    source = write_csv(["path,label", "a.png,cat"])
    monkeypatch.chdir("/")
    assert entries(source).inputs == [str(tmp_path / "a.png")]
    assert entries(source, root=tmp_path / "other").inputs == [str(tmp_path / "other" / "a.png")]
    monkeypatch.chdir(tmp_path)
    assert entries("photos.csv").inputs == [str(tmp_path / "a.png")]
