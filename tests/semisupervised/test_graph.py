"""Spreading on graphs equals scikit-learn and direct dense solves."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import sparse
from sklearn.semi_supervised import LabelPropagation, LabelSpreading

from toolkit.semisupervised import graph
from toolkit.semisupervised.neighbours import nearest


def blobs(seed: int = 0, *, rows: int = 60, classes: int = 3, apart: float = 1.0, labelled: int = 2
          ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (n, 4), true classes, and labels of which few a class are known."""
    random = np.random.default_rng(seed)
    truth = np.arange(rows) % classes
    features = random.normal(size=(rows, 4)) + apart * random.normal(size=(classes, 4))[truth]
    labels = np.where(np.arange(rows) < labelled * classes, truth, -1)
    return features, truth, labels


def made(seed: int = 0, neighbours: int = 8, **options: float) -> tuple[sparse.csr_array, np.ndarray, np.ndarray]:
    features, truth, labels = blobs(seed, **options)
    return graph.weights(*nearest(features, neighbours)), truth, labels


def dense_laplacian(weights: sparse.csr_array) -> np.ndarray:
    return np.diag(weights.toarray().sum(axis=1)) - weights.toarray()


def test_weights_are_symmetric_and_by_hand() -> None:
    features = np.random.default_rng(1).normal(size=(30, 3))
    positions, distances = nearest(features, 5)
    expected = np.zeros((30, 30))
    for row in range(30):
        expected[row, positions[row]] = np.exp(-4 * (distances[row] / distances[row, -1]) ** 2)
    found = graph.weights(positions, distances).toarray()
    np.testing.assert_allclose(found, (expected + expected.T) / 2, rtol=1e-6)
    assert not found.diagonal().any()


def test_copies_of_one_row_are_joined() -> None:
    found = graph.weights(*nearest(np.zeros((5, 2)), 2))
    assert set(found.data) <= {0.5, 1.0}


@pytest.mark.parametrize("alpha", [0.2, 0.9, 0.99])
def test_label_spreading_is_scikit_learns(alpha: float) -> None:
    weights, _, labels = made()
    theirs = LabelSpreading(kernel=lambda *_: weights.toarray(), alpha=alpha, max_iter=100_000, tol=1e-13)
    theirs.fit(np.zeros((len(labels), 1)), labels)
    found = graph.label_spreading(weights, labels, 3, alpha)
    np.testing.assert_allclose(found, theirs.label_distributions_, atol=1e-7)
    np.testing.assert_array_equal(found.argmax(axis=1), theirs.transduction_)


def test_laplace_is_scikit_learns_label_propagation() -> None:
    weights, _, labels = made()
    theirs = LabelPropagation(kernel=lambda *_: weights.toarray(), max_iter=100_000, tol=1e-12)
    theirs.fit(np.zeros((len(labels), 1)), labels)
    found = graph.laplace(weights, labels, 3)
    np.testing.assert_allclose(found, theirs.label_distributions_, atol=1e-6)


def test_laplace_is_the_direct_solution() -> None:
    weights, _, labels = made(1)
    laplacian, free, known = dense_laplacian(weights), labels < 0, labels >= 0
    sources = -laplacian[np.ix_(free, known)] @ np.eye(3)[labels[known]]
    expected = np.linalg.solve(laplacian[np.ix_(free, free)], sources)
    found = graph.laplace(weights, labels, 3)
    np.testing.assert_allclose(found[free], expected, atol=1e-5)
    np.testing.assert_array_equal(found[known], np.eye(3)[labels[known]])


def test_poisson_is_the_direct_solution() -> None:
    weights, _, labels = made(2)
    degrees, known = weights.toarray().sum(axis=1), labels >= 0
    sources = np.zeros((len(labels), 3))
    sources[known] = np.eye(3)[labels[known]] - np.eye(3)[labels[known]].mean(axis=0)
    expected = np.linalg.pinv(dense_laplacian(weights)) @ sources
    expected -= degrees @ expected / degrees.sum()
    found = graph.poisson(weights, labels, 3)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    shares = np.array([0.5, 0.25, 0.25])
    np.testing.assert_allclose(graph.poisson(weights, labels, 3, shares), found * shares * 3, rtol=1e-6)


def test_poisson_is_what_the_papers_iteration_ends_in() -> None:
    weights, _, labels = made(3)
    degrees, known = np.asarray(weights.sum(axis=1)).ravel(), labels >= 0
    sources = np.zeros((len(labels), 3))
    sources[known] = np.eye(3)[labels[known]] - np.eye(3)[labels[known]].mean(axis=0)
    values = np.zeros_like(sources)
    for _ in range(20_000):  # algorithm 1 of the paper
        values += (sources - (degrees[:, None] * values - weights @ values)) / degrees[:, None]
    values -= degrees @ values / degrees.sum()
    np.testing.assert_allclose(graph.poisson(weights, labels, 3), values, atol=1e-4 * np.abs(values).max())


METHODS: dict[str, Callable] = {"label_spreading": graph.label_spreading, "laplace": graph.laplace,
                                "poisson": graph.poisson}


@pytest.mark.parametrize("method", METHODS)
def test_separate_groups_take_their_own_label(method: str) -> None:
    features, truth, labels = blobs(apart=30.0)  # no edge joins two classes
    found = METHODS[method](graph.weights(*nearest(features, 5)), labels, 3)
    np.testing.assert_array_equal(found.argmax(axis=1), truth)


@pytest.mark.parametrize("method", METHODS)
def test_what_no_label_reaches_has_no_score(method: str) -> None:
    features, truth, labels = blobs(apart=30.0)
    labels = np.where(truth == 2, -1, labels)
    found = METHODS[method](graph.weights(*nearest(features, 5)), labels, 3)
    np.testing.assert_allclose(found[truth == 2], 0, atol=1e-6)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_small_part_of_the_graph_does_no_harm(method: str) -> None:
    """Twelve rows far away, one of them labelled: it labels them, and the others are as they were."""
    features, truth, labels = blobs(rows=300, apart=2.0, labelled=3)
    island = np.random.default_rng(1).normal(size=(12, 4)) + 1000
    alone = METHODS[method](graph.weights(*nearest(features, 8)), labels, 3).argmax(axis=1)
    every = graph.weights(*nearest(np.concatenate([features, island]), 8))
    for number in range(3):
        found = METHODS[method](every, np.concatenate([labels, [number], np.full(11, -1)]), 3).argmax(axis=1)
        assert (found[300:] == number).all() and (alone == truth).mean() > 0.9
        assert (found[:300] == alone).mean() > 0.99


def test_poisson_beats_laplace_where_labels_are_few() -> None:
    weights, truth, labels = made(0, rows=600, labelled=1, neighbours=10)
    free = labels < 0
    right = {name: (METHODS[name](weights, labels, 3).argmax(axis=1) == truth)[free].mean()
             for name in ("poisson", "laplace")}
    assert right["poisson"] > right["laplace"] + 0.05, right
