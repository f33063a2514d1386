"""May images be mirrored? Told by features, of the same images however many of them are labelled."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from toolkit.tables import Table, read_table
from toolkit.training import features, reflection


@pytest.fixture
def table(small_table: Path) -> Table:
    return read_table(small_table)


def asked(monkeypatch: pytest.MonkeyPatch, *, telling: float) -> list[np.ndarray]:
    """Features that give mirror images away by so many standard deviations; the rows asked for."""
    rows_asked: list[np.ndarray] = []

    def extract(backbone: object, table: Table, rows: np.ndarray, *, reflect: bool = False) -> np.ndarray:
        rows_asked.append(rows)
        noise = np.stack([np.random.default_rng([int(row), reflect]).normal(size=4) for row in rows])
        return (noise + telling * reflect * np.eye(4)[0]).astype(np.float32)

    monkeypatch.setattr(features, "extract", extract)
    return rows_asked


def test_what_looks_wrong_mirrored_is_not_mirrored(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(monkeypatch, telling=3.0)
    found = reflection.may_reflect(table, None)
    assert not found["reflect"] and found["told_apart"] > 0.9 and found["images"] == 84


def test_what_looks_as_natural_either_way_is_mirrored(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(monkeypatch, telling=0.0)
    found = reflection.may_reflect(table, None)
    assert found["reflect"] and found["told_apart"] < 0.65


def test_the_images_do_not_depend_on_labels_or_added_images(table: Table, small_table: Path, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflection, "MAX_IMAGES", 30)
    rows = asked(monkeypatch, telling=0.0)
    few = read_table(small_table, labels_per_class=2)
    validation = dataclasses.replace(table, splits=np.where(table.splits == "validation", "train", table.splits))
    origins = np.full(len(table), "", object)
    origins[table.in_split("train")[:20]] = "elsewhere"
    for one in (table, few, validation, dataclasses.replace(table, origins=origins)):
        reflection.may_reflect(one, None)
    for other in rows[1:6]:
        np.testing.assert_array_equal(other, rows[0])
    assert len(rows[6]) == 30 and not set(rows[6]) & set(table.in_split("train")[:20])
    assert "test" not in set(table.splits[rows[0]])


def test_asked_for_it_is_done(table: Table) -> None:
    assert reflection.decide(table, None, "yes") == {"reflect": True, "asked": True}
    assert not reflection.decide(table, None, "no")["reflect"]


def test_too_few_images_are_not_mirrored(table: Table) -> None:
    assert not reflection.may_reflect(table.select(table.in_split("train")[:19]), None)["reflect"]
