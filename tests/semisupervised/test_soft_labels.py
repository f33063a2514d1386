"""Logistic regression on soft labels is scikit-learn's where that has it, and the best of its loss where not."""

import numpy as np
import pytest
from scipy import optimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from toolkit.evaluation.baselines.reduction import reduction
from toolkit.semisupervised import soft_labels


def made(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(rows)
    labels = np.arange(rows) % 3
    features = random.normal(size=(rows, columns)) + random.normal(size=(3, columns))[labels]
    return features, labels, random.uniform(0.5, 2, rows)


@pytest.mark.parametrize(("rows", "columns"), [(60, 5), (20, 40)])
def test_one_hot_targets_give_scikit_learns_fit(rows: int, columns: int) -> None:
    features, labels, weights = made(rows, columns)
    reduced = reduction(features)
    theirs = LogisticRegression(C=0.3, tol=1e-8, max_iter=5000).fit(reduced.features, labels, weights)
    found = soft_labels.fit(reduced, np.eye(3)[labels], weights, strength=0.3, max_iterations=2000)
    np.testing.assert_allclose(found.probabilities(features), theirs.predict_proba(reduced.features), atol=2e-4)


def test_soft_targets_give_the_least_loss() -> None:
    features, labels, weights = made(30, 4)
    targets = 0.7 * np.eye(3)[labels] + 0.1
    reduced = reduction(features)

    def loss(flat: np.ndarray) -> float:
        kernel, bias = flat[:12].reshape(4, 3), flat[12:]
        own = -(weights[:, None] * targets * log_softmax(reduced.features @ kernel + bias, axis=1)).sum()
        return own + (kernel**2).sum() / (2 * 0.5)

    best = optimize.minimize(loss, np.zeros(15), options={"gtol": 1e-7})
    expected = np.exp(log_softmax(reduced.features @ best.x[:12].reshape(4, 3) + best.x[12:], axis=1))
    found = soft_labels.fit(reduced, targets, weights, strength=0.5)
    np.testing.assert_allclose(found.probabilities(features), expected, atol=1e-3)


def test_rows_of_weight_zero_have_no_say() -> None:
    features, labels, weights = made(40, 3)
    reduced, silent = reduction(features), np.where(np.arange(40) < 10, 0, weights)
    first = soft_labels.fit(reduced, np.eye(3)[labels], silent, strength=1.0)
    changed = np.where(np.arange(40) < 10, (labels + 1) % 3, labels)
    second = soft_labels.fit(reduced, np.eye(3)[changed], silent, strength=1.0)
    np.testing.assert_array_equal(first.kernel, second.kernel)
    assert first.details["rows"] == 30
