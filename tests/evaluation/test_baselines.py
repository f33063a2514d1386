"""The baselines equal scikit-learn on the same features and stand whatever rows they are given."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from toolkit.evaluation.baselines import (LinearClassifier, linear_discriminant_analysis, logistic,
                                          logistic_regression, majority_class)
from toolkit.evaluation.baselines.discriminant import _moments
from toolkit.evaluation.baselines.folds import folds, sample
from toolkit.evaluation.baselines.reduction import reduction

FITS = [logistic_regression, linear_discriminant_analysis]


def clouds(count: int, num_features: int, num_classes: int, *, distance: float = 1.0,
           seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated Gaussian clouds, one a class, in features of different sizes and far from zero."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % num_classes
    means = distance * random.normal(size=(num_classes, num_features))
    mixing = np.eye(num_features) + 0.3 * random.normal(size=(num_features, num_features)) / num_features ** 0.5
    features = (means[labels] + random.normal(size=(count, num_features))) @ mixing
    return features * random.uniform(0.5, 2, num_features) + 3, labels


def standardised(features: np.ndarray, floor: float = 0.1) -> np.ndarray:
    variance = features.var(axis=0)
    return (features - features.mean(axis=0)) / np.sqrt((variance + floor * np.median(variance)) / (1 + floor))


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize(("count", "num_features"), [(40, 70), (120, 12)])
def test_logistic_regression_equals_scikit_learn(count: int, num_features: int, num_classes: int) -> None:
    features, labels = clouds(count, num_features, num_classes, distance=0.5)
    ours = logistic_regression(features, labels, num_classes)
    scaled = standardised(features, floor=10.0)
    direct = LogisticRegression(C=ours.details["C"], tol=1e-8, max_iter=10_000).fit(scaled, labels)
    expected = direct.predict_proba(scaled)
    np.testing.assert_allclose(ours.probabilities(features), expected, atol=1e-3)
    assert ours.kernel.shape == (num_features, num_classes) and ours.kernel.dtype == np.float64


@pytest.mark.parametrize("shrinkage", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize(("count", "num_features"), [(41, 70), (121, 12)])
def test_discriminant_analysis_equals_scikit_learn(count: int, num_features: int, num_classes: int,
                                                   shrinkage: float) -> None:
    features, labels = clouds(count, num_features, num_classes, distance=0.3)
    ours = linear_discriminant_analysis(features, labels, num_classes, shrinkage=shrinkage)
    direct = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(standardised(features), labels)
    np.testing.assert_allclose(ours.probabilities(features), direct.predict_proba(standardised(features)), atol=1e-7)


@pytest.mark.parametrize(("count", "num_features"), [(41, 70), (121, 12)])
def test_ledoit_and_wolf_equal_scikit_learn(count: int, num_features: int) -> None:
    features, labels = clouds(count, num_features, 3)
    reduced = reduction(features)
    scaled = standardised(features)
    residuals = scaled - np.stack([scaled[labels == number].mean(axis=0) for number in range(3)])[labels]
    ours = _moments(reduced.features, labels, reduced.num_varying).ledoit_wolf
    assert ours == pytest.approx(ledoit_wolf_shrinkage(residuals, assume_centered=True), rel=1e-9)


def test_rotation_loses_nothing() -> None:
    features, labels = clouds(30, 80, 3)
    reduced = reduction(features)
    assert reduced.features.shape == (30, 29)
    np.testing.assert_allclose(reduced.features @ reduced.basis.T, standardised(features), atol=1e-9)
    kernel, bias = reduced.unfold(np.eye(29), np.zeros(29))
    np.testing.assert_allclose(features @ kernel + bias, reduced.features, atol=1e-8)


@pytest.mark.parametrize("fit", FITS)
def test_strength_is_chosen_by_held_out_loss(fit) -> None:
    features, labels = clouds(150, 60, 3, distance=0.25)
    test_features, test_labels = clouds(3150, 60, 3, distance=0.25)
    classifier = fit(features, labels, 3)
    probabilities = classifier.probabilities(test_features[150:])
    accuracy = (probabilities.argmax(axis=1) == test_labels[150:]).mean()
    loss = -np.log(probabilities[np.arange(3000), test_labels[150:]]).mean()
    assert classifier.details["folds"] == 5 and classifier.details["rows_to_choose"] == 150
    assert classifier.details["cross_validated_accuracy"] == pytest.approx(accuracy, abs=0.1)
    assert classifier.details["cross_validated_log_loss"] == pytest.approx(loss, abs=0.15)
    assert json.loads(json.dumps(classifier.details, allow_nan=False)) == classifier.details


@pytest.mark.parametrize("fit", FITS)
def test_noise_is_not_believed(fit) -> None:
    random = np.random.default_rng(0)
    classifier = fit(random.normal(size=(200, 300)), np.arange(200) % 2, 2)
    probabilities = classifier.probabilities(random.normal(size=(500, 300)))
    assert probabilities.max() < 0.8


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("per_class", [1, 2, 3])
@pytest.mark.parametrize("num_classes", [2, 3])
def test_few_rows_a_class(fit, num_classes: int, per_class: int) -> None:
    features, labels = clouds(num_classes * 50, 40, num_classes, distance=3)
    few = slice(0, num_classes * per_class)
    classifier = fit(features[few], labels[few], num_classes)
    assert (classifier.probabilities(features).argmax(axis=1) == labels).mean() > 0.8
    assert (classifier.details["folds"] == 0) == (per_class < 3)
    assert bool(classifier.details["notes"]) >= (per_class < 3)


@pytest.mark.parametrize("fit", FITS)
def test_odd_features_are_borne(fit) -> None:
    """Constant, nearly constant, copied, huge and integer features; float16; one feature only."""
    features, labels = clouds(40, 6, 2, distance=2)
    odd = np.column_stack([features, np.full(40, 7.0), 1e9 + features[:, 0] * 1e-9, features[:, 0],
                           features[:, 1] * 1e6])
    for given in (odd, odd[:8], (features * 50).astype(np.uint8), features.astype(np.float16), features[:, :1]):
        classifier = fit(given, labels[:len(given)], 2)
        assert np.isfinite(classifier.kernel).all() and np.isfinite(classifier.bias).all()
        assert (classifier.probabilities(given).argmax(axis=1) == labels[:len(given)]).mean() > 0.6
    constant_column = fit(odd, labels, 2).kernel[6]
    assert (constant_column == 0).all()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("count", [5, 60])
def test_nothing_to_fit(fit, count: int) -> None:
    features, labels = clouds(count, 20, 2)
    for given, numbers in ((np.ones((count, 20)), labels), (features, np.ones(count, dtype=int))):
        classifier = fit(given, numbers, 3)
        expected = np.bincount(numbers, minlength=3) / count
        np.testing.assert_allclose(classifier.probabilities(given)[0], expected, atol=1e-12)
        assert "nothing to fit" in classifier.details["notes"][0]


@pytest.mark.parametrize("fit", FITS)
def test_class_without_rows_is_never_predicted(fit) -> None:
    features, labels = clouds(60, 20, 3)
    kept = labels != 1
    probabilities = fit(features[kept], labels[kept], 3).probabilities(features)
    assert (probabilities[:, 1] == 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("fit", FITS)
def test_rare_class_beside_frequent_ones(fit) -> None:
    features, labels = clouds(61, 10, 2, distance=2)
    labels[-1] = 2
    classifier = fit(features, labels, 3)
    assert classifier.details["folds"] == 5
    assert classifier.probabilities(features).shape == (61, 3)


@pytest.mark.parametrize("fit", FITS)
def test_fit_repeats(fit) -> None:
    features, labels = clouds(90, 120, 3, distance=0.3)
    first, second = fit(features, labels, 3, seed=4), fit(features, labels, 3, seed=4)
    np.testing.assert_array_equal(first.kernel, second.kernel)
    assert first.details == second.details


def test_order_of_rows_is_lost_in_rounding() -> None:
    features, labels = clouds(90, 120, 3, distance=0.3)
    order = np.random.default_rng(0).permutation(90)
    first, second = (linear_discriminant_analysis(features[rows], labels[rows], 3, shrinkage=0.3)
                     for rows in (slice(None), order))
    np.testing.assert_allclose(first.probabilities(features), second.probabilities(features), atol=1e-9)


@pytest.mark.parametrize("fit", FITS)
def test_groups_are_held_out_together(fit) -> None:
    """Features that only tell groups apart look useless once groups are held out, and perfect before."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 6)
    features = random.normal(size=(30, 50))[groups] + 0.01 * random.normal(size=(180, 50))
    labels = random.integers(0, 2, 30)[groups]
    known = fit(features, labels, 2, groups=groups.astype(str)).details
    unknown = fit(features, labels, 2).details
    assert unknown["cross_validated_accuracy"] > 0.95
    assert known["cross_validated_accuracy"] < 0.8


def test_unconverged_fit_is_told() -> None:
    features, labels = clouds(100, 30, 3)
    details = logistic_regression(features, labels, 3, max_iterations=2).details
    assert details["converged"] is False
    assert "short of its optimum" in details["notes"][-1]


def test_large_tables_choose_on_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.evaluation.baselines.logistic.MAX_ROWS_TO_CHOOSE", 60)
    monkeypatch.setattr("toolkit.evaluation.baselines.discriminant.MAX_ROWS_TO_CHOOSE", 60)
    features, labels = clouds(300, 10, 3)
    for fit in FITS:
        details = fit(features, labels, 3, groups=(np.arange(300) // 2).astype(str)).details
        assert (details["rows"], details["rows_to_choose"]) == (300, 60)
        assert "stratified sample of 60 of the 300 rows" in details["notes"][0]


@pytest.mark.parametrize(("distance", "confirmed"), [(0.0, 0.1), (2.0, 1.0)], ids=["noise", "clouds apart"])
def test_all_rows_may_ask_for_a_smaller_c_than_their_sample(distance: float, confirmed: float) -> None:
    features, labels = clouds(600, 40, 3, distance=distance)
    assert logistic._confirmed(features, labels, None, 0, 1.0) == pytest.approx(confirmed)


def test_what_is_held_out_of_few_groups_may_say_nothing() -> None:
    groups = np.repeat(np.arange(7), [10, 10, 10, 10, 10, 10, 5])  # the last one is held out, a class of its own
    labels = np.array([0, 0, 0, 1, 1, 1, 2])[groups]
    assert logistic._confirmed(np.random.default_rng(0).normal(size=(65, 4)), labels, groups, 0, 1.0) == 1.0


@pytest.mark.parametrize("fit", FITS)
def test_wrong_input_is_refused(fit) -> None:
    features, labels = clouds(10, 3, 2)
    with pytest.raises(ValueError, match=r"Expected \(n, F\) features"):
        fit(features, labels[:-1], 2)
    with pytest.raises(ValueError, match=r"Expected labels in 0..0, got 0..1"):
        fit(features, labels, 1)
    features[3, 2] = np.inf
    with pytest.raises(ValueError, match="Feature 2 is not finite"):
        fit(features, labels, 2)


def test_shrinkage_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="got 0"):
        linear_discriminant_analysis(*clouds(10, 3, 2), 2, shrinkage=0)


def test_majority_class() -> None:
    classifier = majority_class([2, 2, 0], 4)
    probabilities = classifier.probabilities(np.zeros((5, 9)))
    np.testing.assert_allclose(probabilities, np.tile([1 / 3, 0, 2 / 3, 0], (5, 1)), atol=1e-12)
    assert classifier.name == "majority class"


def test_probabilities_are_a_dense_layer_with_softmax() -> None:
    random = np.random.default_rng(0)
    classifier = LinearClassifier("x", random.normal(size=(4, 3)), random.normal(size=3))
    features = random.normal(size=(20_000, 4)).astype(np.float32)
    expected = softmax(features.astype(float) @ classifier.kernel + classifier.bias, axis=1)
    np.testing.assert_allclose(classifier.probabilities(features), expected, atol=1e-15)


def test_folds_are_stratified_and_keep_groups_whole() -> None:
    labels = np.repeat([0, 1, 2], [50, 25, 7])
    numbers = folds(labels, seed=3)
    counts = np.array([np.bincount(labels[numbers == fold], minlength=3) for fold in range(5)])
    assert np.ptp(counts, axis=0).max() <= 1 and np.ptp(counts.sum(axis=1)) <= 2
    groups = (np.arange(82) // 4).astype(str)
    grouped = folds(labels, groups=groups, seed=3)
    assert all(len(set(grouped[groups == group])) == 1 for group in set(groups))
    assert np.ptp(np.bincount(grouped)) <= 8
    assert folds(np.array([0, 0, 1, 1, 2])) is None
    assert folds(np.array([0, 0, 0, 1, 1, 1]), groups=np.array(list("aabccd"))) is None


def test_sample_keeps_every_class() -> None:
    labels = np.repeat([0, 1, 2], [900, 95, 5])
    rows = sample(labels, 100, seed=0)
    assert np.bincount(labels[rows]).tolist() == [90, 10, 3]
    assert (np.diff(rows) > 0).all()
    assert len(sample(labels, 1000, seed=0)) == 1000


def test_features_of_a_small_set_are_fitted_in_seconds() -> None:
    features, labels = clouds(240, 1280, 2, distance=0.1)
    start = time.perf_counter()
    for fit in FITS:
        fit(features.astype(np.float32), labels, 2)
    assert time.perf_counter() - start < 10


@pytest.mark.slow
def test_all_of_mnist() -> None:
    """The lecture's figures on all 60,000 rows: 7.2 % for logistic regression, 12.7 % for LDA."""
    if "TOOLKIT_DATA" not in os.environ:
        pytest.skip("TOOLKIT_DATA names no folder with mnist.npz")
    with np.load(Path(os.environ["TOOLKIT_DATA"]) / "mnist.npz") as data:
        train, labels, test, test_labels = (data[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    for fit, error in ((logistic_regression, 0.075), (linear_discriminant_analysis, 0.127)):
        classifier = fit(train.reshape(len(train), -1), labels, 10)
        predictions = classifier.probabilities(test.reshape(len(test), -1)).argmax(axis=1)
        assert (predictions != test_labels).mean() <= error, classifier.name
