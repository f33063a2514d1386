"""Sets of TensorFlow Datasets, really prepared on disk, with real digits and pictures of several sizes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sklearn
import tensorflow_datasets as tfds
from PIL import Image
from sklearn.datasets import load_digits

from toolkit.tables import TableError, read_table

DIGITS = load_digits()
X = (DIGITS.images * 15.9).astype(np.uint8)[..., None]
Y = DIGITS.target
PHOTOGRAPH = Path(sklearn.__file__).parent / "datasets" / "images" / "china.jpg"


def prepared(data_dir, name, features, examples, config=None, keys=("image", "label"), version="1.0.0"):
    """Prepares a set from examples {split: [dict, ...]}, by a builder that is gone afterwards."""

    class Builder(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version(version)
        BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=config)] if config else []

        def _info(self):
            dictionary = tfds.features.FeaturesDict(features)
            return tfds.core.DatasetInfo(builder=self, features=dictionary, supervised_keys=keys)

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(rows) for split, rows in examples.items()}

        def _generate_examples(self, rows):
            yield from enumerate(rows)

    Builder.name = name
    builder = Builder(data_dir=data_dir)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Folder with the sets mini_digits, photographs (two configurations), boxes and texts."""
    tfds.disable_progress_bar()
    folder = tmp_path_factory.mktemp("tfds")
    with tfds.core.registered.skip_registration():
        digit = {"image": tfds.features.Image(shape=(8, 8, 1)), "label": tfds.features.ClassLabel(num_classes=10)}
        rows = [{"image": X[i], "label": int(Y[i])} for i in range(60)]
        examples = {"train": rows[:40], "test": rows[40:50], "unlabelled": rows[50:55], "extra": rows[55:]}
        prepared(folder, "mini_digits", digit, examples)
        prepared(folder, "mini_digits", digit, {"train": rows[:30]}, version="0.9.0")
        picture = {"id": tfds.features.Text(), "image": tfds.features.Image(),
                   "label": tfds.features.ClassLabel(names=["b", "a"])}
        with Image.open(PHOTOGRAPH) as photograph:
            sizes = [np.asarray(photograph.resize((30 + i, 20))) for i in range(6)]
        rows = [{"id": "x", "image": sizes[i], "label": (0, 1, -1)[i % 3]} for i in range(6)]
        for config in ("plain", "other"):
            prepared(folder, "photographs", picture, {"train": rows, "validation": rows[:2]}, config, None)
        prepared(folder, "texts", {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(num_classes=2)},
                 {"train": [{"text": "x", "label": 0}]}, keys=None)
    return folder


def refusal(source, data_dir):
    with pytest.raises(TableError) as caught:
        read_table(source, root=data_dir)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_images_of_one_size_become_an_array(data_dir):
    table = read_table("tfds:mini_digits", root=data_dir)
    assert table.array.shape == (55, 8, 8) and table.channels == 1 and table.class_names == tuple("0123456789")
    assert sorted(table.names[table.in_split("test")]) == sorted(f"test[{i}]" for i in range(10))
    assert len(table.unlabelled()) == 5 and any("left out the splits extra" in note for note in table.notes)
    expected = {(X[i].tobytes(), int(Y[i]) if i < 50 else -1) for i in range(55)}
    assert {(table.array[i].tobytes(), label) for i, label in zip(table.inputs, table.labels)} == expected
    assert read_table("tfds:mini_digits", root=data_dir).fingerprint == table.fingerprint


def test_the_newest_version_unless_one_is_named(data_dir):
    assert len(read_table("tfds:mini_digits:0.9.0", root=data_dir)) == 30
    assert "version 2.0.0 is not in" in refusal("tfds:mini_digits:2.0.0", data_dir)


def test_images_of_many_sizes_become_files_once(data_dir):
    table = read_table("tfds:photographs/plain", root=data_dir)
    assert table.array is None and len(table) == 8 and len(table.unlabelled()) == 2
    assert table.class_names == ("a", "b") and set(table.sizes[:, 1]) == set(range(30, 36))
    assert all(path.startswith(os.environ["TOOLKIT_CACHE"]) for path in table.inputs) and (table.decoders == 1).all()
    times = [os.stat(path).st_mtime_ns for path in table.inputs]
    again = read_table("tfds:photographs/plain", root=data_dir)
    assert again.fingerprint == table.fingerprint and [os.stat(path).st_mtime_ns for path in again.inputs] == times
    assert any("Leak: 2 validation or test rows" in note for note in table.notes)


def test_what_cannot_be_read(data_dir):
    assert refusal("tfds:photographs", data_dir) == (
        "tfds:photographs has the configurations other, plain. Choose one: tfds:photographs/other.")
    assert "features label (ClassLabel), text (Text). Expected one Image" in refusal("tfds:texts", data_dir)
    assert "is not the name of a set" in refusal("tfds:../x", data_dir)
    missing = refusal("tfds:mnist", data_dir)
    assert "not prepared" in missing and "tfds.load('mnist'" in missing and "--root" in missing
    (data_dir / "damaged" / "1.0.0").mkdir(parents=True)
    (data_dir / "damaged" / "1.0.0" / "dataset_info.json").write_text("{}")
    assert "tfds:damaged" in refusal("tfds:damaged", data_dir)


@pytest.mark.slow
def test_a_set_is_read_without_its_code_by_a_fresh_process(data_dir):
    code = ("import sys; from toolkit.tables import read_table; table = read_table('tfds:mini_digits', "
            "root=sys.argv[1]);print(len(table), table.fingerprint)")
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-W", "error", "-c", code, data_dir]
    found = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    assert found.stdout.split() == ["55", read_table("tfds:mini_digits", root=data_dir).fingerprint]
