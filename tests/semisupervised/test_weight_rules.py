"""The rules on logits made by hand: what each paper's formula gives, with numbers worked out here."""

import inspect

import numpy as np
import pytest

from toolkit.semisupervised import weight_rules

LABELLED = np.log(np.array([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2]], np.float32))
SHARES = np.array([[0.97, 0.02, 0.01], [0.10, 0.85, 0.05], [0.30, 0.30, 0.40], [0.50, 0.45, 0.05]], np.float32)
LABELS, ROWS = np.array([0, 1]), np.array([4, 0, 2, 1])


def step(rule: str, state: dict | None = None, shares: np.ndarray = SHARES, **options
         ) -> tuple[dict, np.ndarray, np.ndarray]:
    state = weight_rules.begin(3, 6, momentum=0.5) if state is None else state
    found, targets, weights = weight_rules.RULES[rule](state, LABELLED, np.log(shares), LABELS, ROWS, **options)
    return {name: np.asarray(value) for name, value in found.items()}, np.asarray(targets), np.asarray(weights)


def test_fixmatch_takes_what_lies_above_the_threshold() -> None:
    _, targets, weights = step("fixmatch", threshold=0.85 - 1e-6)
    assert weights.tolist() == [1, 1, 0, 0]
    np.testing.assert_array_equal(targets, np.eye(3)[[0, 1, 2, 0]])


def test_uda_sharpens() -> None:
    _, targets, weights = step("uda", threshold=0.8, temperature=0.5)
    assert weights.tolist() == [1, 1, 0, 0]
    np.testing.assert_allclose(targets, SHARES**2 / (SHARES**2).sum(axis=1, keepdims=True), rtol=1e-5)


def test_flexmatch_lowers_the_threshold_of_classes_that_are_little_learnt() -> None:
    state = weight_rules.begin(3, 6) | {"confident": np.array([0, 0, 1, 0, -1, 0], np.int32)}  # 4, 1, 0 and one of none
    found, _, weights = step("flexmatch", state)
    # learnt = (1, 0.25, 0): thresholds 0.95, 0.95 / 7 and 0
    assert weights.tolist() == [1, 1, 1, 0]
    assert found["confident"].tolist() == [0, 0, 1, 0, 0, 0]  # only row 4 is above 0.95


@pytest.mark.parametrize("order", [[0, 2], [2, 0]])
def test_flexmatch_keeps_the_sure_one_of_two_draws_of_a_row(order: list[int]) -> None:
    state, rows = weight_rules.begin(3, 6), np.array([5, 5])
    found, _, _ = weight_rules.flexmatch(state, LABELLED, np.log(SHARES[order]), LABELS, rows)
    assert np.asarray(found["confident"]).tolist() == [-1, -1, -1, -1, -1, 0]


def test_flexmatch_counts_rows_of_no_class_while_they_are_many() -> None:
    state = weight_rules.begin(3, 6) | {"confident": np.array([0, -1, -1, -1, -1, -1], np.int32)}
    _, _, weights = step("flexmatch", state)
    # learnt = (1 / 5, 0, 0): threshold of class 0 is 0.95 / 9; all rows lie above
    assert weights.tolist() == [1, 1, 1, 1]


def test_freematch_follows_the_mean_confidence_and_the_shares() -> None:
    found, targets, weights = step("freematch")
    level = 0.5 / 3 + 0.5 * SHARES.max(axis=1).mean()
    mean = 0.5 / 3 + 0.5 * SHARES.mean(axis=0)
    thresholds = level * mean / mean.max()
    classes = SHARES.argmax(axis=1)
    np.testing.assert_array_equal(weights, SHARES.max(axis=1) >= thresholds[classes])
    assert found["confidence"] == pytest.approx(level) and 0 < weights.sum() < 4
    np.testing.assert_allclose(found["unlabelled_mean"], mean, rtol=1e-5)
    np.testing.assert_array_equal(targets, np.eye(3)[classes])


def test_softmatch_is_a_truncated_gaussian_of_the_aligned_confidence() -> None:
    found, targets, weights = step("softmatch")
    mean = 0.5 / 3 + 0.5 * SHARES.mean(axis=0)
    aligned = SHARES / mean
    highest = (aligned / aligned.sum(axis=1, keepdims=True)).max(axis=1)
    level, variance = 0.5 / 3 + 0.5 * highest.mean(), 0.5 + 0.5 * highest.var(ddof=1)
    expected = np.exp(-np.minimum(highest - level, 0) ** 2 / (2 * variance / 4))
    np.testing.assert_allclose(weights, expected, rtol=1e-4)
    assert found["variance"] == pytest.approx(variance, rel=1e-4) and weights.min() < 1 == weights.max()
    np.testing.assert_array_equal(targets, np.eye(3)[[0, 1, 2, 0]])


def test_adamatch_aligns_to_the_labelled_rows_and_has_a_relative_threshold() -> None:
    _, targets, weights = step("adamatch", threshold=0.9)
    wanted = 0.5 / 3 + 0.5 * np.exp(LABELLED).mean(axis=0)
    mean = 0.5 / 3 + 0.5 * SHARES.mean(axis=0)
    expected = SHARES * wanted / mean
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(targets, expected, rtol=1e-4)
    assert weights.tolist() == (expected.max(axis=1) >= 0.9 * 0.7).tolist() == [True, True, False, False]


def test_adamatch_does_not_align_where_the_pool_is_other() -> None:
    found, targets, weights = step("adamatch", weight_rules.begin(3, 6, momentum=0.5, align=False))
    np.testing.assert_allclose(targets, SHARES, rtol=1e-5)
    assert weights.tolist() == (SHARES.max(axis=1) >= 0.9 * 0.7).tolist() and found["align"] == 0


def test_debiasmatch_takes_off_what_is_predicted_too_often() -> None:
    biased = np.array([[0.6, 0.3, 0.1]] * 3 + [[0.5, 0.45, 0.05]], np.float32)
    state = weight_rules.begin(3, 6, momentum=0.5) | {"unlabelled_mean": np.array([0.9, 0.05, 0.05], np.float32)}
    _, targets, weights = step("debiasmatch", state, biased, strength=1.0, threshold=0.6)
    mean = 0.5 * np.array([0.9, 0.05, 0.05]) + 0.5 * biased.mean(axis=0)
    expected = biased / mean
    expected /= expected.sum(axis=1, keepdims=True)
    assert targets.argmax(axis=1).tolist() == expected.argmax(axis=1).tolist() == [1, 1, 1, 1]
    assert weights.tolist() == (expected.max(axis=1) >= 0.6).tolist()


@pytest.mark.parametrize("rule", list(weight_rules.RULES))
def test_every_rule_is_pure_and_keeps_its_state_of_one_form(rule: str) -> None:
    state = weight_rules.begin(3, 6, momentum=0.5)
    before = {name: np.copy(value) for name, value in state.items()}
    found, targets, weights = step(rule, state)
    assert {name: (value.shape, value.dtype) for name, value in found.items()} == {
        name: (np.shape(value), np.asarray(value).dtype) for name, value in before.items()}
    for name, value in before.items():
        np.testing.assert_array_equal(state[name], value)
    assert targets.shape == (4, 3) and weights.shape == (4,) and 0 <= weights.min() and weights.max() <= 1
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-5)


def test_every_rule_states_its_formula() -> None:
    assert all("w = " in inspect.getdoc(rule) or "w_j" in inspect.getdoc(rule) for rule in weight_rules.RULES.values())
