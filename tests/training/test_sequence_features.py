"""Frozen features of texts and series: what the model itself gives, whatever stands beside a row, found by content."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from toolkit import inputs
from toolkit.models import backbones
from toolkit.semisupervised import feature_views
from toolkit.tables import Table, read_table
from toolkit.training import features, loop

SMALL = {"lstm": {"units": 4}, "series_fcn": {"filters": (4, 8, 4)}}


@pytest.fixture(scope="module", params=["text", "series"])
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Nine rows of very different lengths."""
    folder, random = tmp_path_factory.mktemp(request.param), np.random.default_rng(0)
    lengths = [1, 3, 40, 5, 12, 70, 8, 9, 2]
    if request.param == "text":
        cells = [" ".join(random.choice(["good", "bad", "film", "plot"], length)) + f" {n}" for n, length in
                 enumerate(lengths)]
    else:
        cells = [" ".join(f"{value:.3f}" for value in random.normal(size=length)) for length in lengths]
    lines = [f"{cell},{'xy'[n % 2]},train" for n, cell in enumerate(cells)]
    column = {"text": "text", "series": "values"}[request.param]
    (folder / "table.csv").write_text("\n".join([f"{column},label,split", *lines]) + "\n", encoding="utf-8")
    return read_table(folder / "table.csv")


@pytest.fixture(scope="module")
def backbone(table: Table):
    name = {"text": "lstm", "series": "series_fcn"}[table.kind]
    options = SMALL[name] | ({"embedding": "4"} if table.kind == "text" else {})
    return backbones.build(name, "none", examples=inputs.examples(table), **options)


def test_features_equal_the_model_and_come_in_order(table: Table, backbone, tmp_path: Path) -> None:
    rows = np.array([5, 2, 2, 7, 0])
    found = features.extract(backbone, table, rows, cache=tmp_path)
    for vector, row in zip(found, rows, strict=True):
        raw = tf.constant([table.inputs[row]]) if table.kind == "text" else table.array[table.inputs[row]][None]
        np.testing.assert_allclose(vector, backbone(raw, training=False)[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found[1], found[2])


def test_a_row_does_not_depend_on_its_neighbours(table: Table, backbone, tmp_path: Path) -> None:
    together = features.extract(backbone, table, cache=tmp_path / "together")
    for row in range(len(table)):
        alone = features.extract(backbone, table, np.array([row]), cache=tmp_path / str(row))
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-6, atol=1e-8)  # but for the size of the batch


def test_each_row_passes_once_ever(table: Table, backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = features.extract(backbone, table, np.arange(5), cache=tmp_path)
    monkeypatch.setattr(loop, "predict", None)  # whoever calls it now fails
    np.testing.assert_array_equal(features.extract(backbone, table, np.arange(5), cache=tmp_path), first)


def test_changed_copies_are_features_of_changed_rows(table: Table, backbone) -> None:
    weak, strong = feature_views.changes(table)
    rows = np.array([2, 5])  # the long ones
    plain = features.extract(backbone, table, rows)
    views = [plain, *(feature_views.draw(backbone, table, rows, change, copy=copy)
                      for change in (weak, strong) if change for copy in range(2))]
    for number, view in enumerate(views):
        assert all(np.abs(view - other).max() > 1e-6 for other in views[:number])
    again = feature_views.draw(backbone, table, rows, strong, copy=1)
    np.testing.assert_array_equal(again, views[-1])
