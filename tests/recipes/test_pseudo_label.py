"""Pseudo-labels: the selection, the rounds, Lee's steps, and a whole run."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recipes import fix_match, pseudo_label
from toolkit.semisupervised import trials
from toolkit.tables import read_table
from toolkit.training import Settings

pytestmark = pytest.mark.contract

SETTINGS = Settings(backbone="small_cnn", weights="none", image_size=16, reflect="no", devices="cpu",
                    backbone_options={"filters": (4, 8)})
FITS = {"rounds": partial(pseudo_label.in_rounds, strength=3.0, rounds=6, **pseudo_label.ROUNDS[0]),
        "soft": partial(pseudo_label.in_rounds, strength=3.0, rounds=6, targets="soft", **pseudo_label.ROUNDS[0]),
        "lee": partial(pseudo_label.lee, strength=3.0, full_weight=0.3, steps=200)}


@pytest.fixture(scope="module")
def moons() -> tuple[trials.Problem, np.ndarray]:
    """Three long clusters, one labelled row each, at an end: labels alone draw the wrong lines."""
    random = np.random.default_rng(0)
    labels = np.arange(300) % 3
    values = np.stack([random.uniform(-1, 1, 300), labels - 1 + random.normal(0, 0.08, 300)], axis=1)
    views = np.stack([values + random.normal(0, 0.02, values.shape) for _ in range(4)]).astype(np.float32)
    known = np.array([int(np.argmin(values[labels == c, 0] * (-1) ** c)) * 3 + c for c in range(3)])
    pool = np.setdiff1d(np.arange(300), known)
    return trials.Problem(views[:, known], labels[known], views[:, pool], np.full(3, 1 / 3), num_weak=1), labels[pool]


def right(fit: trials.Fit, problem: trials.Problem, labels: np.ndarray) -> float:
    return float((fit.head.probabilities(problem.pool[0]).argmax(axis=1) == labels).mean())


def test_rounds_find_the_clusters_that_labels_alone_miss(moons) -> None:
    problem, labels = moons
    control = right(pseudo_label.labels_only(problem, strength=3.0), problem, labels)
    for name in ("rounds", "soft"):
        fit = FITS[name](problem)
        assert right(fit, problem, labels) > max(0.97, control + 0.05), name
        assert fit.rounds.max() == 5 and (fit.rounds > 0).mean() > 0.95  # of 6, 4.2 rounds reach all
        assert (fit.pseudo_labels == labels).mean() > 0.97


def test_rounds_of_overlapping_classes_raise_no_alarm() -> None:
    """The rows that come last are the doubtful ones, and more of them are wrong: no sign of confirmation bias."""
    random = np.random.default_rng(0)
    labels = np.arange(700) % 3
    values = (1.2 * np.eye(3, 6)[labels] + random.normal(size=(700, 6))).astype(np.float32)
    values /= np.sqrt((values ** 2).sum(axis=1).mean())
    problem = trials.Problem(values[None, :60], labels[:60], values[None, 60:], np.full(3, 1 / 3), num_weak=0)
    chosen = trials.choose(pseudo_label.in_rounds, [{"strength": 3.0, **pseudo_label.ROUNDS[0]}], problem)
    found = trials.audited(trials.final(chosen, problem), chosen, problem, ("a", "b", "c"))
    assert found["alarms"] == [] and len(found["history"]) == 12 and 0.4 < found["precision"]["estimate"] < 0.8


def test_the_rival_of_the_control_is_the_classifier_of_the_rounds_without_a_pool(moons) -> None:
    problem = moons[0]
    fit = pseudo_label.discriminant_of_labels(problem, shrinkage=0.2)
    other = np.random.default_rng(3).normal(size=problem.pool.shape).astype(np.float32)
    alone = pseudo_label.discriminant_of_labels(trials.replace(problem, pool=other), shrinkage=0.2)
    np.testing.assert_array_equal(fit.head.kernel, alone.head.kernel)
    assert not fit.rounds.any() and (fit.head.probabilities(problem.labelled[0]).argmax(axis=1) == problem.labels).all()


@pytest.mark.parametrize("name", list(FITS))
def test_a_fit_repeats(name: str, moons) -> None:
    first, second = (FITS[name](moons[0]) for _ in range(2))
    np.testing.assert_array_equal(first.head.kernel, second.head.kernel)


def test_lees_weight_rises_from_zero(moons, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []
    real = pseudo_label._slope
    monkeypatch.setattr(pseudo_label, "_slope", lambda kernel, values, targets, random: calls.append(targets is None)
                        or real(kernel, values, targets, random))
    pseudo_label.lee(moons[0], strength=3.0, full_weight=3.0, steps=100)
    assert not any(calls[:11]) and sum(calls) == 89  # from step 11 of 100 on, after the tenth


def test_lees_labels_are_the_classes_of_the_largest_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pseudo_label, "DROPOUT", 0.0)
    kernel = np.array([[1.0, -1.0], [0.2, 0.0]], np.float32)
    values = np.array([[2.0], [-3.0]], np.float32)
    free = pseudo_label._slope(kernel, values, None, np.random.default_rng(0))
    told = pseudo_label._slope(kernel, values, np.eye(2, dtype=np.float32), np.random.default_rng(0))
    np.testing.assert_array_equal(free, told)
    expected = (1 / (1 + np.exp(-np.array([[2.2, -2.0], [-2.8, 3.0]]))) - np.eye(2)) / 2
    np.testing.assert_allclose(free, np.concatenate([values.T @ expected, expected.sum(axis=0)[None]]), rtol=1e-5)


@pytest.fixture(scope="module", params=["pseudo_label", "fix_match"])
def finished(request: pytest.FixtureRequest, small_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp(request.param) / "run"
    run(request.param, small_table, output)
    return output


def run(recipe: str, table: Path, output: Path) -> dict[str, Any]:
    module, own = {"pseudo_label": (pseudo_label, {"rounds": 3}), "fix_match": (fix_match, {"steps": 50})}[recipe]
    return module.run(read_table(table), output=output, settings=SETTINGS, strong_copies=1, **own)


def test_a_run_leaves_its_files(finished: Path, small_table: Path) -> None:
    report = json.loads((finished / "report.json").read_text())
    rows = pd.read_csv(finished / "pseudo_labels.csv")
    table = pd.read_csv(small_table, keep_default_na=False)
    unlabelled = list(table.index[(table["label"] == "") & (table["split"] == "train")] + 1)
    assert set(rows["row"]) <= set(unlabelled) and rows["row"].is_monotonic_increasing
    assert rows["confidence"].between(0, 1).all() and set(rows["label"]) <= {"zero", "one", "two"}
    assert len(rows) == report["unlabelled"]["rows"] == 12 - report["unlabelled"]["set_aside"] > 9
    assert report["training"]["validation_rows_that_chose"] == 24
    assert report["control"] in report["baselines"]
    assert report["verdict"]["sentence"].startswith(("The unlabelled rows", "No difference can be seen"))
    assert {"logistic regression on pixels", "LDA on frozen features"} <= set(report["baselines"])


def test_the_saved_model_predicts_the_same(finished: Path, small_table: Path) -> None:
    from toolkit.models import classifiers
    from toolkit.training import prediction

    table = read_table(small_table)
    expected = pd.read_csv(finished / "predictions.csv").filter(like="probability_").to_numpy()
    found = prediction.predict(classifiers.load(finished / "model.keras")[0], table)
    np.testing.assert_allclose(found[np.argsort(table.rows)], expected, atol=1e-5)


@pytest.mark.parametrize("recipe", ["pseudo_label", "fix_match"])
def test_without_unlabelled_rows_the_result_is_the_control(recipe: str, small_table: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(small_table, keep_default_na=False)
    path = small_table.with_name(f"labelled for {recipe}.csv")
    frame[frame["label"] != ""].to_csv(path, index=False)
    report = run(recipe, path, tmp_path / "run")
    assert report["test"]["log_loss"] == report["baselines"][report["control"]]["log_loss"]
    assert report["unlabelled"]["rows"] == 0
    assert any("No training row is unlabelled" in note for note in report["notes"])


def test_wrong_options_are_refused(small_table: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="method is 'Lee'; it must be one of rounds, lee"):
        pseudo_label.run(read_table(small_table), output=tmp_path / "run", settings=SETTINGS, method="Lee")
    with pytest.raises(ValueError, match="rule is 'best'; it must be one of"):
        fix_match.run(read_table(small_table), output=tmp_path / "run", settings=SETTINGS, rule="best")
