"""Foreign rows are set aside; rows like the labelled ones stay."""

import dataclasses

import numpy as np
import pytest

from toolkit.semisupervised import foreign, pools


def drawn(seed: int, labelled: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labelled rows, 300 rows like them, and 300 others."""
    random = np.random.default_rng(seed)
    centres = 3 * random.normal(size=(4, 30))
    known, alike = (centres[np.arange(count) % 3] + random.normal(size=(count, 30)) for count in (labelled, 300))
    return known, alike, centres[3] + random.normal(size=(300, 30))


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_another_kind_are_found(seed: int) -> None:
    known, alike, others = drawn(seed)
    far = foreign.foreign(known, np.concatenate([alike, others]), np.arange(len(known)))
    assert far[:300].mean() < 0.05 and far[300:].mean() > 0.95
    assert foreign.foreign(known, alike, np.arange(len(known))).mean() < 0.05


def test_copies_are_no_neighbours() -> None:
    known, alike, _ = drawn(0)
    twice, names = np.concatenate([known, known]), np.tile(np.arange(len(known)), 2)
    expected = foreign.foreign(known, alike, np.arange(len(known)))
    found = foreign.foreign(twice, alike, names)
    assert abs(found.mean() - expected.mean()) < 0.02  # standardised with other weights
    assert foreign.foreign(twice, alike, np.arange(len(twice))).mean() > 0.9  # taken for single rows, all else is far


def test_blocks_of_any_size_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    known, alike, others = drawn(0)
    rows, names = np.concatenate([alike, others]), np.arange(len(known)) // 2
    whole = foreign.foreign(known, rows, names)
    seen, real = [], np.ndarray.__matmul__
    monkeypatch.setattr(foreign, "NUMBERS_AT_ONCE", 7 * len(known))
    monkeypatch.setattr(foreign, "_units", lambda values: Watched.of(real, seen, values))
    np.testing.assert_array_equal(foreign.foreign(known, rows, names), whole)
    assert max(seen) == 7  # rows at once, also among the labelled ones


class Watched(np.ndarray):
    """An array that notes how many rows are multiplied at once."""

    @classmethod
    def of(cls, multiply, seen: list[int], values: np.ndarray) -> np.ndarray:
        cls.__matmul__ = lambda self, other: seen.append(len(self)) or multiply(np.asarray(self), np.asarray(other))
        lengths = np.linalg.norm(values, axis=1, keepdims=True)
        return (values / lengths).view(cls)


def test_few_labels_say_nothing() -> None:
    known, alike, others = drawn(0, labelled=foreign.FEWEST_LABELS - 1)
    assert not foreign.foreign(known, others, np.arange(len(known))).any()
    assert not foreign.foreign(known, others, np.zeros(len(known))).any()
    assert foreign.foreign(known, alike[:0], np.arange(len(known))).shape == (0,)


def test_the_pool_and_its_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "foreign", lambda *_: np.array([False, True, False]))
    monkeypatch.setattr(pools, "together", lambda *_: np.arange(3))

    class OfThree:
        def labelled(self, split: str) -> np.ndarray:
            return np.arange(3)

    pool = pools.Pool(np.array([4, 6, 9]), 1, ("first",))
    found = foreign.without(pool, OfThree(), np.zeros((3, 2)), np.zeros((3, 2)))
    assert found.rows.tolist() == [4, 9] and (found.set_aside, found.dropped) == (1, 1)
    assert found.notes[0] == "first" and found.notes[1].startswith("1 of 3 unlabelled rows lie farther")
    monkeypatch.setattr(foreign, "foreign", lambda *_: np.zeros(3, bool))
    assert foreign.without(pool, OfThree(), np.zeros((3, 2)), np.zeros((3, 2))) is pool
    assert dataclasses.replace(found, notes=()).set_aside == 1
