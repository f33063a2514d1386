"""The table of a benchmark and its verdict, on hand-made hits."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.evaluation import benchmark_tables, comparison
from toolkit.evaluation.repetitions import TestRows

COUNT = 400


def row(name: str, accuracy: float, *, kind: str = "plain", seeds: int = 1, validation: float | None = None,
        labels_only: float | None = None, shift: int = 0, **more: Any) -> dict[str, Any]:
    """A row that is right on the first share of the test rows, rolled by ``shift`` and by the seed."""
    hits = [np.roll(np.arange(COUNT) < accuracy * COUNT, shift + seed) for seed in range(seeds)]
    control = [None if labels_only is None else np.arange(COUNT) < labels_only * COUNT] * seeds
    return {"name": name, "kind": kind, "hits": hits, "validation": [validation] * seeds,
            "control_hits": control, "seconds": [3.0] * seeds,
            "peak_memory_gb": [0.5 + seed for seed in range(seeds)], "published": None, "failure": "", **more}


def built(*rows: dict[str, Any], seeds: int = 1) -> dict[str, Any]:
    report = benchmark_tables.build(rows, TestRows([np.arange(COUNT)] * seeds, None, [1000] * seeds))
    splits = {"train": 1000, "validation": 0, "test": COUNT}
    return {**report, "source": "t|able.csv", "num_classes": 2, "splits": splits, "notes": ["A note."]}


MAJORITY = row("majority class", 0.5, validation=0.5)
PLAIN = row("logistic regression on pixels", 0.9, validation=0.9, shift=20)


def test_on_noise_nothing_beats_the_majority_class() -> None:
    report = built(MAJORITY, row("logistic regression on pixels", 0.52, validation=0.6, shift=200),
                   row("fine-tune", 0.49, kind="network", validation=0.5, shift=77))
    assert report["verdict"]["code"] == "nothing_beats_majority"
    assert report["verdict"]["sentence"].startswith("Nothing beats the majority class (error 50.0 %)")


@pytest.mark.parametrize(("accuracy", "validation", "code", "answer"), [
    (0.97, 0.99, "better", "Yes: fine-tune (error 3.0 %) is better than logistic regression on pixels (10.0 %)"),
    (0.9, 0.85, "not_distinguishable", "Not shown: fine-tune (error 10.0 %) is not distinguishable from logistic"),
    (0.7, 0.99, "worse", "No: fine-tune (error 30.0 %) is worse than logistic regression on pixels")])
def test_is_the_deep_model_worth_it(accuracy: float, validation: float, code: str, answer: str) -> None:
    report = built(MAJORITY, PLAIN, row("LDA on pixels", 0.6, validation=0.6),
                   row("fine-tune", accuracy, kind="network", validation=validation, shift=40))
    assert report["verdict"]["code"] == code
    assert answer in report["verdict"]["sentence"]
    assert report["best_on_validation"] == ("fine-tune" if validation > 0.9 else "logistic regression on pixels")


def test_the_deep_row_is_chosen_on_validation_and_not_on_test_rows() -> None:
    report = built(MAJORITY, PLAIN, row("lucky", 0.99, kind="network", validation=0.8),
                   row("chosen", 0.9, kind="network", validation=0.95, shift=20))
    assert "chosen" in report["verdict"]["sentence"] and "lucky" not in report["verdict"]["sentence"]
    assert report["verdict"]["code"] == "not_distinguishable"
    assert any("better: lucky" in sentence for sentence in report["verdict"]["sentences"][1:])


def test_without_validation_rows_the_control_stands_against_the_first_deep_row() -> None:
    report = built(row("majority class", 0.5), row("logistic regression on pixels", 0.9, shift=20),
                   row("LDA on frozen features", 0.99), row("fine-tune", 0.9, kind="network", shift=20))
    assert report["best_on_validation"] is None
    assert list(report["comparisons"]) == ["majority class", "logistic regression on pixels"]
    assert "no validation rows to choose by" in report["verdict"]["sentence"]


def test_without_a_deep_row_the_sentences_say_which_rows_beat_which() -> None:
    report = built(MAJORITY, PLAIN, row("LDA on pixels", 0.99, validation=0.95))
    assert report["verdict"]["code"] == "no_deep_model"
    assert report["verdict"]["sentence"] == ("Against logistic regression on pixels (error 10.0 %): better: LDA on "
                                             "pixels; worse: majority class.")


def test_comparisons_are_mcnemars_adjusted_by_holm() -> None:
    report = built(MAJORITY, PLAIN, row("LDA on pixels", 0.93, validation=0.7, shift=9))
    found = report["comparisons"]["logistic regression on pixels"]
    direct = [comparison.compare_hits(own["hits"][0], PLAIN["hits"][0], first_name="", second_name="")
              for own in (MAJORITY, row("LDA on pixels", 0.93, shift=9))]
    assert [own["first"] for own in found] == ["majority class", "LDA on pixels"]
    assert [own["mcnemar"]["p_value"] for own in found] == [own["p_value"] for own in direct]
    assert [own["p_value_holm"] for own in found] == comparison.holm([own["p_value"] for own in direct])
    assert [own["difference"] for own in found] == [own["difference"] for own in direct]


def test_over_seeds_the_row_has_mean_deviation_worst_and_cost() -> None:
    many = row("net", 0.9, kind="network", seeds=3, validation=0.9)
    many["hits"][1] = np.arange(COUNT) < 0.8 * COUNT
    many["seconds"] = [1.0, 2.0, 6.0]
    found = next(own for own in built(MAJORITY, PLAIN, many, seeds=3)["rows"] if own["name"] == "net")
    assert found["error"] == pytest.approx(0.4 / 3)
    assert found["deviation"] == pytest.approx(np.std([0.1, 0.2, 0.1], ddof=1))
    assert (found["worst_error"], found["seeds"]) == (pytest.approx(0.2), 3)
    assert (found["seconds"], found["peak_memory_gb"]) == (3.0, 2.5)
    assert [own["error"] for own in found["runs"]] == pytest.approx([0.1, 0.2, 0.1])
    low, high = found["interval95"]
    assert low < found["error"] < high


def test_a_row_that_failed_is_a_line_and_stands_in_no_comparison(tmp_path: Path) -> None:
    report = built(MAJORITY, PLAIN, row("huge | net", 0.9, failure="out of memory", hits=[]))
    text = benchmark_tables.text(report)
    assert "huge | net failed: out of memory" in text
    assert all(own["first"] != "huge | net" for found in report["comparisons"].values() for own in found)
    benchmark_tables.write(tmp_path, report)
    with open(tmp_path / "benchmark.csv") as file:
        lines = list(csv.DictReader(file))
    assert [line["name"] for line in lines] == ["majority class", "logistic regression on pixels", "huge | net"]
    assert (lines[2]["failure"], lines[2]["error"]) == ("out of memory", "")
    assert float(lines[1]["error"]) == pytest.approx(0.1)
    assert json.loads((tmp_path / "benchmark.json").read_text())["verdict"] == report["verdict"]
    table = [line for line in (tmp_path / "benchmark.md").read_text().splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1 and len(table) == 5


def test_a_published_figure_has_its_column() -> None:
    figure = {"error": 0.127, "source": "James et al.", "set": "MNIST"}
    assert "published" not in benchmark_tables.text(built(MAJORITY, PLAIN))
    text = benchmark_tables.text(built(MAJORITY, {**PLAIN, "published": figure}))
    assert "published" in text and "12.70 %" in text


@pytest.mark.parametrize(("accuracy", "words"), [(0.97, "better: mix-match"), (0.85, "not distinguishable: mix-match"),
                                                 (0.7, "worse: mix-match")])
def test_did_the_unlabelled_rows_help(accuracy: float, words: str) -> None:
    """Its own control answers that, not the probe, which is another method."""
    probe = row("linear-probe", 0.9, shift=20, recipe="linear_probe")
    report = built(MAJORITY, PLAIN, row("fine-tune", 0.95, kind="network"), probe,
                   row("mix-match", accuracy, kind="unlabelled", labels_only=0.85))
    assert report["labels_only"] == "linear-probe"
    said = [sentence for sentence in report["verdict"]["sentences"] if sentence.startswith("Did the unlabelled rows")]
    assert said == [f"Did the unlabelled rows help? Against the same method on the labels alone: {words}."]
    assert any(sentence.startswith("Against linear-probe, which learns from the labels alone (error 10.0 %): ")
               for sentence in report["verdict"]["sentences"])
    assert report["rows"][-1]["labels_only_error"] == pytest.approx(0.15)
    text = benchmark_tables.text(report)
    assert "its labels only" in text and "15.0 %" in text and "Accuracy beside linear-probe" in text


def test_unlabelled_rows_stand_against_the_labels_only_row_that_is_best_on_validation() -> None:
    report = built(MAJORITY, PLAIN, row("fine-tune", 0.5, kind="network", validation=0.95),
                   row("mix-match", 0.9, kind="unlabelled", validation=0.99, labels_only=0.9))
    assert report["labels_only"] == "fine-tune" and report["best_on_validation"] == "mix-match"
    assert built(MAJORITY, PLAIN)["labels_only"] is None
