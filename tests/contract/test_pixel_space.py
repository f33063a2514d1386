"""The methods in pixel space: replicas agree, a stopped run ends as one that never stopped, stages join."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from recipes import fine_tune, fix_match, mean_teacher, mix_match, pseudo_label, virtual_adversarial
from toolkit import ToolkitError
from toolkit.semisupervised import foreign, pixel_training, pools
from toolkit.tables import Table, read_table
from toolkit.training import Settings, loop, plans

pytestmark = pytest.mark.contract

SETTINGS = Settings(backbone="mlp", weights="none", image_size=16, batch_size=8, dropout=0.2, reflect="no",
                    devices="cpu", backbone_options={"hidden": (8,)})
METHODS: dict[str, Callable[..., dict[str, Any]]] = {
    "fix_match": partial(fix_match.run, steps=12, per_label=1),
    "rounds": partial(pseudo_label.run, rounds=3, steps=12, per_label=1),
    "lee": partial(pseudo_label.run, method="lee", steps=12, per_label=1),
    "mean_teacher": partial(mean_teacher.run, steps=12, per_label=1),
    "virtual_adversarial": partial(virtual_adversarial.run, steps=12, per_label=1),
    "mix_match": partial(mix_match.run, steps=12, per_label=1)}


@pytest.fixture(scope="module")
def table(small_table: Path) -> Table:
    return read_table(small_table)


@pytest.fixture(scope="module")
def without_validation(table: Table) -> Table:
    return table.select(np.flatnonzero(table.splits != "validation"))


def run(method: str, table: Table, output: Path, *, space: str = "pixels", resume: bool = False,
        **changes: Any) -> dict[str, Any]:
    settings = dataclasses.replace(SETTINGS, **changes)
    return METHODS[method](table, output=output, settings=settings, space=space, resume=resume)


def probabilities(folder: Path) -> np.ndarray:
    return pd.read_csv(folder / "predictions.csv").filter(like="probability_").to_numpy(float)


@pytest.mark.parametrize("methods", [
    ("flexmatch", "mean_teacher"),
    pytest.param(("fix_match", "pseudo_label", "lee", "mix_match", "virtual_adversarial"), marks=pytest.mark.slow)])
def test_one_replica_and_two_agree(methods: tuple[str, ...], small_table: Path, tmp_path: Path) -> None:
    """After five steps of SGD, with all that a method remembers."""
    for devices in ("cpu", "cpu:2"):
        (tmp_path / devices).mkdir()
        script = Path(__file__).with_name("two_replicas.py")
        subprocess.run([sys.executable, script, small_table, devices, tmp_path / devices, *methods], check=True)
    files = sorted((tmp_path / "cpu").glob("*.npz"))
    assert [path.stem for path in files] == sorted(methods)
    for path in files:
        with np.load(path) as one, np.load(tmp_path / "cpu:2" / path.name) as two:
            for name in one.files:
                np.testing.assert_allclose(two[name], one[name], atol=1e-5, err_msg=path.stem)


class Stopped(BaseException):
    """In place of SIGKILL."""


@pytest.mark.parametrize("method", ["fix_match", *(pytest.param(method, marks=pytest.mark.slow)
                                                  for method in ("rounds", "mean_teacher"))])
def test_a_stopped_run_ends_as_one_that_never_stopped(method: str, without_validation: Table, tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped within an epoch, and while the control is trained, each time with another cache."""
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "cache"))
    run(method, without_validation, tmp_path / "whole")
    monkeypatch.setattr(pixel_training.plans, "Plan", partial(plans.Plan, checkpoint_seconds=0.0))
    real = loop._Keeper.on_train_batch_end
    for moment in (7, 17):
        monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / f"cache {moment}"))
        steps: list[int] = []

        def stopping(self: Any, batch: int, logs: Any = None) -> None:
            real(self, batch, logs)
            steps.append(batch)
            if len(steps) == moment:
                raise Stopped

        with monkeypatch.context() as patch, pytest.raises(Stopped):
            patch.setattr(loop._Keeper, "on_train_batch_end", stopping)
            run(method, without_validation, tmp_path / f"{moment}")
        run(method, without_validation, tmp_path / f"{moment}", resume=True)
        for name in ("predictions.csv", "pseudo_labels.csv"):
            assert (tmp_path / f"{moment}" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), moment


@pytest.mark.parametrize("method", list(METHODS))
def test_a_run_has_its_files_and_tells_what_judged_it(method: str, table: Table, tmp_path: Path) -> None:
    report = run(method, table, tmp_path / "run")
    rows = pd.read_csv(tmp_path / "run" / "pseudo_labels.csv")
    own = report["unlabelled"]
    assert len(rows) == own["rows"] == 12 and set(rows["label"]) <= set(table.class_names)
    assert own["judged_rows"] == 24 and own["precision"]["count"] <= 24  # the validation rows
    assert report["control"] == "the same network on labels only" and report["training"]["steps"] == 12
    passes = {"rounds": 1, "virtual_adversarial": 4, "mix_match": 4}.get(method, 2)  # of an unlabelled image, a step
    relabelled = {"rounds": 2 * own["rows"]}.get(method, 0)  # not before the first of three rounds
    assert report["training"]["image_passes"] == 12 * 8 * (1 + passes) + relabelled
    control = pd.read_csv(tmp_path / "run" / "control.csv")
    right = (control["label"].astype(str) == control["prediction"].astype(str)).mean()
    assert len(control) == report["test"]["count"]
    assert right == pytest.approx(report["baselines"]["the same network on labels only"]["accuracy"])
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert {"coverage", "largest_share"} <= set(history.columns) and len(history) == {"rounds": 3}.get(method, 6)


def test_without_unlabelled_rows_it_is_the_control(table: Table, tmp_path: Path) -> None:
    labelled = table.select(np.flatnonzero(table.labels >= 0))
    report = run("fix_match", labelled, tmp_path / "run")
    assert report["test"]["accuracy"] == report["baselines"]["the same network on labels only"]["accuracy"]
    assert report["unlabelled"]["rows"] == 0
    assert report["verdict"]["sentence"].startswith("The unlabelled rows were not used")


def test_without_validation_rows_nothing_judges(without_validation: Table, tmp_path: Path) -> None:
    own = run("fix_match", without_validation, tmp_path / "run")["unlabelled"]
    assert "unjudged" in own["why"] and own["gain"] is None and not own["fall_back"]
    assert own["precision"]["estimate"] is None and 0 <= own["coverage"] <= 1


def test_the_control_is_trained_once_for_all_methods(table: Table, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "cache"))
    first, second = (run(method, table, tmp_path / method) for method in ("fix_match", "mean_teacher"))
    name = "the same network on labels only"
    assert not first["training"]["control_from_cache"] and second["training"]["control_from_cache"]
    assert first["baselines"][name] == second["baselines"][name]


@pytest.fixture(scope="module")
def earlier(table: Table, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The model of an earlier run, whose features are worth a stage."""
    folder = tmp_path_factory.mktemp("earlier") / "run"
    fine_tune.run(table, output=folder, settings=dataclasses.replace(SETTINGS, epochs=15))
    return str(folder / "model.keras")


@pytest.mark.parametrize("method", ["rounds", *(pytest.param(method, marks=pytest.mark.slow)
                                               for method in ("fix_match", "mix_match"))])
def test_both_begins_where_feature_space_ends(method: str, table: Table, earlier: str, tmp_path: Path) -> None:
    report = run(method, table, tmp_path / "run", space="both", weights=earlier, learning_rate=1e-8, ema=0.0)
    stage = json.loads((tmp_path / "run" / "features" / "report.json").read_text())
    assert report["baselines"]["feature space"]["accuracy"] == stage["test"]["accuracy"]
    assert report["unlabelled"]["feature_space"]["why"] == stage["unlabelled"]["why"]
    if not report["unlabelled"]["fall_back"]:  # at a rate of next to nothing
        np.testing.assert_allclose(probabilities(tmp_path / "run"), probabilities(tmp_path / "run" / "features"),
                                   atol=1e-4)


def test_foreign_rows_are_set_aside(table: Table, earlier: str, tmp_path: Path,
                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """In pixel space too, once and for all; a network from scratch cannot, and says so."""
    monkeypatch.setattr(foreign, "foreign", lambda known, others, together: np.arange(len(others)) < 3)
    for space in ("pixels", "both"):
        report = run("fix_match", table, tmp_path / space, space=space, weights=earlier)
        rows = set(pd.read_csv(tmp_path / space / "pseudo_labels.csv")["row"])
        own = report["unlabelled"]
        assert rows.isdisjoint(table.rows[table.unlabelled()[:3]]) and len(rows) == own["rows"] == 9
        assert own["set_aside"] == 3 and report["training"]["pool"] == 9 and report["training"]["rule"] == "adamatch"
        assert sum("are set aside" in note for note in report["notes"]) == 1
    report = run("fix_match", table, tmp_path / "scratch")
    assert report["training"]["rule"] == "flexmatch"  # which takes no shares of the classes for granted
    assert report["unlabelled"]["rows"] == 12 and any("were not looked for" in note for note in report["notes"])


def test_rounds_say_which_rows_they_took_and_when(table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                  ) -> None:
    """Of four parts of the training the first is on labels alone."""
    monkeypatch.setattr(pools, "judge", lambda *args, **options: pools.Judgement(0.5, 9, False, "It won."))
    report = pseudo_label.run(table, output=tmp_path / "run", space="pixels", settings=SETTINGS, rounds=4, steps=12,
                              per_label=1)
    rounds = pd.read_csv(tmp_path / "run" / "pseudo_labels.csv")["round"]
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    chosen = int(history["epoch"][history["chosen"]].iloc[0])
    assert rounds.max() < max(chosen, 1) and report["unlabelled"]["coverage"] == (rounds > 0).mean()
    assert set(history.columns) >= {"validation_used", "validation_right"}
    assert (history["validation_right"] <= history["validation_used"]).all()


def test_a_stage_that_fell_back_is_the_last_word_without_validation(without_validation: Table, earlier: str,
                                                                    tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    lost = pools.Judgement(-0.1, 48, True, "The method lost.")
    monkeypatch.setattr(pools, "judge", lambda *args, **options: lost)
    report = run("fix_match", without_validation, tmp_path / "run", space="both", weights=earlier)
    assert report["unlabelled"]["fall_back"] and "In feature space: The method lost." in report["unlabelled"]["why"]
    assert len(pd.read_csv(tmp_path / "run" / "history.csv")) == 0  # the method was not even trained


def test_a_time_limit_shortens_method_and_control(table: Table, tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, time_limit=0.15)
    report = fix_match.run(table, output=tmp_path / "run", settings=settings, space="pixels", steps=100_000)
    own = report["training"]
    assert own["steps"] < 20_000 and own["moving_average"] == 1 - 1 / max(2.0, 0.1 * own["steps"])


@pytest.mark.parametrize("changes", [{"precision": "mixed_bfloat16", "accumulation": 2},
                                     pytest.param({"precision": "mixed_float16"}, marks=pytest.mark.slow)])
def test_precision_and_accumulation_are_those_asked_for(changes: dict[str, Any], table: Table, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []
    real = loop.fit

    def watched(model: Any, batches: Any, plan: plans.Plan, *more: Any, **options: Any) -> Any:
        inner = getattr(model, "classifier", model)
        seen.append((inner.get_layer("network").layers[-1].compute_dtype, plan.parts))
        return real(model, batches, plan, *more, **options)

    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(loop, "fit", watched)
    report = run("fix_match", table, tmp_path / "run", **changes)
    assert seen == 2 * [(changes["precision"].removeprefix("mixed_"), changes.get("accumulation", 1))]
    assert keras.config.dtype_policy().name == "float32" and np.isfinite(report["test"]["log_loss"])


@pytest.mark.parametrize(("space", "words"), [("both", "has no features to begin with"), ("pixel", "must be one of")])
def test_spaces_that_cannot_be(space: str, words: str, table: Table, tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match=words):
        run("fix_match", table, tmp_path / "run", space=space)
    assert not (tmp_path / "run").exists()


def test_a_time_limit_holds_for_the_control_alone(table: Table, tmp_path: Path) -> None:
    labelled = table.select(np.flatnonzero(table.labels >= 0))
    settings = dataclasses.replace(SETTINGS, time_limit=0.05)
    report = fix_match.run(labelled, output=tmp_path / "run", settings=settings, space="pixels", steps=200_000)
    assert report["training"]["steps"] < 100_000


def test_rounds_keep_their_number_under_a_time_limit(table: Table, tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, time_limit=0.06)
    report = pseudo_label.run(table, output=tmp_path / "run", settings=settings, space="pixels", steps=200_000,
                              rounds=4, per_label=1)
    assert report["training"]["steps"] < 100_000 and len(pd.read_csv(tmp_path / "run" / "history.csv")) == 4
    with pytest.raises(ToolkitError, match="--rounds 2 or more"):
        pseudo_label.run(table, output=tmp_path / "one", settings=SETTINGS, space="pixels", rounds=1)


def test_the_range_test_leaves_the_teacher_its_averages(table: Table, tmp_path: Path) -> None:
    report = run("mean_teacher", table, tmp_path / "run", find_learning_rate=True)
    assert 0 < report["training"]["learning_rate"] < 1


def test_lee_has_no_labels_to_smooth(table: Table, tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match="sigmoid units"):
        run("lee", table, tmp_path / "run", label_smoothing=0.1)


def test_after_a_fall_back_no_row_was_used(table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "judge", lambda *args, **options: pools.Judgement(-0.5, 9, True, "It lost."))
    for space in ("features", "pixels"):
        changes = {"weights": "none", "backbone": "small_cnn", "backbone_options": {"filters": (4, 8)}}
        report = run("rounds", table, tmp_path / space, space=space, **changes)
        assert report["unlabelled"]["fall_back"]
        assert set(pd.read_csv(tmp_path / space / "pseudo_labels.csv")["round"]) == {0}
    assert "coverage" not in json.loads((tmp_path / "features" / "report.json").read_text())["training"]["settings"]
