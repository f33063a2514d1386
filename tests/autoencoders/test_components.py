"""Principal components against scikit-learn, with more and with fewer rows than values."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from toolkit.autoencoders.components import principal_components


@pytest.mark.parametrize("rows", [200, 12])
def test_they_are_those_of_scikit_learn(rows: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (rows, 5, 4, 1), np.uint8)
    found, values = principal_components(images, 6), images.reshape(rows, -1) / 255
    solved = PCA(6).fit(values)
    expected = solved.inverse_transform(solved.transform(values))
    np.testing.assert_allclose(found.decoded(found.codes(images)), expected, atol=1e-5)
    np.testing.assert_allclose(found.directions.T @ found.directions, np.eye(6), atol=1e-5)


def test_no_more_are_given_than_images_vary_in() -> None:
    images = np.zeros((30, 4, 4, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(30)
    assert principal_components(images, 6).directions.shape == (16, 1)
    assert principal_components(images[:1], 6).directions.shape == (16, 0)


def test_no_images_have_no_codes() -> None:
    found = principal_components(np.random.default_rng(0).integers(0, 256, (9, 2, 2, 1), np.uint8), 2)
    assert found.codes(np.zeros((0, 2, 2, 1), np.uint8)).shape == (0, 2)
