"""Choosing by hiding labels: who sees what, what is chosen, at which temperature."""

import numpy as np
import pytest

from toolkit.evaluation.baselines import LinearClassifier
from toolkit.semisupervised import trials


@pytest.fixture
def problem() -> trials.Problem:
    values = np.eye(2, dtype=np.float32)[np.arange(20) % 2]
    views = np.stack([values, values])
    return trials.Problem(views[:, :12], np.arange(12) % 2, views[:, 12:], np.full(2, 0.5), num_weak=1)


def recorder(seen: list[trials.Problem]):
    def method(problem: trials.Problem, *, sign: float) -> trials.Fit:
        seen.append(problem)
        head = LinearClassifier("a method", sign * np.eye(2), np.zeros(2))
        labels = (problem.pool[0] @ head.kernel).argmax(axis=1)
        return trials.Fit(head, labels, np.ones(len(labels), int))
    return method


def test_hidden_rows_lie_at_the_end_of_the_pool_and_their_labels_nowhere(problem: trials.Problem) -> None:
    seen: list[trials.Problem] = []
    chosen = trials.choose(recorder(seen), [{"sign": 1.0}], problem)
    assert len(seen) == 5
    for one in seen:
        assert one.pool.shape[1] + len(one.labels) == 20 and one.labelled.shape[1] == len(one.labels)
    assert sorted(chosen.rows) == list(range(12))
    hidden = np.concatenate([one.pool[0, 8:] for one in seen])
    np.testing.assert_array_equal(hidden.argmax(axis=1), chosen.labels)


def test_the_best_settings_are_chosen_and_the_first_of_equals(problem: trials.Problem) -> None:
    method = recorder([])
    assert trials.choose(method, [{"sign": -1.0}, {"sign": 1.0}], problem).settings == {"sign": 1.0}
    first = {"sign": 1.0}
    assert trials.choose(method, [first, {"sign": 1.0}], problem).settings is first


def test_validation_rows_choose_too(problem: trials.Problem) -> None:
    """They say the opposite of the labelled rows, and are more."""
    values = np.eye(2, dtype=np.float32)[np.arange(40) % 2]
    chosen = trials.choose(recorder([]), [{"sign": 1.0}, {"sign": -1.0}], problem,
                           validation=(values, 1 - np.arange(40) % 2))
    assert chosen.settings == {"sign": -1.0} and len(chosen.labels) == 52 and chosen.fit is not None


def test_the_final_head_is_at_the_honest_temperature(problem: trials.Problem) -> None:
    method = recorder([])
    wrong = trials.Problem(problem.labelled, np.where(np.arange(12) < 3, 1 - problem.labels, problem.labels),
                           problem.pool, problem.prior, num_weak=1)
    chosen = trials.choose(method, [{"sign": 50.0}], wrong)
    fit = trials.final(chosen, wrong)
    shares = trials.confidences(fit, wrong)
    assert shares.mean() == pytest.approx(0.75, abs=0.06)  # three of twelve labels are wrong; 50 claims certainty
    found = trials.audited(fit, chosen, wrong, ("a", "b"))
    assert found["precision"]["estimate"] == pytest.approx(0.75) and found["coverage"] == 1


def test_precision_that_falls_from_round_to_round_raises_the_alarm() -> None:
    values = np.eye(2, dtype=np.float32)[np.arange(180) % 2][None]
    problem = trials.Problem(values[:, :120], np.arange(120) % 2, values[:, 120:], np.full(2, 0.5), num_weak=0)

    def worse_and_worse(problem: trials.Problem) -> trials.Fit:
        labels = problem.pool[0].argmax(axis=1)
        wrong = np.where(np.arange(len(labels)) % 5 < 2, 1 - labels, labels)  # two fifths
        history = [{"epoch": 1, "coverage": 1 / 3}, {"epoch": 2, "coverage": 1.0}]
        head = LinearClassifier("a method", np.eye(2), np.zeros(2))
        return trials.Fit(head, wrong, np.full(len(labels), 2), history, np.stack([labels, wrong]))

    chosen = trials.choose(worse_and_worse, [{}], problem)
    found = trials.audited(trials.final(chosen, problem), chosen, problem, ("a", "b"))
    assert any("while coverage rose from 33.3 % to 100 %" in alarm for alarm in found["alarms"])
    assert [row["count"] for row in found["history"]] == [120, 120]
    assert found["history"][0]["precision"] == 1 and found["history"][1]["precision"] == pytest.approx(0.6, abs=0.05)


def test_nothing_to_hide_leaves_the_usual_settings(problem: trials.Problem) -> None:
    few = trials.Problem(problem.labelled[:, :2], problem.labels[:2], problem.pool, problem.prior, num_weak=1)
    chosen = trials.choose(recorder([]), [{"sign": 1.0}, {"sign": -1.0}], few)
    assert chosen.settings == {"sign": 1.0} and not len(chosen.labels)
    assert trials.final(chosen, few).head.kernel[0, 0] == 1
