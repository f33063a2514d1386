"""Pseudo-labels in line with the shares of the classes, and the pools that are visibly of other shares."""

import numpy as np
import pytest

from toolkit.semisupervised import class_shares


def test_the_mean_over_the_unlabelled_rows_has_the_shares() -> None:
    scores = np.random.default_rng(0).normal(size=(200, 3)) + [1.5, 0, -1]
    shares, rows = np.array([0.2, 0.3, 0.5]), np.arange(50, 200)
    found = np.exp(class_shares.aligned(scores, shares, rows))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found[rows].mean(axis=0), shares, atol=1e-3)
    order = (scores[rows, 0] - scores[rows, 1]).argsort()  # only offsets: the order of the rows stays
    assert (np.diff(np.log(found[rows, 0] / found[rows, 1])[order]) >= -1e-9).all()


def test_without_rows_only_the_logarithms() -> None:
    scores = np.random.default_rng(1).normal(size=(5, 2))
    found = class_shares.aligned(scores, np.array([0.9, 0.1]), np.zeros(0, np.int64))
    np.testing.assert_allclose(found[:, 0] - found[:, 1], scores[:, 0] - scores[:, 1])


@pytest.mark.parametrize(("predictions", "differ"), [
    (np.arange(200) % 4, False), (np.zeros(200, np.int64), True), (np.arange(200) % 2, False),
    (np.where(np.arange(200) < 170, 2, 0), True), (np.zeros(2, np.int64), False), (np.zeros(0, np.int64), False)])
def test_a_pool_of_nearly_one_class_differs(predictions: np.ndarray, differ: bool) -> None:
    assert class_shares.differ(predictions, np.full(4, 0.25)) is differ
