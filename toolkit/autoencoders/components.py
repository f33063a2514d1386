r"""Principal components: the linear autoencoder that stands beside every other.

.. math:: h = V^\top (x - \bar x), \qquad x' = \bar x + V h

with V the directions of largest variance: no linear encoder and decoder with as many codes has a smaller squared error
on the training rows that decided, which are all of them but for large images.

References:
    P. Baldi, K. Hornik (1989). Neural networks and principal component analysis: learning from examples without local
        minima. https://doi.org/10.1016/0893-6080(89)90014-2
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import linalg

MAX_EXACT = 4096  # values of an image, above which a sample of the rows decides
MAX_SAMPLE = 4096
ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Components:
    """Principal components.

    Attributes:
        mean: (d,) float32.
        directions: (d, F) float32, orthonormal, the largest variance first.
        rows: training rows that decided.
    """

    mean: np.ndarray
    directions: np.ndarray
    rows: int

    def codes(self, images: np.ndarray) -> np.ndarray:
        """Images (n, ...) uint8 -> (n, F) float32."""
        parts = [part @ self.directions for part in centred(images, self.mean)]
        return np.concatenate(parts) if parts else np.zeros((0, self.directions.shape[1]), np.float32)

    def decoded(self, codes: np.ndarray) -> np.ndarray:
        """Codes (n, F) -> values (n, d) float32."""
        return self.mean + codes @ self.directions.T


def principal_components(images: np.ndarray, count: int, *, seed: int = 0) -> Components:
    """The principal components of images.

    Args:
        images: (n, ...) uint8, which stands for [0, 1], n >= 1.
        count: F; fewer are given where images have fewer values, or vary in fewer directions.
        seed: of the sample of rows where an image has more than 4,096 values.

    Example:
        >>> images = np.arange(12, dtype=np.uint8).reshape(4, 3)
        >>> found = principal_components(images, 2)
        >>> np.allclose(255 * found.decoded(found.codes(images)), images.reshape(4, 3), atol=1e-3)
        True
    """
    width = int(np.prod(images.shape[1:]))
    if width > MAX_EXACT and len(images) > MAX_SAMPLE:
        images = images[np.sort(np.random.default_rng(seed).permutation(len(images))[:MAX_SAMPLE])]
    mean = (images.reshape(len(images), -1).mean(axis=0, dtype=np.float64) / 255).astype(np.float32)
    if width <= len(images):
        squares = np.zeros((width, width))
        for part in centred(images, mean):
            squares += part.T @ part
        variances, vectors = linalg.eigh(squares)
    else:
        values = np.concatenate(list(centred(images, mean)))
        variances, left = linalg.eigh((values @ values.T).astype(np.float64))
        vectors = values.T @ (left / np.sqrt(np.maximum(variances, 1e-12)))
    varying = np.flatnonzero(variances > 1e-7 * max(variances[-1], 1e-12))[::-1]
    return Components(mean, vectors[:, varying[:count]].astype(np.float32), len(images))


def centred(images: np.ndarray, mean: np.ndarray) -> Iterator[np.ndarray]:
    """Images (n, ...) uint8 as values in [0, 1] less their mean, a few thousand rows (k, d) float32 at a time."""
    for start in range(0, len(images), ROWS_AT_ONCE):
        part = images[start:start + ROWS_AT_ONCE].reshape(-1, len(mean))
        yield part.astype(np.float32) / np.float32(255) - mean
