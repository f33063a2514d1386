"""Scores equal scikit-learn's, are defined in every case, and their intervals are those of the plain bootstrap."""

import json
import time

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from toolkit import ToolkitError
from toolkit.evaluation import groups
from toolkit.evaluation.metrics import METRICS, scores
from toolkit.evaluation.row_sums import RowSums


def random_problem(seed: int, count: int, num_classes: int, *, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Labels that occur all, and probabilities that know something of them."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(num_classes), random.integers(0, num_classes, count - num_classes)])
    logits = random.normal(size=(count, num_classes)) + 1.5 * np.eye(num_classes)[labels]
    if ties:
        logits = logits.round()
    probabilities = np.exp(logits)
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


def names(num_classes: int) -> list[str]:
    return [f"class {number}" for number in range(num_classes)]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("count", "num_classes"), [(40, 2), (60, 3), (500, 10), (300, 40)])
def test_numbers_equal_scikit_learn(count: int, num_classes: int, ties: bool) -> None:
    labels, probabilities = random_problem(count, count, num_classes, ties=ties)
    result = scores(labels, probabilities, names(num_classes), draws=10)
    predictions = probabilities.argmax(axis=1)
    ranked = probabilities[:, 1] if num_classes == 2 else probabilities
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(labels, predictions),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(labels, predictions),
        "macro_f1": sklearn_metrics.f1_score(labels, predictions, average="macro"),
        "log_loss": sklearn_metrics.log_loss(labels, probabilities),
        "roc_auc": sklearn_metrics.roc_auc_score(labels, ranked, multi_class="ovr"),
    }
    for name, value in expected.items():
        assert result[name] == pytest.approx(value, abs=1e-12), name
    assert result["confusion"] == sklearn_metrics.confusion_matrix(labels, predictions).tolist()
    table = np.array(sklearn_metrics.precision_recall_fscore_support(labels, predictions, zero_division=0)).T
    keys = ("precision", "recall", "f1", "count")
    ours = [[numbers[key] for key in keys] for numbers in result["per_class"].values()]
    np.testing.assert_allclose(ours, table, atol=1e-12)


def test_calibration_error_is_the_mean_gap_of_fifteen_bins() -> None:
    labels, probabilities = random_problem(3, 400, 3)
    confidence, hits = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    expected = 0.0
    for low, high in zip(np.linspace(0, 1, 16)[:-1], np.linspace(0, 1, 16)[1:]):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            expected += inside.mean() * abs(hits[inside].mean() - confidence[inside].mean())
    result = scores(labels, probabilities, names(3), draws=10)
    assert result["expected_calibration_error"] == pytest.approx(expected, abs=1e-12)


def test_weighted_sums_equal_metrics_of_repeated_rows() -> None:
    labels, probabilities = random_problem(4, 60, 3)
    weights = np.random.default_rng(0).integers(0, 4, (1, 60)).astype(float)
    repeated = np.repeat(np.arange(60), weights[0].astype(int))
    weighted = RowSums(labels, probabilities).metrics(weights)
    direct = RowSums(labels[repeated], probabilities[repeated]).metrics(np.ones((1, len(repeated))))
    for name in METRICS:
        tolerance = 0.01 if name == "roc_auc" else 1e-12  # its bootstrap is linearised
        np.testing.assert_allclose(weighted[name], direct[name], atol=tolerance, err_msg=name)


def test_intervals_are_those_of_a_plain_bootstrap() -> None:
    labels, probabilities = random_problem(5, 200, 3)
    random = np.random.default_rng(1)
    losses, hits = -np.log(probabilities[np.arange(200), labels]), probabilities.argmax(axis=1) == labels
    draws = []
    for _ in range(2000):
        rows = random.integers(0, 200, 200)
        recalls = [hits[rows][labels[rows] == number].mean() for number in range(3)]
        draws.append((losses[rows].mean(), np.mean(recalls)))
    result = scores(labels, probabilities, names(3))["intervals"]
    for name, values in zip(("log_loss", "balanced_accuracy"), np.transpose(draws), strict=True):
        expected = np.quantile(values, [0.025, 0.975])
        np.testing.assert_allclose(result[name], expected, atol=0.15 * np.ptp(expected), err_msg=name)


def test_area_interval_is_that_of_a_plain_bootstrap() -> None:
    labels, probabilities = random_problem(6, 150, 2)
    random = np.random.default_rng(1)
    drawn = [random.integers(0, 150, 150) for _ in range(500)]
    values = [sklearn_metrics.roc_auc_score(labels[rows], probabilities[rows, 1]) for rows in drawn]
    expected = np.quantile(values, [0.025, 0.975])
    result = scores(labels, probabilities, names(2))["intervals"]["roc_auc"]
    np.testing.assert_allclose(result, expected, atol=0.15 * np.ptp(expected))


def test_groups_widen_the_intervals_and_single_groups_change_nothing() -> None:
    labels, probabilities = random_problem(7, 60, 2)
    copies = np.repeat(np.arange(60), 5)
    alone = scores(labels, probabilities, names(2))
    copied = scores(labels[copies], probabilities[copies], names(2))
    grouped = scores(labels[copies], probabilities[copies], names(2), groups=copies.astype(str))
    width = {key: np.ptp(value["intervals"]["log_loss"])
             for key, value in {"alone": alone, "copied": copied, "grouped": grouped}.items()}
    assert width["copied"] < 0.6 * width["alone"]
    assert width["grouped"] == pytest.approx(width["alone"], rel=0.1)
    assert grouped["num_groups"] == 60 and "accuracy" in grouped["intervals"]
    assert alone["num_groups"] is None and "accuracy" not in alone["intervals"]
    singles = scores(labels, probabilities, names(2), groups=np.arange(60).astype(str))
    assert singles["intervals"]["log_loss"] == pytest.approx(alone["intervals"]["log_loss"], rel=0.1)


def test_rows_without_a_group_stand_alone() -> None:
    assert groups.numbers(np.array(["a", None, "a", float("nan"), ""], dtype=object), 5).tolist() == [0, 1, 0, 2, 3]
    assert groups.numbers(None, 3).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="one group for each of 3 rows"):
        groups.numbers(np.array(["a"]), 3)


CASES = {
    "one row, right": ([1], [[0.2, 0.8, 0.0]]),
    "one row, wrong": ([0], [[0.2, 0.8, 0.0]]),
    "all one class": ([1, 1, 1], [[0.2, 0.8, 0.0], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1]]),
    "one class absent": ([0, 1, 1], [[0.2, 0.8, 0.0], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1]]),
    "perfect": ([0, 1, 2], np.eye(3)),
    "certain and wrong": ([0, 1, 2], np.eye(3)[[1, 2, 0]]),
    "all equal": ([0, 1, 2], np.full((3, 3), 1 / 3)),
}


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_every_case_is_defined_and_serialisable(case: str, grouped: bool) -> None:
    labels, probabilities = CASES[case]
    given = np.array(["a", "a", "b"][:len(labels)]) if grouped else None
    result = scores(labels, probabilities, ["a", "b", "c"], draws=200, groups=given)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert all(result[name] is not None for name in METRICS if name != "roc_auc")
    for name, interval in result["intervals"].items():
        assert interval is None or interval[0] <= interval[1], name
    assert result["interval95"][0] <= result["accuracy"] <= result["interval95"][1]


def test_notes_say_what_is_undefined() -> None:
    one_class = scores(*CASES["all one class"], ["a", "b", "c"])
    assert one_class["roc_auc"] is None and one_class["intervals"]["roc_auc"] is None
    assert "ROC AUC is undefined" in one_class["notes"][0]
    absent = scores(*CASES["one class absent"], ["a", "b", "c"])
    assert absent["notes"][0].startswith("c: no labelled row here.")
    assert absent["per_class"]["c"] == {"precision": None, "recall": None, "f1": None, "count": 0}
    one_row = scores(*CASES["one row, right"], ["a", "b", "c"])
    assert set(one_row["intervals"].values()) == {None}
    assert "Only one row: the bootstrap gives no interval." in one_row["notes"]
    assert "No error was seen" in scores(*CASES["perfect"], ["a", "b", "c"])["notes"][0]


def test_area_of_absent_class_is_left_out() -> None:
    labels, probabilities = random_problem(8, 80, 3)
    rows = labels < 2
    result = scores(labels[rows], probabilities[rows], names(3), draws=10)
    expected = np.mean([sklearn_metrics.roc_auc_score(labels[rows] == number, probabilities[rows, number])
                        for number in (0, 1)])
    assert result["roc_auc"] == pytest.approx(expected, abs=1e-12)


def test_single_precision_is_accepted_and_diverged_networks_are_refused() -> None:
    labels, probabilities = random_problem(9, 30, 3)
    assert scores(labels, probabilities.astype(np.float32), names(3), draws=10)["count"] == 30
    probabilities[4, 1] = np.nan
    with pytest.raises(ToolkitError, match="Prediction 5 of 30 .* smaller learning rate"):
        scores(labels, probabilities, names(3))


@pytest.mark.parametrize(("labels", "shape"), [([], (0, 2)), ([0, 2], (2, 2)), ([0, -1], (2, 2)), ([0, 1], (3, 2))])
def test_wrong_shapes_and_labels_are_refused(labels: list[int], shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        scores(labels, np.full(shape, 0.5), names(2))


def test_same_seed_same_intervals() -> None:
    labels, probabilities = random_problem(10, 50, 3)
    first, second, other = (scores(labels, probabilities, names(3), draws=100, seed=seed) for seed in (0, 0, 1))
    assert first == second
    assert first["intervals"] != other["intervals"]


def test_ten_thousand_rows_take_seconds() -> None:
    labels, probabilities = random_problem(11, 10_000, 10)
    start = time.perf_counter()
    scores(labels, probabilities, names(10))
    assert time.perf_counter() - start < 10
