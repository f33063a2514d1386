"""LogME and the H-score equal slow, direct computations of their definitions; the yardstick sees no held-out row."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import optimize, stats
from sklearn.covariance import ledoit_wolf_shrinkage

from toolkit.evaluation import transferability
from toolkit.evaluation.baselines.folds import folds
from toolkit.evaluation.transferability import h_score, held_out_hits, logme

SHAPES = [(40, 5, 3), (30, 45, 2), (25, 25, 4)]  # rows, features, classes


def made(rows: int, columns: int, classes: int, *, signal: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(rows)
    labels = np.arange(rows) % classes
    return random.normal(size=(rows, columns)) + signal * random.normal(size=(classes, columns))[labels] + 0.5, labels


def evidence(features: np.ndarray, target: np.ndarray) -> float:
    """The largest log evidence a row, by the density of the rows themselves and a general-purpose optimiser."""
    count = len(target)

    def negative(logarithms: np.ndarray) -> float:
        alpha, beta = np.exp(np.clip(logarithms, -20, 20))  # with n < F the best beta may be infinite
        covariance = np.eye(count) / beta + features @ features.T / alpha
        return -stats.multivariate_normal.logpdf(target, np.zeros(count), covariance)

    starts = [(first, second) for first in (-3, 0, 4) for second in (0, 3)]
    options = {"xatol": 1e-4, "fatol": 1e-7}
    return -min(optimize.minimize(negative, start, method="Nelder-Mead", options=options).fun
                for start in starts) / count


@pytest.mark.parametrize("shape", SHAPES)
def test_logme_is_the_largest_evidence(shape: tuple[int, int, int]) -> None:
    features, labels = made(*shape)
    expected = np.mean([evidence(features, (labels == number).astype(float)) for number in range(shape[2])])
    assert logme(features, labels) == pytest.approx(expected, abs=5e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_logme_is_the_fixed_point_of_the_paper(shape: tuple[int, int, int]) -> None:
    features, labels = made(*shape)
    (count, columns), found = features.shape, []
    for target in (labels == np.arange(shape[2])[:, None]).astype(float):
        alpha = beta = 1.0
        for _ in range(5000):
            precision = alpha * np.eye(columns) + beta * features.T @ features
            weights = beta * np.linalg.solve(precision, features.T @ target)
            squares = np.linalg.eigvalsh(features.T @ features)
            used = float((beta * squares / (alpha + beta * squares)).sum())
            error = float(((target - features @ weights) ** 2).sum())
            before, alpha, beta = alpha / beta, used / float(weights @ weights), (count - used) / error
            if abs(alpha / beta / before - 1) < 1e-9:
                break
        precision = alpha * np.eye(columns) + beta * features.T @ features
        weights = beta * np.linalg.solve(precision, features.T @ target)
        error = float(((target - features @ weights) ** 2).sum())
        found.append((columns * np.log(alpha) + count * np.log(beta / (2 * np.pi)) - np.linalg.slogdet(precision)[1]
                      - beta * error - alpha * float(weights @ weights)) / (2 * count))
    assert logme(features, labels) == pytest.approx(np.mean(found), abs=5e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_h_score_is_the_trace(shape: tuple[int, int, int]) -> None:
    features, labels = made(*shape)
    covariance, columns = np.cov(features.T, bias=True), shape[1]
    means = np.stack([features[labels == number].mean(axis=0) for number in range(shape[2])])[labels]
    between = np.cov(means.T, bias=True)
    assert h_score(features, labels, shrinkage=0) == pytest.approx(np.trace(np.linalg.pinv(covariance) @ between))
    alpha = ledoit_wolf_shrinkage(features)
    shrunk = (1 - alpha) * covariance + alpha * np.trace(covariance) / columns * np.eye(columns)
    assert 0 < alpha < 1
    assert h_score(features, labels) == pytest.approx((1 - alpha) * np.trace(np.linalg.solve(shrunk, between)))


def test_more_features_than_rows_are_not_perfect() -> None:
    noise, labels = made(20, 60, 3, signal=0)
    assert h_score(noise, labels, shrinkage=0) == pytest.approx(2)
    assert h_score(noise, labels) < 0.5
    assert logme(noise, labels) < logme(*made(20, 60, 3, signal=2))


@pytest.mark.parametrize("score", [logme, h_score])
def test_what_does_not_matter(score: Callable[..., float]) -> None:
    features, labels = made(30, 8, 3)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    order = np.random.default_rng(2).permutation(30)
    expected = pytest.approx(score(features, labels), abs=1e-6)
    assert score(1000 * features, labels) == expected
    assert score(features @ rotation, labels) == expected
    assert score(features[order], labels[order]) == expected
    assert score(features, 10 * labels) == expected  # classes without rows
    assert score(features.astype(np.float32), labels) == pytest.approx(score(features, labels), abs=1e-4)


def test_more_signal_is_better() -> None:
    for rows, columns in ((60, 20), (60, 200)):
        pairs = [made(rows, columns, 3, signal=signal) for signal in (0, 0.3, 1, 3)]
        for score in (logme, h_score):
            found = [score(*pair) for pair in pairs]
            assert found == sorted(found) and found[0] < found[-1]


@pytest.mark.parametrize(("features", "labels"), [
    (np.zeros((6, 3)), np.arange(6) % 2),  # nothing varies
    (np.ones((6, 3)), np.arange(6) % 2),
    (np.eye(2)[np.arange(6) % 2], np.arange(6) % 2),  # a perfect fit
    (np.eye(3)[np.arange(6) % 2], np.arange(6) % 2),
    (np.arange(12.0).reshape(4, 3), np.arange(4)),  # a row a class
    (np.arange(12.0).reshape(4, 3), np.zeros(4, int)),  # one class
    (np.ones((1, 2)), np.zeros(1, int)),
    (1e-30 * np.arange(12.0).reshape(4, 3), np.array([0, 0, 1, 1])),
    (1e12 + np.arange(12.0).reshape(4, 3), np.array([0, 0, 1, 1]))])
def test_every_case_has_a_number(features: np.ndarray, labels: np.ndarray) -> None:
    assert np.isfinite(logme(features, labels))
    assert -1e-9 <= h_score(features, labels) <= len(np.unique(labels)) - 1 + 1e-9


def test_thousands_of_classes() -> None:
    features, labels = made(4000, 12, 2000, signal=3)
    assert logme(features, labels) > logme(np.random.default_rng(0).permutation(features), labels)
    assert 0 < h_score(features, labels) <= 12


@pytest.mark.parametrize("score", [logme, h_score])
def test_bad_arrays_are_refused(score: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match="Row 1 holds a feature that is not finite"):
        score(np.array([[0.0], [np.nan]]), np.array([0, 1]))
    with pytest.raises(ValueError, match="got features of shape"):
        score(np.zeros((3, 2)), np.zeros(2, int))


# ---- The yardstick --------------------------------------------------------------------------------------------------


def test_held_out_rows_have_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = made(60, 4, 3)
    groups = np.repeat([f"patient {number}" for number in range(20)], 3)
    seen, real = [], transferability.logistic_regression

    def spy(own_features: np.ndarray, own_labels: np.ndarray, num_classes: int, **options):
        seen.append((own_features, own_labels, options["groups"]))
        return real(own_features, own_labels, num_classes, **options)

    monkeypatch.setattr(transferability, "logistic_regression", spy)
    hits = held_out_hits(features, labels, 3, groups=groups, seed=4)
    numbers = folds(labels, groups=groups, seed=4)
    assert len(seen) == 5
    for fold, (own_features, own_labels, own_groups) in enumerate(seen):
        fitted = numbers != fold
        np.testing.assert_array_equal(own_features, features[fitted])
        np.testing.assert_array_equal(own_labels, labels[fitted])
        assert not set(own_groups) & set(groups[~fitted])
        model = real(features[fitted], labels[fitted], 3, groups=groups[fitted], seed=4)
        predicted = model.probabilities(features[~fitted]).argmax(axis=1)
        np.testing.assert_array_equal(hits[~fitted], predicted == labels[~fitted])


def test_random_labels_are_guessed() -> None:
    random = np.random.default_rng(0)
    hits = held_out_hits(random.normal(size=(300, 400)), random.integers(0, 2, 300), 2)
    assert 0.4 < hits.mean() < 0.6


def test_a_class_with_one_row_is_never_right() -> None:
    features, labels = made(41, 3, 2, signal=8)
    labels[-1] = 2
    hits = held_out_hits(features, labels, 3)
    assert not hits[-1] and hits[:-1].mean() > 0.9


def test_nothing_can_be_held_out() -> None:
    assert held_out_hits(np.arange(4.0)[:, None], np.array([0, 0, 1, 1]), 2) is None
