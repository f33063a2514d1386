"""Ranking from a table to a report: labelled training rows only, steps measured, candidates named apart."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from recipes import linear_probe, rank_backbones
from toolkit import ToolkitError
from toolkit.evaluation import transferability
from toolkit.models import catalogue
from toolkit.tables import Table, read_table
from toolkit.training import Settings, features

pytestmark = pytest.mark.contract

TINY = Settings(backbone="small_cnn", weights="none", image_size=16, backbone_options={"filters": (4, 8)})
OTHER = dataclasses.replace(TINY, backbone_options={"filters": (4,)})


@pytest.fixture(scope="module")
def table(small_table: Path) -> Table:
    return read_table(small_table)


@pytest.fixture(scope="module")
def ranking(table: Table) -> dict:
    return rank_backbones.rank(table, candidates=[TINY, OTHER, TINY])


def test_each_candidate_is_scored_once(ranking: dict, table: Table) -> None:
    assert json.loads(json.dumps(ranking)) == ranking
    assert (ranking["rows"], ranking["labelled_rows"], ranking["num_classes"]) == (48, 48, 3)
    names = {row["name"] for row in ranking["candidates"]}
    assert names == {"small_cnn,filters=(4, 8)=none@16", "small_cnn,filters=(4,)=none@16"}
    assert len(ranking["notes"]) == 1 and all(name in ranking["notes"][0] for name in names)
    rows = table.labelled("train")
    values = features.extract(linear_probe.build_backbone(table, OTHER), table, rows)
    (found,) = (row for row in ranking["candidates"] if row["num_features"] == 4)
    assert found["logme"] == transferability.logme(values, table.labels[rows])
    assert found["h_score"] == transferability.h_score(values, table.labels[rows])
    assert found["accuracy"] == transferability.held_out_hits(values, table.labels[rows], 3).mean()


def test_minutes_are_those_of_the_whole_schedule(ranking: dict, table: Table) -> None:
    (found,) = (row for row in ranking["candidates"] if row["num_features"] == 8)
    settings, seconds = TINY.for_rows(48), found["seconds_per_step"]
    steps = 2 * settings.epochs  # 48 rows, 32 a step
    rows = settings.epochs * 24 + 2 * len(table)
    assert seconds > 0
    assert found["fine_tuning_minutes"] * 60 >= steps * seconds + rows * seconds / 96
    assert found["fine_tuning_minutes"] * 60 < steps * seconds + rows * seconds / 96 + 60  # the first step


def test_test_rows_and_unlabelled_rows_have_no_say(ranking: dict, table: Table, monkeypatch: pytest.MonkeyPatch
                                                   ) -> None:
    seen, real = [], features.extract

    def spy(backbone, own_table: Table, rows: np.ndarray, **options) -> np.ndarray:
        seen.append(rows)
        return real(backbone, own_table, rows, **options)

    monkeypatch.setattr(features, "extract", spy)
    labels = np.where(table.splits == "train", table.labels, (table.labels + 1) % 3)
    (other,) = rank_backbones.rank(dataclasses.replace(table, labels=labels), candidates=[TINY], measure_steps=False
                                   )["candidates"]
    np.testing.assert_array_equal(seen, [table.labelled("train")])
    (plain,) = (row for row in ranking["candidates"] if row["num_features"] == 8)
    assert [other[key] for key in ("accuracy", "logme", "h_score")] == [
        plain[key] for key in ("accuracy", "logme", "h_score")]
    assert other["fine_tuning_minutes"] is None


def test_copies_of_a_row_and_rows_of_a_group_are_held_out_together(table: Table, monkeypatch: pytest.MonkeyPatch
                                                                   ) -> None:
    seen = []
    monkeypatch.setattr(transferability, "held_out_hits",
                        lambda values, labels, num_classes, *, groups, seed: seen.append(groups))
    rank_backbones.rank(table, candidates=[TINY], measure_steps=False)
    groups = np.array([f"patient {number // 3}" for number in range(len(table))], dtype=object)
    rank_backbones.rank(dataclasses.replace(table, groups=groups), candidates=[TINY], measure_steps=False)
    rows = table.labelled("train")
    np.testing.assert_array_equal(seen[0], table.checksums[rows])
    np.testing.assert_array_equal(seen[1], groups[rows])


def test_many_rows_are_sampled(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_backbones, "MAX_ROWS", 24)
    monkeypatch.setattr(transferability, "held_out_hits", lambda *arguments, **options: None)
    ranking = rank_backbones.rank(table, candidates=[TINY], measure_steps=False)
    assert 20 <= ranking["rows"] <= 28 and ranking["labelled_rows"] == 48


def test_the_default_candidates_are_those_whose_weights_are_here(monkeypatch: pytest.MonkeyPatch, table: Table) -> None:
    rows = [{"name": "small_cnn", "weights": "none", "present": True},
            {"name": "resnet101", "weights": "download", "present": False},
            {"name": "efficientnet_lite0", "weights": "embedded", "present": True}]
    monkeypatch.setattr(catalogue, "describe", lambda: rows)
    settings = Settings(backbone="alexnet", weights="none", image_size=64, seed=3)
    assert rank_backbones.present(settings) == [Settings(backbone="efficientnet_lite0", seed=3)]
    monkeypatch.setattr(catalogue, "describe", lambda: rows[:2])
    with pytest.raises(ToolkitError, match="nothing to rank"):
        rank_backbones.rank(table)


@pytest.mark.parametrize(("candidates", "names"), [
    ([Settings()], ["efficientnet_lite0"]),
    ([Settings(image_size=96, weights="none")], ["efficientnet_lite0=none@96"]),
    ([Settings(weights="/a/x.pth"), Settings(weights="/a/y.pth")],
     ["efficientnet_lite0=x.pth", "efficientnet_lite0=y.pth"]),
    ([Settings(weights="/a/x.pth"), Settings(weights="/b/x.pth"), Settings(weights="/b/z.pth")],
     ["efficientnet_lite0=/a/x.pth", "efficientnet_lite0=/b/x.pth", "efficientnet_lite0=z.pth"])])
def test_names(candidates: list[Settings], names: list[str]) -> None:
    assert rank_backbones._names(candidates) == names


def test_weights_of_a_run_are_said_to_flatter(table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transferability, "held_out_hits", lambda *arguments, **options: None)
    linear_probe.build_backbone(table, TINY).save(tmp_path / "model.keras")
    trained = dataclasses.replace(TINY, weights=str(tmp_path / "model.keras"))
    (note,) = rank_backbones.rank(table, candidates=[trained], measure_steps=False)["notes"]
    assert note.startswith("Weights of a run (small_cnn,filters=(4, 8)=model.keras@16): if it was trained on rows")
    assert rank_backbones._is_run(str(tmp_path)) and not rank_backbones._is_run("imagenet")
