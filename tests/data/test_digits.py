"""data/digits: the table of the demo and the TFDS set made of the same rows."""

import csv
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

DIGITS = Path(__file__).resolve().parents[2] / "data" / "digits"
FEW = ["--num-labelled-per-class", "3", "--num-unlabelled", "20", "--num-test", "40"]


@pytest.fixture(scope="module")
def prepare() -> ModuleType:
    """data/digits/prepare.py, imported as Python does when it runs it: from its own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DIGITS)
        patch.delitem(sys.modules, "prepare", raising=False)
        module = import_module("prepare")
        patch.delitem(sys.modules, "prepare")
        yield module


@pytest.fixture(scope="module")
def digits(prepare: ModuleType) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels of the source, whose checksum has been verified."""
    return prepare.load_digits()


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def select(prepare: ModuleType, digits: tuple, labelled: int, unlabelled: int, test: int, seed: int = 0) -> list:
    counts = {"num_labelled_per_class": labelled, "num_unlabelled": unlabelled, "num_test": test}
    return prepare.select_rows(digits[1], **counts, seed=seed)


def test_source_is_500_digits_of_each_class(digits):
    pixels, labels = digits
    assert pixels.shape == (5000, 28, 28) and pixels.dtype == np.uint8
    assert np.bincount(labels).tolist() == [500] * 10


def test_readme_names_the_checksum_of_the_source(prepare):
    assert prepare.SHA256 in (DIGITS / "README.md").read_text(encoding="utf-8")


def test_other_digits_are_refused(prepare, monkeypatch):
    monkeypatch.setattr(prepare, "SHA256", "0" * 64)
    with pytest.raises(SystemExit, match="other digits"):
        prepare.load_digits()


def test_table_has_the_rows_asked_for_and_the_pixels_of_the_source(prepare, digits, tmp_path, capsys):
    prepare.main([*FEW, "--output", str(tmp_path)])
    assert "30 labelled and 20 unlabelled training rows, 40 test rows" in capsys.readouterr().out
    rows = read(tmp_path / "digits.csv")
    labelled = [row["label"] for row in rows if row["split"] == "train" and row["label"]]
    tested = [row["label"] for row in rows if row["split"] == "test"]
    assert sorted(labelled) == sorted("0123456789" * 3) and sorted(tested) == sorted("0123456789" * 4)
    assert len(rows) == len({row["path"] for row in rows}) == 90
    pixels, labels = digits
    for row in rows:
        number = int(Path(row["path"]).stem)
        with Image.open(tmp_path / row["path"]) as image:
            assert image.mode == "L" and (np.asarray(image) == pixels[number]).all()
        assert row["label"] in ("", str(labels[number]))


def test_second_run_writes_nothing_and_other_rows_replace_only_the_table(prepare, digits, tmp_path):
    pixels, labels = digits[0][::50], digits[1][::50]

    def written(seed: int) -> dict[Path, int]:
        prepare.write_table(tmp_path, pixels, select(prepare, (pixels, labels), 3, 20, 40, seed))
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}

    first = written(seed=0)
    assert len(first) == 101 and written(seed=0) == first
    other = written(seed=1)
    assert other.keys() == first.keys()
    assert [path.name for path in first if other[path] != first[path]] == ["digits.csv"]


def test_more_training_rows_never_move_a_test_row(prepare, digits):
    few, many = select(prepare, digits, 1, 0, 50), select(prepare, digits, 10, 2000, 500)
    tested = {row.number for row in many if row.split == "test"}
    assert {row.number for row in few if row.split == "test"} < tested
    assert not tested & {row.number for row in many if row.split == "train"}


def test_more_rows_than_digits_are_refused(prepare, digits):
    assert len(select(prepare, digits, 100, 3000, 1000)) == 5000
    with pytest.raises(SystemExit, match="5,001 rows are asked for"):
        select(prepare, digits, 100, 3001, 1000)


def test_negative_count_is_a_usage_error(prepare, capsys):
    with pytest.raises(SystemExit):
        prepare.parse_arguments(["--num-test", "-1"])
    assert "-1 is negative" in capsys.readouterr().err


def test_tfds_set_is_read_like_the_table(prepare, digits, tmp_path):
    """A real TFDS set on disk, read as a user does: from its files alone, by a process that never saw the builder."""
    import tensorflow_datasets as tfds

    from toolkit.tables import read_table

    with tfds.core.registered.skip_registration():
        prepare.write_tfds(tmp_path, digits[0], select(prepare, digits, 1, 0, 10))
        prepare.main([*FEW, "--tfds", str(tmp_path)])  # replaces the first
    table = read_table("tfds:digits", root=tmp_path)
    expected = select(prepare, digits, 3, 20, 40)
    assert table.class_names == tuple("0123456789") and table.channels == 1
    rows = zip(table.inputs, table.labels, table.splits, strict=True)
    found = {(table.array[i].tobytes(), label, split) for i, label, split in rows}
    assert found == {(digits[0][row.number].tobytes(), row.label, row.split) for row in expected}
    assert len(table) == len(expected) and not table.rejected
