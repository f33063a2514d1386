"""The control is trained once for what decides it, and again for anything else."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from toolkit.semisupervised import pixel_controls
from toolkit.tables import Table, read_table

START = [np.zeros((2, 3), np.float32), np.ones(3, np.float32)]


@pytest.fixture
def table(small_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "cache"))
    return read_table(small_table)


def asked(table: Table, calls: list[int], facts: dict[str, object] = {}, start: list[np.ndarray] = START) -> bool:
    """Whether the weights came from the cache; either way they are those of the first training."""
    def train() -> list[np.ndarray]:
        calls.append(1)
        return [value + len(calls) for value in start]

    found, cached = pixel_controls.weights(table, {"seed": 0, **facts}, start, train)
    assert all(value.shape == like.shape for value, like in zip(found, start, strict=True))
    return cached


def test_the_same_control_is_trained_once(table: Table) -> None:
    calls: list[int] = []
    assert [asked(table, calls), asked(table, calls)] == [False, True] and len(calls) == 1


def test_other_data_settings_or_starts_are_another_control(table: Table) -> None:
    calls: list[int] = []
    labels = table.labels.copy()
    labels[table.labelled("train")[0]] = -1
    for other in ({}, {"facts": {"seed": 1}}, {"start": [START[0] + 1, START[1]]},
                  {"table": dataclasses.replace(table, labels=labels)}):
        assert not asked(**{"table": table, "calls": calls, **other})
    assert len(calls) == 4


def test_a_damaged_file_is_made_again(table: Table, tmp_path: Path) -> None:
    calls: list[int] = []
    asked(table, calls)
    path, = (tmp_path / "cache" / "controls").glob("*.npz")
    path.write_bytes(path.read_bytes()[:40])
    assert not asked(table, calls) and asked(table, calls) and len(calls) == 2


def test_a_cache_that_cannot_be_written_costs_time_only(table: Table, tmp_path: Path,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cache").write_text("a file")
    calls: list[int] = []
    assert not asked(table, calls) and len(calls) == 1
    assert "could not be kept" in capsys.readouterr().err
