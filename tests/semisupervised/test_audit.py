"""Planted collapses fire the right alarm, a clean pool none; the precision's interval holds the truth."""

import numpy as np
import pytest
from scipy import stats

from toolkit.evaluation.comparison import wilson_interval
from toolkit.semisupervised import audit as audits
from toolkit.semisupervised.audit import audit

RANDOM = np.random.default_rng


def made(seed: int = 0, *, pool: int = 500, hidden: int = 60, classes: int = 5, precision: float = 0.85,
         confidence: float = 0.85, **changes) -> dict:
    """Arguments of ``audit``: pseudo-labels right with some probability, and as confident."""
    random = RANDOM(seed)
    labels = np.arange(hidden) % classes
    wrong = random.random(hidden) >= precision
    return {"pseudo_labels": random.integers(0, classes, pool),
            "confidences": np.clip(confidence + 0.1 * random.normal(size=pool), 0, 1), "used": np.ones(pool, bool),
            "hidden_labels": labels, "hidden_predictions": (labels + wrong) % classes,
            "hidden_used": np.ones(hidden, bool), "num_classes": classes,
            "hidden_confidences": np.clip(confidence + 0.1 * random.normal(size=hidden), 0, 1),
            "distances": random.normal(size=pool) ** 2, "hidden_distances": random.normal(size=hidden) ** 2, **changes}


def test_a_clean_pool_raises_no_alarm() -> None:
    alarms = [audit(**made(seed))["alarms"] for seed in range(100)]
    assert sum(map(bool, alarms)) == 0


COLLAPSES = {
    "Mask rate": {"used": np.zeros(500, bool), "hidden_used": np.zeros(60, bool)},  # a threshold of 1.01
    "One class swallows": {"pseudo_labels": np.zeros(500, np.int64)},  # a pool of one class
    "Low precision": {"hidden_predictions": RANDOM(1).integers(0, 5, 60), "confidences": np.full(500, 0.25),
                      "hidden_confidences": None},  # labels flipped
    "Confirmation bias: the pseudo-labels": {"confidences": np.full(500, 0.99),
                                             "hidden_predictions": (np.arange(60) + (np.arange(60) % 3 == 0)) % 5},
    "Confirmation bias: while": {"history": [{"coverage": 0.2, "precision": 0.95, "count": 60},
                                             {"coverage": 0.5, "precision": 0.85, "count": 60},
                                             {"coverage": 0.9, "precision": 0.65, "count": 60}]},
    "Foreign pool: the unlabelled rows are farther": {"distances": RANDOM(2).normal(size=500) ** 2 + 3 * RANDOM(
        3).integers(0, 2, 500)},
    "Foreign pool: the unlabelled rows are less": {"confidences": np.full(500, 0.5), "distances": None}}


@pytest.mark.parametrize("begins", COLLAPSES)
def test_a_planted_collapse_fires_its_alarm_alone(begins: str) -> None:
    (alarm,) = audit(**made(**COLLAPSES[begins]))["alarms"]
    assert alarm.startswith(begins)
    assert alarm.count(". ") >= 1  # the advice


@pytest.mark.parametrize("precision", [0.3, 0.7, 0.97])
def test_the_interval_holds_the_true_precision(precision: float) -> None:
    found = [audit(**made(seed, precision=precision))["precision"]["interval95"] for seed in range(200)]
    assert np.mean([low <= precision <= high for low, high in found]) >= 0.9


def test_numbers_by_hand() -> None:
    found = audit(np.array([0, 1, 1, 1]), np.full(4, 0.5), np.array([True, True, True, False]),
                  hidden_labels=np.array([0, 0, 1, 1]), hidden_predictions=np.array([0, 1, 1, 1]),
                  hidden_used=np.array([True, True, True, False]), num_classes=2)
    assert found["coverage"] == 0.75
    precision = found["precision"]
    assert (precision["estimate"], precision["count"]) == (2 / 3, 3)
    assert precision["interval95"] == list(wilson_interval(2, 3))
    assert [one["pseudo_labels"] for one in precision["by_class"]] == [1, 2]
    assert [one["estimate"] for one in precision["by_class"]] == [1.0, 0.5]


def test_a_row_hidden_three_times_counts_once() -> None:
    once = made(hidden=20)
    thrice = {**once, "hidden_rows": np.tile(np.arange(20), 3),
              **{name: np.tile(once[name], 3) for name in once if name.startswith("hidden")}}
    first, second = audit(**once)["precision"], audit(**thrice)["precision"]
    assert second["interval95"] == pytest.approx(first["interval95"])
    assert second["count"] == pytest.approx(20)


def test_an_empty_pool_and_nothing_hidden() -> None:
    nothing = np.zeros(0, np.int64)
    found = audit(nothing, np.zeros(0), nothing.astype(bool), hidden_labels=nothing, hidden_predictions=nothing,
                  hidden_used=nothing.astype(bool), num_classes=3)
    assert (found["coverage"], found["alarms"], found["precision"]["estimate"]) == (0.0, [], None)
    assert found["precision"]["interval95"] == [0.0, 1.0]
    found = audit(np.arange(30) % 3, np.ones(30), np.ones(30, bool), hidden_labels=nothing, hidden_predictions=nothing,
                  hidden_used=nothing.astype(bool), num_classes=3, hidden_confidences=np.zeros(0))
    assert found["alarms"] == []


def test_the_share_of_larger_values_is_mann_and_whitneys() -> None:
    pool, hidden = RANDOM(0).normal(size=70).round(1), RANDOM(1).normal(size=30).round(1)  # with ties
    chance, p_value = audits._larger(pool, hidden, np.ones(30))
    expected = stats.mannwhitneyu(pool, hidden, alternative="greater", method="asymptotic", use_continuity=False)
    assert chance == pytest.approx(expected.statistic / (70 * 30))
    assert p_value == pytest.approx(expected.pvalue, rel=0.02)  # ours leaves out the correction for ties
