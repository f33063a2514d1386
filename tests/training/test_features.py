"""Frozen features: each image once, found again by content, in the asked order."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from toolkit.models import backbones
from toolkit.tables import Table, read_table
from toolkit.training import features, loop


@pytest.fixture(scope="module")
def table(small_table: Path) -> Table:
    return read_table(small_table)


@pytest.fixture(scope="module")
def backbone():
    return backbones.build("small_cnn", "none", 16, filters=(4, 8))


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each call of the network saw."""
    seen, real = [], loop.predict

    def counting(model, batches, progress=None):
        result = real(model, batches, progress)
        seen.append(len(result))
        return result

    monkeypatch.setattr(loop, "predict", counting)
    return seen


def test_features_equal_the_model_and_come_in_order(table: Table, backbone, tmp_path: Path) -> None:
    rows = np.array([5, 2, 2, 70])
    found = features.extract(backbone, table, rows, cache=tmp_path)
    from toolkit.tables import image_files

    for vector, row in zip(found, rows, strict=True):
        image = image_files.read(table.inputs[row])
        np.testing.assert_allclose(vector, backbone(image[None], training=False)[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found[1], found[2])


def test_each_image_passes_once_ever(table: Table, backbone, tmp_path: Path, computed: list[int]) -> None:
    first = features.extract(backbone, table, np.arange(10), cache=tmp_path)
    again = features.extract(backbone, table, np.arange(12), cache=tmp_path)
    assert computed == [10, 2]
    np.testing.assert_array_equal(again[:10], first)
    features.extract(backbone, table, np.arange(12), cache=tmp_path, reflect=True)
    assert computed == [10, 2, 12]


def test_other_weights_are_not_taken_for_these(table: Table, backbone, tmp_path: Path, computed: list[int]) -> None:
    features.extract(backbone, table, np.arange(5), cache=tmp_path)
    features.extract(backbones.build("small_cnn", "none", 16, filters=(4, 8)), table, np.arange(5), cache=tmp_path)
    assert computed == [5, 5]


def test_a_damaged_file_is_computed_again(table: Table, backbone, tmp_path: Path, computed: list[int]) -> None:
    first = features.extract(backbone, table, np.arange(6), cache=tmp_path)
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(file.read_bytes()[:-60])
    np.testing.assert_array_equal(features.extract(backbone, table, np.arange(6), cache=tmp_path), first)
    assert computed == [6, 6]


def test_a_cache_that_cannot_be_written_costs_time_only(table: Table, backbone, tmp_path: Path,
                                                        capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "features").write_text("a file where the folder should be")
    assert features.extract(backbone, table, np.arange(3), cache=tmp_path).shape == (3, 8)
    assert "could not be cached" in capsys.readouterr().err


def test_pixels_are_the_pixels(table: Table, tmp_path: Path) -> None:
    from toolkit.tables import image_files

    found = features.pixels(table, np.array([3]), cache=tmp_path)
    image = image_files.read(table.inputs[3])
    assert table.channels == 1 and found.shape == (1, 256)
    np.testing.assert_allclose(found[0], image[..., 0].ravel() / 255, rtol=1e-6)


def test_one_tiny_image_does_not_make_the_others_tiny(small_table: Path) -> None:
    table = read_table(small_table)
    sizes = table.sizes.copy()
    width = features.pixels(table).shape[1]
    sizes[table.labelled("test")[0]] = 1
    assert features.pixels(dataclasses.replace(table, sizes=sizes)).shape[1] == width
