"""Runs are compared on the rows they share, and refused in words where they share none."""

import json
from pathlib import Path

import numpy as np
import pytest

from toolkit import ToolkitError
from toolkit.evaluation import comparison, report, run_comparison
from toolkit.tables import RejectedRow, Table


def probabilities(table: Table, seed: int, strength: float) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(len(table), 3))
    logits += strength * np.eye(3)[table.labels]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.fixture
def make_run(tmp_path: Path, make_table):
    def make(name: str, *, seed: int = 0, strength: float = 1.0, labels: list[int] | None = None,
             class_names: tuple[str, ...] = ("NA", "nan", "ü"), **options) -> tuple[str, Table, dict]:
        labels = labels or [0, 1, 2] * 40
        splits = ["test"] * (len(labels) - 15) + ["train"] * 15
        table = make_table(labels, splits, class_names,
                           rejected=(RejectedRow(3, "gone.jpg", "test", "ü", "missing", "no such file"),), **options)
        values = probabilities(table, seed, strength)
        result = report.build(table, values, recipe=f"recipe {name}", training={}, baselines={}, control=None, seed=0)
        report.write(tmp_path / name, table, values, result, params={}, history=[])
        return str(tmp_path / name), table, result
    return make


def test_comparison_equals_that_of_the_probabilities(make_run) -> None:
    first, table, first_report = make_run("a")
    second, _, second_report = make_run("b", seed=1, strength=2.5)
    third, _, _ = make_run("c", seed=2)
    result = run_comparison.compare_runs([first, second, third])
    rows = table.labelled("test")
    expected = comparison.compare(table.labels[rows], probabilities(table, 1, 2.5)[rows],
                                  probabilities(table, 0, 1.0)[rows], first_name=second, second_name=first)
    compared = result["comparisons"][0]
    assert {key: value for key, value in compared.items() if key != "p_value_holm"} == expected
    assert compared["p_value_holm"] == min(1, 2 * compared["p_value"])
    assert result["verdicts"][0]["code"] == "better" and result["verdicts"][1]["code"] == "not_distinguishable"
    for run, own in zip(result["runs"][:2], (first_report, second_report), strict=True):
        assert run["scores"]["log_loss"] == pytest.approx(own["test"]["log_loss"], abs=1e-12)
        assert run["scores"]["confusion"] == own["test"]["confusion"]
    assert json.loads(json.dumps(result)) == result


def test_text(make_run) -> None:
    first, second = make_run("a")[0], make_run("b", seed=1, strength=2.5)[0]
    text = run_comparison.text(run_comparison.compare_runs([first, second]))
    assert text.startswith("105 test rows, 3 classes\n")
    assert "recipe b" in text and "adjusted by Holm for 1 comparison." in text
    assert f"{second} (" in text and "is better than" in text


def test_groups_are_read_back(make_run) -> None:
    groups = [f"g{number // 6}" for number in range(120)]
    runs = [make_run("a", groups=groups)[0], make_run("b", seed=1, groups=groups)[0]]
    result = run_comparison.compare_runs(runs)
    assert result["comparisons"][0]["num_groups"] == result["runs"][0]["scores"]["num_groups"] == 18
    assert "exact test by group, 18 groups" in run_comparison.text(result)


def test_runs_that_share_no_rows_are_refused(make_run) -> None:
    first = make_run("a")[0]
    other_labels = make_run("b", labels=[1] + [1, 2, 0] * 40)[0]
    with pytest.raises(ToolkitError, match=r"share their rows: row \d+, input images/\d+.jpg, label \S+ is only in"):
        run_comparison.compare_runs([first, other_labels])
    other_classes = make_run("c", class_names=("NA", "nan", "zebra"))[0]
    with pytest.raises(ToolkitError, match=r"differ in their classes \(zebra, ü\)"):
        run_comparison.compare_runs([first, other_classes])
    unlabelled = make_run("d", labels=[-1] * 120)[0]
    with pytest.raises(ToolkitError, match="no labelled test row"):
        run_comparison.compare_runs([unlabelled, unlabelled])
    with pytest.raises(ToolkitError, match="at least two runs to compare, got 1"):
        run_comparison.compare_runs([first])


def test_folders_that_are_no_runs_are_refused(make_run, tmp_path: Path) -> None:
    run = Path(make_run("a")[0])
    with pytest.raises(ToolkitError, match="holds no report.json: expected the folder of a finished run"):
        run_comparison.read_run(tmp_path)
    (run / "report.json").write_text("{")
    with pytest.raises(ToolkitError, match="report.json is damaged"):
        run_comparison.read_run(run)
    (run / "report.json").write_text('{"recipe": "x"}')
    for damage in ("", "row,input\n1,a\n", "row,input,split,label,status,prediction,probability_a\n1,a,test,a,ok,a,x\n",
                   "row,input,split,label,status,prediction\n1,a,test,a,ok,a,1,2,3\n2\n"):
        (run / "predictions.csv").write_text(damage)
        with pytest.raises(ToolkitError, match="is not the predictions.csv of a run"):
            run_comparison.read_run(run)


def test_predictions_that_repeat(make_run, tmp_path: Path) -> None:
    first, second = (Path(make_run(name)[0]) / "predictions.csv" for name in "ab")
    assert run_comparison.compare_predictions(first, second) == {
        "rows": 121, "max_difference": 0.0, "identical_predictions": True, "identical_files": True}
    third = Path(make_run("c", seed=1)[0]) / "predictions.csv"
    result = run_comparison.compare_predictions(first, third)
    assert 0 < result["max_difference"] <= 1
    assert not result["identical_predictions"] and not result["identical_files"]
    fewer = Path(make_run("d", labels=[0, 1, 2] * 39)[0]) / "predictions.csv"
    with pytest.raises(ToolkitError, match="do not share their rows"):
        run_comparison.compare_predictions(first, fewer)
    other = Path(make_run("e", class_names=("NA", "nan", "zebra"))[0]) / "predictions.csv"
    with pytest.raises(ToolkitError, match="differ in their classes"):
        run_comparison.compare_predictions(first, other)
    text = first.read_text(encoding="utf-8").splitlines()
    text[1] = ",".join([*text[1].split(",")[:6], "", "", "", ""])
    third.write_text("\n".join(text) + "\n", encoding="utf-8")
    with pytest.raises(ToolkitError, match="which rows have probabilities"):
        run_comparison.compare_predictions(first, third)
