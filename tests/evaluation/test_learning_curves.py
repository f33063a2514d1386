"""Learning curves of hand-made hits."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.evaluation import learning_curves
from toolkit.evaluation.repetitions import TestRows

COUNT = 300
NAMES = [("majority class", "plain"), ("logistic regression on pixels", "plain"), ("fine-tune", "network")]


def at(labels: int | None, accuracies: dict[str, float], failures: dict[str, str] | None = None) -> dict[str, Any]:
    random = np.random.default_rng(labels or 99)
    hits = {name: [random.permutation(COUNT) < value * COUNT for _ in range(3)] for name, value in accuracies.items()}
    return {"labels_per_class": labels, "labelled_rows": 10 * (labels or 99),
            "tests": TestRows([np.arange(COUNT)] * 3, None, [10] * 3), "hits": hits,
            "control_hits": {name: hits[name] if name == "fix-match" else [None] * 3 for name in hits},
            "pool": labels and 1000, "seconds": {name: [1.0, 2.0, 3.0] for name in hits}, "failures": failures or {}}


def built(*found: dict[str, Any]) -> dict[str, Any]:
    return {"source": "t.csv", "num_classes": 10, "seeds": 3, "notes": [], **learning_curves.build(NAMES, list(found))}


def accuracies(control: float, deep: float) -> dict[str, float]:
    return dict(zip([name for name, _ in NAMES], (0.1, control, deep), strict=True))


@pytest.mark.parametrize(("deep", "start", "words"), [
    ((0.4, 0.8, 0.95), 5, "fine-tune is better from 5 labels a class on than logistic regression on pixels."),
    ((0.4, 0.5, 0.95), "all", "fine-tune is better with all labels than logistic regression on pixels."),
    ((0.9, 0.9, 0.95), 1, "fine-tune is better from 1 label a class on than logistic regression on pixels."),
    ((0.9, 0.9, 0.7), None, "With the most labels measured, fine-tune is not shown to be better than logistic "
                              "regression on pixels (with 1, 5 a class it is).")])
def test_from_how_many_labels_on_the_deep_model_is_better(deep: tuple[float, ...], start: Any, words: str) -> None:
    report = built(*(at(count, accuracies(control, own))
                     for count, control, own in zip((1, 5, None), (0.45, 0.5, 0.7), deep, strict=True)))
    assert report["comparisons"][0]["better_from"] == start
    assert report["verdict"]["sentence"] == words


def test_points_tables_and_files(tmp_path: Path) -> None:
    report = built(at(1, accuracies(0.5, 0.5)),
                   at(5, {name: value for name, value in accuracies(0.6, 0.6).items() if name != "fine-tune"},
                      {"fine-tune": "too few rows"}))
    deep = report["rows"][2]
    assert deep["failure"] == "too few rows" and deep["points"][1] is None
    assert deep["points"][0]["error"] == pytest.approx(0.5) and deep["points"][0]["seconds"] == 2.0
    text = learning_curves.text(report)
    assert "fine-tune failed: too few rows" in text and "labels a class" in text and "50.0 ±" in text
    learning_curves.write(tmp_path, report)
    with open(tmp_path / "learning_curve.csv") as file:
        lines = list(csv.DictReader(file))
    assert [(line["name"], line["labels_per_class"]) for line in lines] == [
        ("majority class", "1"), ("majority class", "5"), ("logistic regression on pixels", "1"),
        ("logistic regression on pixels", "5"), ("fine-tune", "1")]


def test_what_learns_from_unlabelled_rows_stands_against_all_that_does_not() -> None:
    names = [*NAMES, ("fix-match", "unlabelled")]
    few, all_ = (at(count, {**accuracies(0.5, 0.6), "fix-match": 0.9}) for count in (1, None))
    report = learning_curves.build(names, [few, all_])
    pairs = [(own["first"], own["second"]) for own in report["comparisons"]]
    assert pairs == [("fine-tune", NAMES[1][0]), ("fix-match", learning_curves.OWN_CONTROL),
                     ("fix-match", NAMES[1][0]), ("fix-match", "fine-tune")]
    own, *others = report["comparisons"][1:]
    assert own["points"][0]["difference"] == 0 and own["better_from"] is None
    for other in others:  # with all labels there is no pool, and nothing to compare
        assert other["better_from"] == 1 and other["better_at"] == [1] and other["points"][1] is None
    assert report["rows"][-1]["points"][0]["labels_only_error"] == pytest.approx(0.1)
