"""Neighbours are the exact ones, however they are searched, and a large search is made once."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from toolkit.semisupervised import neighbours


def direct(features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    distances = cdist(features, features)
    np.fill_diagonal(distances, np.inf)
    return distances.argsort(axis=1)[:, :count], np.sort(distances, axis=1)[:, :count]


@pytest.mark.parametrize("numbers_at_once", [2**26, 200])
@pytest.mark.parametrize(("rows", "group"), [(50, 64), (50, 2), (53, 2), (101, 3)])
def test_neighbours_are_the_exact_ones(numbers_at_once: int, rows: int, group: int,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "NUMBERS_AT_ONCE", numbers_at_once)
    monkeypatch.setattr(neighbours, "GROUP", group)
    features = np.random.default_rng(0).normal(size=(rows, 7))
    expected, apart = direct(features, 6)
    positions, found = neighbours.nearest(features, 6)
    np.testing.assert_array_equal(positions, expected)
    np.testing.assert_allclose(found, apart, rtol=1e-5)


@pytest.mark.parametrize(("count", "features"), [(0, np.zeros((3, 1))), (3, np.zeros((3, 1))),
                                                 (1, np.array([[0.0], [np.nan]]))])
def test_what_has_no_neighbours_is_refused(count: int, features: np.ndarray) -> None:
    with pytest.raises(ValueError, match="neighbours|not finite"):
        neighbours.nearest(features, count)


def test_a_large_search_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "WORTH_KEEPING", 40)
    features = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)
    expected = neighbours.remembered(features, 3, cache=tmp_path)
    searches = []
    real = neighbours.nearest
    monkeypatch.setattr(neighbours, "nearest", lambda *given: searches.append(given) or real(*given))
    again = neighbours.remembered(features, 3, cache=tmp_path)
    assert not searches and again[0].dtype == np.int64
    for one, two in zip(again, expected, strict=True):
        np.testing.assert_array_equal(one, two)
    neighbours.remembered(features, 4, cache=tmp_path)
    neighbours.remembered(features + 1, 3, cache=tmp_path)
    neighbours.remembered(features[:39], 3, cache=tmp_path)
    assert len(searches) == 3 and len(list(tmp_path.rglob("*.npz"))) == 3


def test_a_damaged_file_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "WORTH_KEEPING", 40)
    features = np.random.default_rng(0).normal(size=(50, 7))
    expected = neighbours.remembered(features, 3, cache=tmp_path)
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(file.read_bytes()[:100])
    np.testing.assert_array_equal(neighbours.remembered(features, 3, cache=tmp_path)[0], expected[0])
    np.testing.assert_array_equal(neighbours.remembered(features, 3, cache=tmp_path)[0], expected[0])
