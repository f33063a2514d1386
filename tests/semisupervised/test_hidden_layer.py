"""A network with a hidden layer on soft labels: where no line parts the classes, weights, seeds, wide features."""

import numpy as np
import pytest

from toolkit.evaluation.baselines.reduction import reduction
from toolkit.semisupervised import hidden_layer


@pytest.fixture(scope="module")
def crossed() -> tuple[np.ndarray, np.ndarray]:
    """Four clouds, opposite ones of one class: features (300, 5), far from zero and of unlike scales, and classes."""
    random = np.random.default_rng(0)
    corners = random.integers(0, 2, size=(300, 2))
    features = np.concatenate([4 * corners, np.zeros((300, 3))], axis=1) + random.normal(size=(300, 5)) / 2
    return (features * [1, 10, 3, 1, 0.1] + 7).astype(np.float32), corners.sum(axis=1) % 2


def test_it_learns_what_no_line_parts(crossed: tuple[np.ndarray, np.ndarray]) -> None:
    features, truth = crossed
    some = hidden_layer.leading(reduction(features[:200]))
    first, again = (hidden_layer.fit(some, np.eye(2)[truth[:200]], np.ones(200), seed=0) for _ in range(2))
    assert (first.probabilities(features[200:]).argmax(axis=1) == truth[200:]).mean() > 0.95
    np.testing.assert_array_equal(first.probabilities(features), again.probabilities(features))
    sharp, soft = first.probabilities(features), first.softened(2.0).probabilities(features)
    np.testing.assert_allclose(np.diff(np.log(sharp)), 2 * np.diff(np.log(soft)), rtol=1e-9)
    assert [kernel.shape for kernel, _ in first.layers] == [(5, hidden_layer.UNITS), (hidden_layer.UNITS, 2)]


def test_rows_without_weight_have_no_say(crossed: tuple[np.ndarray, np.ndarray]) -> None:
    features, truth = crossed
    some, weights = hidden_layer.leading(reduction(features)), np.arange(300) < 250
    wrong = np.where(weights, truth, 1 - truth)
    first, second = (hidden_layer.fit(some, np.eye(2)[labels], weights.astype(float), seed=0)
                     for labels in (truth, wrong))
    np.testing.assert_array_equal(first.probabilities(features), second.probabilities(features))
    assert first.details["rows"] == 250


@pytest.mark.parametrize("rows", [50, 700])
def test_of_many_features_it_sees_the_leading_directions(rows: int) -> None:
    random = np.random.default_rng(0)
    features = (random.normal(size=(rows, 600)) * np.linspace(1, 3, 600)).astype(np.float32)
    some = hidden_layer.leading(reduction(features))
    assert some.features.shape[1] == min(rows - 1, hidden_layer.DIMENSIONS)
    np.testing.assert_allclose(np.square(some.features).mean(), 1, rtol=1e-5)
    kernel, bias = some.unfold(np.eye(some.features.shape[1]), np.zeros(some.features.shape[1]))
    np.testing.assert_allclose(features @ kernel + bias, some.features, atol=1e-3)


def test_features_that_never_vary_do_no_harm() -> None:
    some = hidden_layer.leading(reduction(np.ones((20, 3), np.float32)))
    found = hidden_layer.fit(some, np.eye(2)[np.arange(20) % 2], np.ones(20), seed=0)
    np.testing.assert_allclose(found.probabilities(np.ones((1, 3))), 0.5, atol=0.05)
