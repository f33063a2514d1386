"""Folders of class folders, folders of images, images named one by one."""

import os

import pytest

from toolkit.tables import TableError, folders, read_table
from toolkit.tables.paths import is_image_name


def entries(path, class_names=None, require_labels=True):
    return folders.read(str(path), class_names=class_names, require_labels=require_labels)


def test_class_folders(tmp_path, pictures):
    pictures("dog/2.png", "cat/1.jpg", "dog/deep/er/3.PNG", "unlabelled/4.png", "Unlabeled/5.png")
    found = entries(tmp_path)
    assert found.names == ["Unlabeled/5.png", "cat/1.jpg", "dog/2.png", "dog/deep/er/3.PNG", "unlabelled/4.png"]
    assert found.labels == ["", "cat", "dog", "dog", ""] and found.splits is None and found.notes == []
    assert found.inputs == [str(tmp_path / name) for name in found.names] and found.rows == [1, 2, 3, 4, 5]


def test_split_folders(tmp_path, pictures):
    pictures("train/cat/1.png", "train/dog/2.png", "train/unlabelled/3.png", "Val/cat/4.png", "test/dog/5.png")
    found = dict(zip(entries(tmp_path).names, zip(entries(tmp_path).labels, entries(tmp_path).splits)))
    assert found == {"train/cat/1.png": ("cat", "train"), "train/dog/2.png": ("dog", "train"),
                     "train/unlabelled/3.png": ("", "train"), "Val/cat/4.png": ("cat", "validation"),
                     "test/dog/5.png": ("dog", "test")}


def test_a_folder_beside_the_splits_makes_them_classes(tmp_path, pictures):
    pictures("train/1.png", "bus/2.png")
    assert entries(tmp_path).labels == ["bus", "train"]  # vehicles, say


def test_unlabelled_images_beside_the_splits(tmp_path, pictures):
    pictures("train/cat/1.png", "train/dog/2.png", "test/dog/3.png", "unlabeled/4.png", "unlabeled/deep/5.png")
    found = dict(zip(entries(tmp_path).names, zip(entries(tmp_path).labels, entries(tmp_path).splits)))
    assert found == {"train/cat/1.png": ("cat", "train"), "train/dog/2.png": ("dog", "train"),
                     "test/dog/3.png": ("dog", "test"), "unlabeled/4.png": ("", "train"),
                     "unlabeled/deep/5.png": ("", "train")}


def test_splits_beside_other_folders_are_refused(tmp_path, pictures):
    pictures("train/cat/1.png", "test/dog/3.png", "extra/4.png")
    with pytest.raises(TableError, match="holds test, train, as a folder of splits does, and extra beside them"):
        entries(tmp_path)
    assert len(entries(tmp_path, require_labels=False).names) == 3  # nothing is learnt from them


def test_what_is_left_out_is_noted_unless_it_is_hidden(tmp_path, pictures):
    pictures("cat/1.png", "dog/2.png", "cat/.hidden.png", ".git/3.png", "__MACOSX/4.png", "loose.png")
    for name in ("cat/Thumbs.db", "cat/.DS_Store", "cat/notes.txt", "dog/labels.json", "dog/noending"):
        (tmp_path / name).write_text("x")
    (tmp_path / "emu").mkdir()
    found = entries(tmp_path)
    assert found.names == ["cat/1.png", "dog/2.png"]
    assert [note.split(" in ")[0].split(" of ")[0] for note in found.notes] == ["1 class folder", "1 image", "3 files"]
    assert "emu" in found.notes[0]


def test_images_of_any_common_ending_are_rows():
    assert all(is_image_name(f"a{ending}") for ending in (".jpg", ".JPEG", ".heic", ".svg", ".tif", ".webp"))
    assert not any(is_image_name(name) for name in ("a.txt", "a", "a.mp4", "jpg"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
def test_a_folder_that_cannot_be_listed(tmp_path, pictures):
    pictures("cat/1.png", "dog/2.png", "dog/deep/3.png")
    os.chmod(tmp_path / "dog" / "deep", 0)
    assert any("could not be listed" in note for note in entries(tmp_path).notes)
    os.chmod(tmp_path / "dog" / "deep", 0o700)


def test_links_that_lead_back_do_not_hang(tmp_path, pictures):
    pictures("cat/1.png", "dog/2.png")
    os.symlink(tmp_path, tmp_path / "cat" / "loop")
    assert entries(tmp_path).names == ["cat/1.png", "dog/2.png"]


def test_no_class_folders(tmp_path, pictures):
    pictures("1.png", "2.png")
    with pytest.raises(TableError, match="only 2 images outside class folders"):
        read_table(tmp_path)
    with pytest.raises(TableError, match="holds no image"):
        (tmp_path / "empty").mkdir()
        read_table(tmp_path / "empty", require_labels=False)


def test_names_that_are_no_utf_8(tmp_path, pictures):
    pictures("caf\udce9/1.png", "dog/2\udcff.png")
    table = read_table(tmp_path)
    assert sorted(table.names) == ["caf\udce9/1.png", "dog/2\udcff.png"] and table.class_names == ("caf\\xe9", "dog")
    assert not table.rejected and all(os.path.exists(path) for path in table.inputs)


# ---- Prediction ------------------------------------------------------------------------------------------------------


def test_a_folder_of_images(tmp_path, pictures):
    pictures("1.png", "deep/2.png")
    table = read_table(tmp_path, require_labels=False, class_names=["cat", "dog"])
    assert sorted(table.names) == ["1.png", "deep/2.png"]
    assert set(table.labels) == {-1} and set(table.splits) == {"test"}


def test_class_folders_of_the_model(tmp_path, pictures):
    pictures("cat/1.png", "dog/2.png", "unlabelled/3.png")
    table = read_table(tmp_path, require_labels=False, class_names=["dog", "cat"])
    assert dict(zip(table.names, table.labels)) == {"cat/1.png": 1, "dog/2.png": 0, "unlabelled/3.png": -1}
    pictures("owl/4.png")
    with pytest.raises(TableError, match=r"owl/4\.png: label 'owl' is not among.*folder called unlabelled"):
        read_table(tmp_path, require_labels=False, class_names=["dog", "cat"])


def test_images_named_one_by_one(tmp_path, pictures, monkeypatch):
    pictures("a.png", "sub/b.png")
    monkeypatch.chdir(tmp_path)
    table = read_table(["a.png", tmp_path / "sub" / "b.png", "gone.png"], require_labels=False)
    assert sorted(table.inputs) == [str(tmp_path / "a.png"), str(tmp_path / "sub" / "b.png")]
    assert table.rejected[0].input == "gone.png" and table.rejected[0].row == 3 and table.rejected[0].split == "test"
    assert len(read_table("a.png", require_labels=False)) == 1
    assert len(read_table((name for name in ["a.png"]), require_labels=False)) == 1
    for source in (["a.png"], "a.png"):
        with pytest.raises(TableError, match="images without labels cannot be trained on"):
            read_table(source)
    with pytest.raises(TableError, match="No image was named"):
        read_table([], require_labels=False)
