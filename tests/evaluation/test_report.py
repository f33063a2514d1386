"""The files of a run hold what was predicted, whole or not at all, and the text can be read."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn_metrics

from toolkit import ToolkitError
from toolkit.evaluation import report
from toolkit.evaluation.report.files import plain, write_csv, write_json
from toolkit.evaluation.text_tables import columns
from toolkit.tables import RejectedRow, Table

REJECTED = (RejectedRow(2, "gone.jpg", "test", "cat", "missing", "no such file"),
            RejectedRow(9, "bad\n.png", "", "", "not_an_image", "starts with '<htm', \"quoted\""))


def predicted(table: Table, seed: int = 0, strength: float = 2.0) -> np.ndarray:
    """Probabilities that know something of the labels, in single precision."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(len(table), len(table.class_names)))
    logits += strength * np.eye(len(table.class_names))[table.labels] * (table.labels >= 0)[:, None]
    exponentials = np.exp(logits)
    return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def table(make_table) -> Table:
    labels = [0, 1] * 40 + [-1] * 10
    splits = ["train"] * 20 + ["validation"] * 10 + ["test"] * 50 + ["train"] * 8 + ["test"] * 2
    return make_table(labels, splits, rejected=REJECTED, notes=("Two files are the same picture.",))


def built(table: Table, **changes) -> dict:
    test = table.labelled("test")
    arguments = {"recipe": "fine-tuning", "training": {"epochs": 3, "loss": 0.25},
                 "baselines": {"logistic regression on pixels": predicted(table, 1, 1.0)[test],
                               "majority class": np.full((len(test), len(table.class_names)),
                                                         1 / len(table.class_names))},
                 "control": "logistic regression on pixels", "seed": 0} | changes
    return report.build(table, predicted(table), **arguments)


def read_csv(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_report_holds_scores_comparisons_and_verdict(table: Table) -> None:
    result = built(table)
    assert list(result) == ["recipe", "data", "training", "validation", "test", "baselines", "comparisons", "control",
                            "verdict", "confused_pairs", "worst_errors", "notes"]
    assert (result["test"]["count"], result["validation"]["count"]) == (50, 10)
    assert set(result["baselines"]) == set(result["comparisons"]) == {"logistic regression on pixels", "majority class"}
    assert result["verdict"]["code"] in {"better", "worse", "not_distinguishable"}
    assert result["verdict"]["sentence"].startswith("fine-tuning (")
    assert result["verdict"]["sentence"].endswith("50 test images.")
    assert result["data"]["rejected"] == {"missing": 1, "not_an_image": 1}
    assert result["data"]["rows"] == 92
    assert result["data"]["splits"]["train"] == {"rows": 28, "labelled": 20, "per_class": {"cat": 10, "dog": 10}}
    assert result["notes"][0] == "Two files are the same picture."
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_worst_errors_are_confident_and_wrong(table: Table) -> None:
    errors = built(table)["worst_errors"]
    probabilities = predicted(table)
    test = table.labelled("test")
    wrong = [row for row in test if probabilities[row].argmax() != table.labels[row]]
    wrong.sort(key=lambda row: -probabilities[row].max())
    assert [error["row"] for error in errors] == table.rows[wrong][:20].tolist()
    assert [error["input"] for error in errors] == table.names[wrong][:20].tolist()
    assert all(error["label"] != error["prediction"] for error in errors)


def test_numbers_equal_scikit_learn_on_the_file(table: Table, tmp_path: Path) -> None:
    result = built(table)
    report.write(tmp_path, table, predicted(table), result, params={}, history=[])
    rows = pd.read_csv(tmp_path / "predictions.csv")
    rows = rows[(rows["split"] == "test") & (rows["status"] == "ok") & rows["label"].notna()]
    labels = (rows["label"] == "dog").astype(int)
    probabilities = rows[["probability_cat", "probability_dog"]].to_numpy()
    test = result["test"]
    assert test["accuracy"] == sklearn_metrics.accuracy_score(rows["label"], rows["prediction"])
    f1 = sklearn_metrics.f1_score(rows["label"], rows["prediction"], average="macro")
    assert test["macro_f1"] == pytest.approx(f1)
    assert test["log_loss"] == pytest.approx(sklearn_metrics.log_loss(labels, probabilities), abs=1e-12)
    assert test["roc_auc"] == pytest.approx(sklearn_metrics.roc_auc_score(labels, probabilities[:, 1]), abs=1e-12)


def test_one_line_of_predictions_for_each_input_row_in_its_order(table: Table, tmp_path: Path) -> None:
    probabilities = predicted(table)
    report.write(tmp_path, table, probabilities, built(table), params={}, history=[])
    header, *lines = read_csv(tmp_path / "predictions.csv")
    assert header == ["row", "input", "split", "label", "status", "prediction", "confidence", "probability_cat",
                      "probability_dog"]
    assert [line[0] for line in lines] == [str(row) for row in range(1, 93)]
    assert lines[1] == ["2", "gone.jpg", "test", "cat", "rejected", "", "", "", ""]
    assert lines[8][:5] == ["9", "bad\n.png", "", "", "rejected"]
    index = {str(row): number for number, row in enumerate(table.rows)}
    for line in lines:
        if line[4] == "ok":
            number = index[line[0]]
            assert line[1:3] == [table.names[number], table.splits[number]]
            assert line[3] == ("" if table.labels[number] < 0 else table.class_names[table.labels[number]])
            np.testing.assert_allclose(list(map(float, line[7:])), probabilities[number], atol=1e-7)
            assert sum(map(float, line[7:])) == pytest.approx(1, abs=1e-15)
            assert line[5] == table.class_names[probabilities[number].argmax()]
            assert float(line[6]) == max(map(float, line[7:]))


def test_other_files(table: Table, tmp_path: Path) -> None:
    history = [{"epoch": 1, "seconds": 2.5, "learning_rate": 0.1, "loss": 0.7, "accuracy": 0.5}, {"epoch": 2}]
    result = built(table)
    report.write(tmp_path / "new" / "run", table, predicted(table), result, history=history,
                 params={"output": Path("x"), "size": np.int64(3), "rate": float("inf"), "sizes": (1, 2)})
    folder = tmp_path / "new" / "run"
    assert sorted(os.listdir(folder)) == ["classes.json", "history.csv", "params.json", "predictions.csv",
                                          "rejected.csv", "report.json", "splits.csv"]
    assert read_csv(folder / "rejected.csv") == [
        ["row", "input", "reason", "message"], ["2", "gone.jpg", "missing", "no such file"],
        ["9", "bad\n.png", "not_an_image", "starts with '<htm', \"quoted\""]]
    splits = read_csv(folder / "splits.csv")
    assert splits[0] == ["row", "split", "checksum"] and splits[2] == ["2", "test", ""] and len(splits) == 93
    told = (table.labels >= 0) & (table.splits != "test")
    assert report.learnt(folder) == report.learnt(folder / "model.keras") == {*table.checksums[told]} != set()
    assert report.learnt(tmp_path / "nowhere") == set()
    assert json.loads((folder / "classes.json").read_text()) == ["cat", "dog"]
    assert read_csv(folder / "history.csv") == [["epoch", "seconds", "learning_rate", "loss", "accuracy"],
                                                ["1", "2.5", "0.1", "0.7", "0.5"], ["2", "", "", "", ""]]
    assert json.loads((folder / "params.json").read_text()) == {"output": "x", "size": 3, "rate": None, "sizes": [1, 2]}
    assert json.loads((folder / "report.json").read_text()) == result


def test_without_epochs_the_history_has_its_header(table: Table, tmp_path: Path) -> None:
    report.write(tmp_path, table, predicted(table), built(table), params={}, history=[])
    assert read_csv(tmp_path / "history.csv") == [["epoch", "seconds", "learning_rate", "loss"]]


def test_groups_are_used_and_written(make_table, tmp_path: Path) -> None:
    table = make_table([0, 1] * 20, ["test"] * 40, groups=[f"patient {number // 4}" for number in range(40)])
    result = built(table)
    assert result["data"]["num_groups"] == result["test"]["num_groups"] == 10
    assert result["verdict"]["sentence"].endswith("40 test images in 10 groups.")
    text = report.text(result)
    assert "drawing groups" in text and "exact test by group" in text and "bootstrap of groups" in text
    report.write(tmp_path, table, predicted(table), result, params={}, history=[])
    assert read_csv(tmp_path / "splits.csv")[:2] == [["row", "split", "group", "checksum"],
                                                      ["1", "test", "patient 9", ""]]


def test_without_labelled_test_rows(make_table) -> None:
    table = make_table([0, 1, 0, 1, -1], ["train"] * 4 + ["test"])
    result = built(table)
    assert result["test"] is None and result["validation"] is None and result["comparisons"] == {}
    assert result["verdict"] == {"code": None,
                                 "sentence": "No verdict on fine-tuning: the test split has no labelled row."}
    assert "the test split has no labelled row" in report.text(result)


def test_without_a_control(make_table) -> None:
    result = built(make_table([0, 1, 1], ["test"] * 3), baselines={}, control=None)
    assert result["verdict"]["code"] is None
    assert "baseline to compare with." in report.text(result)
    with pytest.raises(ValueError, match="'k-nearest' is not among the baselines"):
        built(make_table([0, 1, 1], ["test"] * 3), control="k-nearest")


@pytest.mark.parametrize("labels", [[0], [1, 1, 1], [0, 1]])
def test_tiny_test_splits(make_table, tmp_path: Path, labels: list[int]) -> None:
    table = make_table(labels, ["test"] * len(labels))
    result = built(table)
    report.write(tmp_path, table, predicted(table), result, params={}, history=[])
    assert json.loads((tmp_path / "report.json").read_text()) == result
    assert "Verdict: " in report.text(result)


def test_perfect_predictions(make_table) -> None:
    table = make_table([0, 1] * 10, ["test"] * 20)
    result = report.build(table, np.eye(2)[table.labels], recipe="x", training={}, baselines={}, control=None, seed=0)
    assert result["worst_errors"] == result["confused_pairs"] == []
    assert "No error on the test images." in report.text(result)


def test_the_text_says_how_images_reach_the_network(make_table) -> None:
    table = make_table([0, 1] * 10, ["test"] * 20)
    found = {"weights": "a.pth", "preprocessing": "the checkpoint's own configuration", "mean": [127.5] * 3,
             "std": [58.4, 57.1, 57.4], "image_size": 224, "resize_size": 236, "interpolation": "bicubic"}
    result = report.build(table, np.eye(2)[table.labels], recipe="x", training={"preprocessing": found}, baselines={},
                          control=None, seed=0)
    assert ("Images: short side 236, centre 224, bicubic, (pixels - 127.5) / 58.4, 57.1, 57.4: the checkpoint's own "
            "configuration.") in report.text(result).replace("\n", " ")


def test_diverged_networks_are_refused(table: Table) -> None:
    probabilities = predicted(table)
    probabilities[7] = np.nan
    with pytest.raises(ToolkitError, match=r"Row 85 \(images/7.jpg\) .* smaller learning rate"):
        report.build(table, probabilities, recipe="x", training={}, baselines={}, control=None, seed=0)
    with pytest.raises(ValueError, match=r"Expected \(90, 2\) probabilities, got \(89, 2\)"):
        report.build(table, probabilities[:-1], recipe="x", training={}, baselines={}, control=None, seed=0)


def test_text_says_everything_in_a_hundred_columns(table: Table) -> None:
    result = json.loads(json.dumps(built(table)))
    text = report.text(result)
    for part in ("fine-tuning on photos.csv", "2 classes: cat, dog", "train 28 (20 labelled)", "2 rejected",
                 "epochs 3, loss 0.25", "test, 50 images", "balanced accuracy", "ROC AUC", "log loss",
                 "logistic regression on pixels", "majority class", "McNemar", "Confusion matrix", "Most confused",
                 "taken for", "Worst errors", "1 missing, 1 not an image", "Two files are the same picture.",
                 result["worst_errors"][0]["input"], result["verdict"]["sentence"][:40]):
        assert part in text, part
    assert max(map(columns, text.splitlines())) <= 100
    assert text.splitlines()[-1].endswith("test images.")


@pytest.mark.parametrize("num_classes", [3, 20, 100, 1050])
def test_text_for_many_classes_with_long_unicode_names(make_table, tmp_path: Path, num_classes: int) -> None:
    names = tuple(f"клас {number:04d} 犬の写真 " + "x" * (number % 30) for number in range(num_classes))
    labels = np.arange(max(100, num_classes)) % num_classes
    table = make_table(labels, ["test"] * len(labels), names,
                       names=[f"снимки/{number}\udcff\n.jpg" for number in range(len(labels))])
    result = built(table, baselines={}, control=None)
    text = report.text(result)
    assert max(map(columns, text.splitlines())) <= 120
    assert len(text.splitlines()) < 120
    text.encode("utf-8")
    report.write(tmp_path, table, predicted(table), result, params={}, history=[])
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == result
    with (tmp_path / "predictions.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        header, *lines = csv.reader(file)
    assert header[7:] == [f"probability_{name}" for name in names]
    assert sorted(line[1] for line in lines) == sorted(table.names)


def test_a_failing_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lines():
        yield [1, "a"]
        raise OSError(28, "No space left on device")

    path = tmp_path / "predictions.csv"
    path.write_text("before")
    with pytest.raises(ToolkitError, match="predictions.csv cannot be written: No space left on device"):
        write_csv(path, ["row", "input"], lines())
    assert path.read_text() == "before" and os.listdir(tmp_path) == ["predictions.csv"]
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(ToolkitError, match="Input/output error"):
        write_json(tmp_path / "report.json", {})
    assert os.listdir(tmp_path) == ["predictions.csv"]
    with pytest.raises(ToolkitError, match="cannot be written"):
        write_json(path / "report.json", {})


def test_json_keeps_numbers_on_a_line_and_names_as_they_are(tmp_path: Path) -> None:
    value = {"matrix": [[1, 2], [3, None]], "names": ["a [1,\n 2]", "ü  [1  2]", "\udcff"]}
    write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert "[ 1, 2 ]" in text and "ü" in text


def test_plain_values() -> None:
    value = plain({1: np.float32(0.5), "a": np.array([[1, 2]]), "b": {"y", "x"}, "c": float("nan"), "d": True,
                   "e": np.nan * np.ones(1)})
    assert value == {"1": 0.5, "a": [[1, 2]], "b": ["x", "y"], "c": None, "d": True, "e": [None]}


def test_cells_with_line_breaks_read_back(tmp_path: Path) -> None:
    rows = [["a\rb", "c\nd", "e\r\nf", "g"], ["\r", "", 'h"', "1"]]
    write_csv(tmp_path / "cells.csv", ["1", "2", "3", "4"], rows)
    assert read_csv(tmp_path / "cells.csv")[1:] == rows
    assert pd.read_csv(tmp_path / "cells.csv", dtype=str, keep_default_na=False).to_numpy().tolist() == rows
