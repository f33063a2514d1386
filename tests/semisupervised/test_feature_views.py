"""Changed copies: functions of an image's content, the augmentation, the copy and the seed, computed once."""

from pathlib import Path

import numpy as np
import pytest

from toolkit.models import backbones
from toolkit.semisupervised import feature_views
from toolkit.tables import Table, read_table
from toolkit.training import features, loop


@pytest.fixture(scope="module")
def table(small_table: Path) -> Table:
    return read_table(small_table)


@pytest.fixture(scope="module")
def backbone():
    return backbones.build("small_cnn", "none", 16, filters=(4, 8))


def test_copies_depend_on_content_not_on_place(table: Table, backbone, tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.array([7, 30, 61])
    found = feature_views.draw(backbone, table, rows, feature_views.STRONG, copy=1)
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path))
    alone = table.select(np.array([61, 7]))
    np.testing.assert_allclose(feature_views.draw(backbone, alone, np.array([0, 1]), feature_views.STRONG, copy=1),
                               found[[2, 0]], rtol=1e-5)


def test_copies_seeds_and_augmentations_differ(table: Table, backbone) -> None:
    rows = np.arange(12)
    plain = features.extract(backbone, table, rows)
    weak, strong = (feature_views.draw(backbone, table, rows, one)
                    for one in (feature_views.WEAK, feature_views.STRONG))
    others = [plain, weak, strong, feature_views.draw(backbone, table, rows, feature_views.WEAK, copy=1),
              feature_views.draw(backbone, table, rows, feature_views.WEAK, seed=1),
              feature_views.draw(backbone, table, rows, feature_views.WEAK, reflect=True)]
    for number, one in enumerate(others):
        assert all(np.abs(one - other).max() > 1e-4 for other in others[:number])


def test_a_copy_is_computed_once(table: Table, backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path))
    seen, real = [], loop.predict
    monkeypatch.setattr(loop, "predict", lambda *values: seen.append(1) or real(*values))
    first, second = (feature_views.draw(backbone, table, np.arange(5), feature_views.WEAK) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert len(seen) == 1
