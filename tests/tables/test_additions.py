"""Images of other sources among the unlabelled rows: which join, what they leave as it was, where they are written."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toolkit.evaluation import report
from toolkit.tables import Table, TableError, read_table

from .conftest import picture

ROWS = ["cat,train", "dog,train", "cat,train", "dog,test", "cat,validation", ",train"]


@pytest.fixture
def source(make_table: Callable[..., str]) -> str:
    return make_table(ROWS)


@pytest.fixture
def more(tmp_path: Path) -> Path:
    """A folder with four new images, one of them nested, a training image, a test image, and a file that is none."""
    folder = tmp_path / "more"
    (folder / "deep" / "er").mkdir(parents=True)
    for number in (20, 21, 22):
        picture(number).save(folder / f"{number}.png")
    picture(23).save(folder / "deep" / "er" / "23.png")
    picture(0).save(folder / "training.png")
    picture(3).save(folder / "test.png")
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def own(table: Table) -> Table:
    return table.select(np.flatnonzero(table.origins == ""))


def test_images_of_a_folder_join_the_unlabelled_rows(source: str, more: Path) -> None:
    table, alone = read_table(source, unlabelled=[more]), read_table(source)
    added = table.select(np.flatnonzero(table.origins != ""))
    assert set(added.names) == {"20.png", "21.png", "22.png", "deep/er/23.png", "test.png"}  # not the training image
    assert set(added.labels) == {-1} and set(added.splits) == {"train"} and set(added.origins) == {str(more)}
    assert f"5 images of {more} joined the unlabelled rows, without 1 copy of training images." in table.notes
    assert own(table).fingerprint == alone.fingerprint != table.fingerprint
    assert sorted(table.checksums) == list(table.checksums)
    assert [(row.input, row.origin) for row in table.rejected] == [("broken.png", str(more))]


def test_labels_and_splits_of_the_other_source_have_no_say(source: str, tmp_path: Path) -> None:
    for number in (30, 31):
        picture(number).save(tmp_path / f"{number}.png")
    (tmp_path / "other.csv").write_text("path,label,split\n30.png,horse,test\n31.png,cat,nonsense\n")
    table = read_table(source, unlabelled=tmp_path / "other.csv")
    added = table.origins != ""
    assert added.sum() == 2 and set(table.labels[added]) == {-1} and set(table.splits[added]) == {"train"}
    assert sorted(table.rows[added]) == [1, 2] and table.class_names == ("cat", "dog")


def test_splits_are_chosen_without_the_added_images(make_table: Callable[..., str], more: Path) -> None:
    source = make_table([["cat", "dog"][i % 2] for i in range(20)], header="path,label")
    table, alone = read_table(source, unlabelled=[more]), read_table(source)
    assert own(table).split_fingerprint == alone.split_fingerprint


def test_the_order_of_files_and_sources_changes_nothing(source: str, more: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(more, other)
    picture(40).save(other / "40.png")
    one, two = (read_table(source, unlabelled=named) for named in ([more, other], [other, more]))
    assert one.fingerprint == two.fingerprint and (one.origins != "").sum() == 6
    assert one.arguments["unlabelled"] == [str(more), str(other)]
    assert read_table(**one.arguments).fingerprint == one.fingerprint


def test_they_are_no_rows_of_the_run(source: str, more: Path, tmp_path: Path) -> None:
    table = read_table(source, unlabelled=[more])
    shares = np.full((len(table), 2), 0.5)
    result = report.build(table, shares, recipe="x", training={}, baselines={}, control=None)
    report.write(tmp_path / "run", table, shares, result, params={}, history=[])
    lines = {name: list(csv.DictReader((tmp_path / "run" / f"{name}.csv").read_text().splitlines()))
             for name in ("predictions", "splits", "rejected")}
    assert [line["row"] for line in lines["predictions"]] == [line["row"] for line in lines["splits"]] == list("123456")
    assert [(line["input"], line["source"]) for line in lines["rejected"]] == [("broken.png", str(more))]


@pytest.mark.parametrize("colours", [False, True])
def test_arrays_join_arrays_of_their_shape(colours: bool, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 5, 5, 3)[:4 if colours else 3], np.uint8)
    np.savez(tmp_path / "own.npz", x_train=images[:4], y_train=[0, 1, 0, 1], x_test=images[4:6], y_test=[0, 1])
    np.savez(tmp_path / "more.npz", x_train=images[4:], y_train=np.zeros(8, int))
    table = read_table(tmp_path / "own.npz", unlabelled=[tmp_path / "more.npz"])
    added = np.flatnonzero(table.origins != "")
    assert len(added) == 8 and table.array.shape[0] == 14
    for row in added:
        np.testing.assert_array_equal(table.array[table.inputs[row]], images[4 + table.rows[row] - 1])
    assert np.isin(table.checksums[added], table.checksums[table.splits == "test"]).sum() == 2


def test_arrays_beside_files_become_files(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "cache"))
    images = np.random.default_rng(0).integers(0, 256, (3, 9, 7), np.uint8)
    np.savez(tmp_path / "more.npz", x=images)
    table = read_table(source, unlabelled=[tmp_path / "more.npz"])
    added = np.flatnonzero(table.origins != "")
    assert table.array is None and set(table.names[added]) == {"x[0]", "x[1]", "x[2]"}
    for row in added:
        np.testing.assert_array_equal(np.asarray(Image.open(table.inputs[row])), images[table.rows[row] - 1])
    assert read_table(source, unlabelled=[tmp_path / "more.npz"]).fingerprint == table.fingerprint


def test_a_source_that_cannot_be_used_is_refused(source: str, more: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for named, words in ((tmp_path / "gone.csv", "does not exist"), (tmp_path / "empty", "holds no image")):
        with pytest.raises(TableError, match=words):
            read_table(source, unlabelled=[named])
    with pytest.raises(TableError, match="broken.png cannot be used"):
        read_table(source, unlabelled=[more], on_bad_image="fail")
