"""From a source to a Table: every row accounted for, whatever the order, and what is asked of the images."""

import dataclasses
import random
import shutil
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from toolkit import ToolkitError
from toolkit.tables import TableError, read_table

ROWS = ["cat,train", "dog,train", ",train", "cat,test", "dog,val", ",test"]


@pytest.fixture
def table(make_table):
    return read_table(make_table(ROWS))


def by_name(table):
    return dict(zip(table.names, zip(table.rows.tolist(), table.labels.tolist(), table.splits)))


# ---- A table ---------------------------------------------------------------------------------------------------------


def test_rows_labels_and_splits(table, tmp_path):
    assert by_name(table) == {"0.png": (1, 0, "train"), "1.png": (2, 1, "train"), "2.png": (3, -1, "train"),
                              "3.png": (4, 0, "test"), "4.png": (5, 1, "validation"), "5.png": (6, -1, "test")}
    assert table.kind == "image" and table.class_names == ("cat", "dog")
    assert table.source == str(tmp_path / "photos.csv") and table.channels == 3
    assert table.groups is None and table.array is None and table.rejected == ()
    assert sorted(table.inputs) == [str(tmp_path / f"{i}.png") for i in range(6)]
    assert (table.sizes == 6).all() and (table.decoders == 1).all()
    assert (np.sort(table.checksums) == table.checksums).all()
    assert [str(values.dtype) for values in (table.labels, table.rows, table.sizes, table.decoders)] == [
        "int64", "int64", "int32", "uint8"]


def test_rows_of_a_table(table):
    names = [sorted(table.names[rows]) for rows in (table.labelled("train"), table.unlabelled(), table.in_split("test"),
                                                    table.labelled("test"))]
    assert names == [["0.png", "1.png"], ["2.png"], ["3.png", "5.png"], ["3.png"]]


def test_a_selection_of_rows(table):
    some = table.select(table.in_split("test")[::-1])
    assert len(some) == 2 and sorted(some.names) == ["3.png", "5.png"] and some.class_names == table.class_names
    assert len(table.select(np.array([], np.int64))) == 0


def test_a_table_cannot_be_changed(table):
    with pytest.raises(ValueError, match="read-only"):
        table.labels[0] = 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.source = "x"
    with pytest.raises(TableError, match="6 rows was given 5 names"):
        dataclasses.replace(table, names=table.names[:5])


def test_the_order_of_rows_changes_nothing(make_table, tmp_path, write_csv):
    rows = [f"{'cat' if i % 3 else 'dog'}," for i in range(60)]
    source = make_table(rows, "path,label,note")
    table = read_table(source)
    header, *lines = open_lines(source)
    for seed in range(3):
        random.Random(seed).shuffle(lines)
        other = read_table(write_csv([header, *lines], "shuffled.csv"))
        for name in ("names", "labels", "splits", "checksums"):
            assert (getattr(other, name) == getattr(table, name)).all()
        assert other.fingerprint == table.fingerprint and other.split_fingerprint == table.split_fingerprint
        assert [lines[row - 1].split(",")[0] for row in other.rows] == other.names.tolist()


def open_lines(path):
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def test_fingerprints(make_table):
    first = read_table(make_table(ROWS))
    moved = read_table(make_table(["cat,train", "dog,train", ",test", "cat,test", "dog,val", ",test"]))
    renamed = read_table(make_table([row.replace("cat", "owl") for row in ROWS]))
    assert len({first.fingerprint, moved.fingerprint, renamed.fingerprint}) == 3
    assert first.split_fingerprint == renamed.split_fingerprint != moved.split_fingerprint
    assert first.fingerprint == read_table(make_table(ROWS)).fingerprint


# ---- Bad images ------------------------------------------------------------------------------------------------------


def test_every_row_is_kept_or_rejected(make_table, tmp_path):
    source = make_table([*ROWS, "cat,train", "dog,train"])
    (tmp_path / "0.png").unlink()
    (tmp_path / "3.png").write_bytes(b"")
    (tmp_path / "5.png").write_text("text")
    table = read_table(source)
    assert [(row.row, row.input, row.split, row.label, row.reason) for row in table.rejected] == [
        (1, "0.png", "train", "cat", "missing"), (4, "3.png", "test", "cat", "empty"),
        (6, "5.png", "test", "", "not_an_image")]
    assert sorted([*table.rows, *(row.row for row in table.rejected)]) == list(range(1, 9))
    assert any(note.startswith("3 rows of 8 set aside (1 missing, 1 empty, 1 not an image). The first is row 1 "
                               "(0.png): there is no file") for note in table.notes)
    message = r"photos\.csv, row 1: 0\.png cannot be used: there is no file .*\(3 such rows in all"
    with pytest.raises(TableError, match=message):
        read_table(source, on_bad_image="fail")


def test_blank_paths_are_rows_too(write_csv, pictures):
    pictures("a.png", "b.png")
    table = read_table(write_csv(["path,label", "a.png,cat", ",dog", "b.png,dog"]))
    assert [(row.row, row.input, row.reason) for row in table.rejected] == [(2, "", "missing")]


def test_no_usable_image(make_table, tmp_path, monkeypatch):
    source = make_table(ROWS)
    (tmp_path / "images").mkdir()
    for number in range(6):
        shutil.move(tmp_path / f"{number}.png", tmp_path / "images")
    with pytest.raises(TableError, match=r"none of 6 images can be used \(6 missing\).* unless --root names another\."):
        read_table(source)
    monkeypatch.chdir(tmp_path / "images")
    with pytest.raises(TableError, match=r"--root \."):
        read_table(source)
    assert len(read_table(source, root=".")) == 6
    monkeypatch.chdir("/")
    empty = read_table(source, require_labels=False)
    assert len(empty) == 0 and len(empty.rejected) == 6 and empty.sizes.shape == (0, 2) and empty.class_names == ()


def test_bad_images_do_not_move_others_between_splits(make_table, tmp_path):
    """A declared split stays; rows are never replaced by others."""
    source = make_table(ROWS)
    whole = by_name(read_table(source))
    (tmp_path / "5.png").unlink()
    assert by_name(read_table(source)) == {name: row for name, row in whole.items() if name != "5.png"}


def test_channels(make_table, tmp_path):
    source = make_table(ROWS)
    for number in range(6):
        Image.new("L", (5 + number, 5), number).save(tmp_path / f"{number}.png")
    assert read_table(source).channels == 1
    Image.new("RGB", (5, 5), "red").save(tmp_path / "3.png")
    assert read_table(source).channels == 3


# ---- Options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "message"), [
    ({"kind": "sound"}, "kind 'sound'.*image, text, series"), ({"on_bad_image": "skip"}, "on_bad_image is 'skip'"),
    ({"unknown_labels": "keep"}, "unknown_labels is 'keep'"),
    ({"labels_per_class": 0}, "labels_per_class is 0"),
    ({"split_seed": -1}, "seeds"), ({"label_seed": -1}, "seeds"), ({"max_pixels": 0}, "max_pixels is 0"),
    ({"max_pixels": 10**10}, "max_pixels is 10,000,000,000")])
def test_options_are_checked_first(options, message):
    with pytest.raises(ToolkitError, match=message):
        read_table("no.csv", **options)


def test_a_limit_of_pixels(make_table, tmp_path):
    source = make_table(ROWS)
    Image.new("RGB", (9, 9)).save(tmp_path / "2.png")
    assert [row.reason for row in read_table(source, max_pixels=80).rejected] == ["too_large"]


def test_progress(make_table):
    steps = []
    read_table(make_table(ROWS), progress=lambda *step: steps.append(step))
    assert steps == [(i, 6) for i in range(1, 7)]


def test_prediction_needs_neither_labels_nor_splits(make_table):
    source = make_table(["", "", ""], "path,note")
    table = read_table(source, require_labels=False, class_names=["cat", "dog"])
    assert set(table.splits) == {"test"} and set(table.labels) == {-1} and table.class_names == ("cat", "dog")
    with pytest.raises(TableError, match="no column 'label'"):
        read_table(source)


def test_group_column(make_table):
    source = make_table([f"{'cat' if i % 2 else 'dog'},{'xyz'[i % 3]}" for i in range(30)], "path,label,group")
    table = read_table(source)
    for group in "xyz":
        assert len(set(table.splits[table.groups == group])) == 1
    assert len(table.in_split("test")) == 10
    assert read_table(source, group_column=None).groups is None


def test_few_labels(make_table):
    source = make_table([f"{'cat' if i % 2 else 'dog'},train" for i in range(30)])
    table = read_table(source, labels_per_class=3, label_seed=2)
    assert len(table.labelled("train")) == 6 and len(table.unlabelled()) == 24
    assert any("3 a class (label seed 2)" in note for note in table.notes)


def test_a_class_of_one_row_is_noted(make_table):
    table = read_table(make_table([*["cat,train"] * 5, "dog,train", "owl,train", "dog,test"]))
    assert "2 classes have a single labelled training row: dog, owl. Little can be learnt from it." in table.notes


def test_notes_are_sentences(make_table, tmp_path):
    source = make_table([*["cat,train"] * 5, "nan,train", "Cat,train", "dog,train", "dog,test", ",train"])
    shutil.copy(tmp_path / "7.png", tmp_path / "8.png")
    (tmp_path / "0.png").unlink()
    notes = read_table(source).notes
    assert len(notes) >= 5 and all(note[-1] == "." and "\n" not in note and "  " not in note for note in notes)


def test_a_table_is_small(make_table, tmp_path):
    """About 1 KB a row: 100,000 rows stay far below the budget of the program."""
    source = make_table([f"{'cat' if i % 2 else 'dog'},train" for i in range(400)])
    read_table(source)
    tracemalloc.start()
    table = read_table(source)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / len(table) < 2000
