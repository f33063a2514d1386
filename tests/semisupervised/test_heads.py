"""Linear heads: against scikit-learn, and the way back to raw features."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from toolkit.semisupervised import heads


@pytest.fixture(scope="module")
def clusters() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = np.arange(90) % 3
    return (random.normal(size=(90, 6)) * [1, 2, 3, 1, 1, 0.1] + 2 * np.eye(6)[labels]).astype(np.float32), labels


def test_the_discriminant_is_that_of_scikit_learn(clusters) -> None:
    values, labels = clusters
    head = heads.discriminant(values, np.eye(3)[labels], np.ones(90), np.full(3, 1 / 3), shrinkage=1e-9)
    model = LinearDiscriminantAnalysis(solver="lsqr").fit(values, labels)
    np.testing.assert_allclose(head.probabilities(values), model.predict_proba(values), atol=1e-3)


def test_weights_count_rows_and_soft_targets_split_them(clusters) -> None:
    values, labels = clusters
    prior, targets = np.full(3, 1 / 3), np.eye(3)[labels]
    weights = np.where(np.arange(90) < 30, 2.0, 1.0)
    weighted = heads.discriminant(values, targets, weights, prior, shrinkage=0.2)
    repeated = heads.discriminant(np.concatenate([values, values[:30]]), np.concatenate([targets, targets[:30]]),
                                  np.ones(120), prior, shrinkage=0.2)
    np.testing.assert_allclose(weighted.kernel, repeated.kernel, rtol=1e-3, atol=1e-4)
    soft = 0.5 * targets + 0.5 * np.roll(targets, 1, axis=1)
    split = heads.discriminant(np.concatenate([values, values]), np.concatenate([targets, np.roll(targets, 1, axis=1)]),
                               np.ones(180), prior, shrinkage=0.2)
    np.testing.assert_allclose(heads.discriminant(values, soft, np.ones(90), prior, shrinkage=0.2).kernel, split.kernel,
                               rtol=1e-3, atol=1e-4)


def test_a_class_without_rows_is_never_predicted(clusters) -> None:
    values, labels = clusters
    head = heads.discriminant(values, np.eye(4)[labels], np.ones(90), np.full(4, 0.25), shrinkage=0.2)
    assert head.probabilities(values)[:, 3].max() == 0


def test_the_space_turns_and_scales_and_there_is_a_way_back(clusters) -> None:
    values, labels = clusters
    reduced = heads.space(values, max_dimensions=4)
    assert reduced.features.shape == (90, 4)
    assert (reduced.features**2).sum(axis=1).mean() == pytest.approx(1, rel=1e-4)
    head = heads.logistic(reduced.features, np.eye(3)[labels], np.ones(90), strength=3.0)
    kernel, bias = reduced.unfold(head.kernel, head.bias)
    np.testing.assert_allclose(values @ kernel + bias, reduced.features @ head.kernel + head.bias, atol=1e-4)
    np.testing.assert_allclose(heads.projected(reduced, values[3:5]), reduced.features[3:5], atol=1e-6)


def test_constant_features_say_nothing() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(size=(20, 3)), np.ones((20, 2))], axis=1)
    reduced = heads.space(values)
    kernel, _ = reduced.unfold(np.ones((reduced.features.shape[1], 2)), np.zeros(2))
    assert reduced.features.shape == (20, 3) and not kernel[3:].any()
