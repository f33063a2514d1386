"""Images in .npz files."""

import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from toolkit.tables import TableError, read_table

DIGITS = load_digits()
X = (DIGITS.images * 15.9).astype(np.uint8)
Y = DIGITS.target


@pytest.fixture
def save(tmp_path):
    def to_file(name="digits.npz", **arrays):
        np.savez(tmp_path / name, **arrays)
        return str(tmp_path / name)

    return to_file


def parts(**changes):
    arrays = {"x_train": X[:100], "y_train": Y[:100], "x_test": X[100:150], "y_test": Y[100:150]}
    return {name: values for name, values in {**arrays, **changes}.items() if values is not None}


def refusal(source, **options):
    with pytest.raises(TableError) as caught:
        read_table(source, **options)
    assert "\n" not in str(caught.value) and source in str(caught.value)
    return str(caught.value)


def assert_the_digits(table, count=150):
    """Every row shows the image and carries the label that its name says."""
    order = np.argsort(table.rows)
    assert np.array_equal(table.array[table.inputs[order]], X[:count])
    assert [table.class_names[label] for label in table.labels[order]] == [str(label) for label in Y[:count]]
    assert table.rows[order].tolist() == list(range(1, count + 1))


# ---- What is read ----------------------------------------------------------------------------------------------------


def test_layout_of_keras(save):
    table = read_table(save(**parts()))
    assert_the_digits(table)
    assert table.class_names == tuple("0123456789") and table.channels == 1 and table.array.dtype == np.uint8
    assert table.names[table.rows == 18] == "x_train[17]" and table.names[table.rows == 101] == "x_test[0]"
    assert set(table.splits[table.rows > 100]) == {"test"} and (table.sizes == 8).all()
    position = table.inputs[0]
    assert table.checksums[0] == hashlib.sha256(b"(8, 8)" + X[position].tobytes()).hexdigest()
    assert (np.sort(table.checksums) == table.checksums).all()


@pytest.mark.parametrize("name", ["x_val", "x_valid", "x_validation"])
def test_validation(save, name):
    table = read_table(save(**parts(), **{name: X[150:160], name.replace("x", "y", 1): Y[150:160]}))
    assert len(table.labelled("validation")) == 10 and set(table.names[table.in_split("validation")]) == {
        f"{name}[{i}]" for i in range(10)}
    assert (np.sort(table.rows[table.in_split("validation")]) == np.arange(101, 111)).all()  # train, validation, test


def test_layout_of_medmnist(save):
    arrays = {f"{split}_{what}": values[start:stop, None] if what == "labels" else values[start:stop]
              for split, start, stop in (("train", 0, 80), ("val", 80, 100), ("test", 100, 150))
              for what, values in (("images", X), ("labels", Y))}
    assert_the_digits(read_table(save(**arrays)))


def test_one_array_without_splits(save):
    table = read_table(save(x=X[:150], y=Y[:150]))
    assert_the_digits(table)
    assert 28 <= len(table.in_split("test")) <= 34


@pytest.mark.parametrize("labels", [
    Y.astype(np.uint8), Y.astype(float), Y[:, None], Y.astype(str), Y.astype(bytes), Y.astype(np.int64)])
def test_labels_of_any_type(save, labels):
    assert_the_digits(read_table(save(**parts(y_train=labels[:100], y_test=labels[100:150]))))


@pytest.mark.parametrize("images", [
    X[..., None], X.astype(np.int64), X.astype(np.uint16), X.astype(np.float32), X.astype(float) / 255,
    X.astype(np.float32) / 255, X.astype(np.float32) * np.float32(1 / 255)])
def test_images_of_any_type_exactly(save, images):
    assert_the_digits(read_table(save(**parts(x_train=images[:100], x_test=images[100:150]))))


def test_black_and_white(save):
    table = read_table(save(**parts(x_train=X[:100] > 99, x_test=X[100:150] > 99)))
    assert set(np.unique(table.array)) == {0, 255}


def test_colour_and_grey_in_three_channels(save):
    grey = np.repeat(X[..., None], 3, axis=-1)
    assert read_table(save(**parts(x_train=grey[:100], x_test=grey[100:150]))).channels == 1
    colour = grey.copy()
    colour[120, 0, 0] = 1, 2, 3
    table = read_table(save(**parts(x_train=colour[:100], x_test=colour[100:150])))
    assert table.channels == 3 and table.array.shape == (150, 8, 8, 3)


def test_unlabelled_images(save):
    some = np.where(np.arange(100) < 60, Y[:100], -1)
    table = read_table(save(**parts(y_train=some), x_unlabelled=X[150:170]))
    assert len(table.unlabelled()) == 60 and set(table.splits[table.rows > 150]) == {"train"}
    assert len(read_table(save(**parts(y_train=np.where(some < 0, np.nan, some)))).unlabelled()) == 40
    texts = np.where(some < 0, "", Y[:100].astype(str))
    assert len(read_table(save(**parts(y_train=texts))).unlabelled()) == 40
    assert len(read_table(save(**parts(y_test=None))).labelled("test")) == 0


def test_equal_images_across_splits_are_noted(save):
    tested = [*range(100, 150), 3]
    notes = read_table(save(**parts(x_test=X[tested], y_test=Y[tested]))).notes
    assert any("Leak: 1 validation or test row" in note and "x_train[3] and x_test[50]" in note for note in notes)


def test_other_arrays_are_noted(save):
    table = read_table(save(**parts(), mean=X.mean(axis=0)))
    assert any("the arrays mean are not used" in note for note in table.notes)


def test_compressed_files(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", **parts())
    (tmp_path / "a.npz").rename(tmp_path / "a.NPZ")
    assert_the_digits(read_table(tmp_path / "a.NPZ"))


# ---- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("changes", "message"), [
    ({"x_train": X[:100].reshape(100, 64)}, "shape (100, 64). Expected (n, height, width)"),
    ({"x_train": X[:100].reshape(100, 64)}, "x_train.reshape(-1, 8, 8)"),
    ({"x_train": X[:100, None]}, "np.moveaxis(x_train, 1, -1)"),
    ({"x_train": np.zeros((100, 8, 8, 4), np.uint8)}, "shape (100, 8, 8, 4)"),
    ({"x_test": X[100:150, :7]}, "x_test holds images of shape (7, 8), but x_train of (8, 8)"),
    ({"x_train": X[:100] / 255 - 0.5}, "x_train[0]: the pixels (from -0.5 to"),
    ({"x_train": X[:100] / 250.0}, "neither whole numbers from 0 to 255 nor such numbers divided by 255"),
    ({"x_train": X[:100].astype(int) * 3}, "x_train[0]: the pixels (from 0 to 7"),
    ({"x_train": np.where(np.arange(100)[:, None, None] == 7, np.nan, X[:100])}, "x_train[7]: the pixels"),
    ({"x_train": X[:100].astype(str)}, "x_train holds <U"),
    ({"y_train": Y[:99]}, "y_train has 99 labels, but x_train has 100 images"),
    ({"y_train": np.eye(10)[Y[:100]]}, "np.argmax(y_train, axis=1)"),
    ({"y_train": Y[:100] * 1j}, "y_train holds complex128"),
    ({"y_train": Y[:100].astype(object)}, "y_train holds Python objects"),
    ({"x_train": None, "x_test": None}, "holds the arrays y_train, y_test. Expected x_train"),
    ({"x_val": X[:9], "x_valid": X[:9]}, "holds both x_val and x_valid"),
    ({"x": X[:9]}, "Expected x_train"),
    ({"x_test": None, "x_tset": X[100:150]}, "holds labels without images: y_test"),
    ({"x_train": np.zeros((0, 8, 8), np.uint8), "y_train": Y[:0], "x_test": None, "y_test": None}, "holds no image"),
    ({"y_test": Y[100:150] + 9}, "x_test[0]: label '13' is not among the training labels"),
    ({"y_train": np.ones(100)}, "at least two classes"),
])
def test_one_sentence_for_each_fault(save, changes, message):
    assert message in refusal(save(**parts(**changes)))


def test_damaged_files(save, tmp_path):
    source = save(**parts())
    whole = Path(source).read_bytes()
    for damaged in (b"", b"PK", whole[:300], whole[: len(whole) // 2], whole[:-30], whole.replace(b"NUMPY", b"NUMPX")):
        (tmp_path / "broken.npz").write_bytes(damaged)
        refusal(str(tmp_path / "broken.npz"))
    np.save(tmp_path / "single.npy", X)
    (tmp_path / "single.npy").rename(tmp_path / "single.npz")
    refusal(str(tmp_path / "single.npz"))


def test_a_promise_of_too_many_pixels_is_refused_by_the_header(tmp_path):
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (100000000, 1000, 1000), }"
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as file:
        file.writestr("x_train.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(1000))
    assert "GiB of memory" in refusal(str(tmp_path / "bomb.npz"))


def test_nothing_in_a_file_is_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "trapped"), "w"))

    np.savez(tmp_path / "trap.npz", x_train=np.array([Trap(), Trap()], object), y_train=[0, 1])
    refusal(str(tmp_path / "trap.npz"))
    assert not (tmp_path / "trapped").exists()


@pytest.mark.skipif("TOOLKIT_DATA" not in os.environ, reason="needs $TOOLKIT_DATA")
def test_mnist():
    table = read_table(os.path.join(os.environ["TOOLKIT_DATA"], "mnist.npz"))
    assert len(table) == 70_000 and table.channels == 1 and len(table.in_split("test")) == 10_000
    assert len(table.in_split("validation")) == 6_000
