"""Nearest codes against a plain loop."""

import numpy as np
import pytest

from toolkit.autoencoders import similar


@pytest.mark.parametrize("metric", similar.METRICS)
def test_they_are_those_of_a_loop(metric: str) -> None:
    random = np.random.default_rng(0)
    queries, codes = random.normal(size=(300, 6)), random.normal(size=(40, 6))
    rows, distances = similar.nearest(queries, codes, 5, metric=metric)
    for query in (0, 150, 299):
        if metric == "cosine":
            norms = np.linalg.norm(codes, axis=1) * np.linalg.norm(queries[query])
            expected = 1 - codes @ queries[query] / norms
        else:
            expected = np.linalg.norm(codes - queries[query], axis=1)
        np.testing.assert_array_equal(rows[query], np.argsort(expected)[:5])
        np.testing.assert_allclose(distances[query], np.sort(expected)[:5], atol=1e-7)


def test_fewer_codes_than_asked_for_and_equal_ones() -> None:
    rows, distances = similar.nearest(np.ones((1, 2)), np.ones((3, 2)), 9, metric="euclidean")
    assert rows.tolist() == [[0, 1, 2]] and np.allclose(distances, 0)
    assert similar.nearest(np.zeros((0, 2)), np.ones((3, 2)), 2)[0].shape == (0, 2)
