"""The same image in several rows: refused, noted, kept together."""

import os
import shutil

import pytest

from toolkit.tables import TableError, read_table


@pytest.fixture
def read(pictures, write_csv):
    """Function from rows (with a header) to the table; pictures a.png to f.png exist."""
    pictures(*(f"{letter}.png" for letter in "abcdef"))

    def from_rows(rows, header="path,label,split"):
        return read_table(write_csv([header, *rows]))

    return from_rows


def about(table, word):
    return [note for note in table.notes if word in note]


def test_one_path_with_two_labels(read):
    with pytest.raises(TableError, match=r"photos\.csv: a\.png is labelled 'cat' in row 1 and 'dog' in row 4\. Keep"):
        read(["a.png,cat,train", "b.png,dog,train", "c.png,,train", "./x/../a.png,dog,train"])


def test_links_are_followed(read, tmp_path):
    os.symlink(tmp_path / "a.png", tmp_path / "link.png")
    with pytest.raises(TableError, match="row 1 and 'dog' in row 2"):
        read(["a.png,cat,train", "link.png,dog,train"])


def test_exact_duplicates_are_noted_and_kept(read):
    table = read(["a.png,cat,train", "b.png,dog,train", "a.png,cat,train", "a.png,cat,train"])
    assert len(table) == 4
    assert about(table, "repeat") == ["2 rows repeat the image of another row with the same label and split, byte for "
                                      "byte, so that the image counts twice (first: row 1 and row 3)."]


def test_labelled_and_blank(read):
    table = read(["a.png,cat,train", "b.png,dog,train", "a.png,,train"])
    assert about(table, "unlabelled one") == [
        "1 file is both in a labelled row and in an unlabelled one (first: row 1 and row 3)."]


def test_leaks_between_splits(read, tmp_path):
    shutil.copy(tmp_path / "a.png", tmp_path / "copy.png")
    table = read(["a.png,cat,train", "b.png,dog,train", "copy.png,cat,test", "b.png,dog,val", "c.png,dog,test"])
    assert about(table, "Leak") == ["Leak: 2 validation or test rows show an image that is also a training row, byte "
                                    "for byte, so that the scores are too good (first: row 1 and row 3)."]


def test_equal_images_with_different_labels(read, tmp_path):
    shutil.copy(tmp_path / "a.png", tmp_path / "copy.png")
    table = read(["a.png,cat,train", "b.png,dog,train", "copy.png,dog,train"])
    assert about(table, "byte for byte") == ["1 row has the same image, byte for byte, as a row with another label: "
                                             "one label must be wrong (first: row 1 and row 3)."]


def test_groups_that_cross_splits(read):
    header = "path,label,split,group"
    rows = ["a.png,cat,train,p", "b.png,dog,train,q", "c.png,cat,test,p", "d.png,dog,test,", "e.png,dog,train,"]
    table = read(rows, header)
    assert about(table, "group") == ["Leak: 1 group has rows in training and in another split: scores say little about "
                                     "new groups (first: row 1 and row 3)."]
    assert sorted(table.groups) == ["", "", "p", "p", "q"]


def test_copies_stay_together_in_a_chosen_split(read, tmp_path):
    rows = []
    for letter in "abcdef":
        for number in range(4):
            shutil.copy(tmp_path / f"{letter}.png", tmp_path / f"{letter}{number}.png")
            rows.append(f"{letter}{number}.png,{'cat' if letter < 'd' else 'dog'}")
    table = read(rows, "path,label")
    for checksum in set(table.checksums):
        assert len(set(table.splits[table.checksums == checksum])) == 1
    assert not about(table, "Leak") and len(table.in_split("test")) == 8
