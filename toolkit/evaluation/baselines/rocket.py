"""MiniRocket: almost ten thousand fixed convolutions of a series, how often each is positive, and ridge regression.

The convolutions are those of the library aeon (extra ``series``); what they give is standardised and fitted by
``ridge``.

References:
    Dempster, Schmidt, Webb (2021), MiniRocket: a very fast (almost) deterministic transform for time series
    classification. https://arxiv.org/abs/2012.08791
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from toolkit import ToolkitError
from toolkit.evaluation.baselines.linear import LinearClassifier
from toolkit.evaluation.baselines.ridge import ridge_regression

if TYPE_CHECKING:
    from aeon.transformations.collection.convolution_based import MiniRocket

NAME = "MiniRocket"
NUM_KERNELS = 10_000
SHORTEST = 9  # steps of a kernel


@dataclass(frozen=True, eq=False)
class RocketClassifier:
    """The convolutions and the ridge regression on them.

    Attributes:
        name: in words.
        details: how the ridge regression was fitted.
        transform: aeon's, fitted.
        classifier: on what it gives.
    """

    name: str
    details: dict
    transform: "MiniRocket"
    classifier: LinearClassifier

    def probabilities(self, series: np.ndarray) -> np.ndarray:
        """Class probabilities.

        Args:
            series: (m, T, C).

        Returns:
            (m, K) float64, rows sum to one.
        """
        if not len(series):
            return np.zeros((0, len(self.classifier.bias)))
        return self.classifier.probabilities(self.transform.transform(_for_aeon(series)))


def is_installed() -> bool:
    """Whether aeon is there."""
    return importlib.util.find_spec("aeon") is not None


def mini_rocket(series: np.ndarray, labels: np.ndarray, num_classes: int, *, groups: np.ndarray | None = None,
                seed: int = 0) -> RocketClassifier:
    """Fit it.

    Args:
        series: (n, T, C) real numbers, from ``series_features.frame``.
        labels: (n,) int in 0..K-1, n >= 1.
        num_classes: K.
        groups: are not looked at.
        seed: of the biases, quantiles of random training rows.

    Raises:
        ToolkitError: if aeon is not installed.
    """
    if not is_installed():
        raise ToolkitError('MiniRocket needs the package aeon: pip install "toolkit[series]".')
    from aeon.transformations.collection.convolution_based import MiniRocket

    values = _for_aeon(series)
    transform = MiniRocket(n_kernels=NUM_KERNELS, n_jobs=1, random_state=seed).fit(values)
    classifier = ridge_regression(transform.transform(values), labels, num_classes, groups=groups, seed=seed)
    return RocketClassifier(NAME, classifier.details, transform, classifier)


def _for_aeon(series: np.ndarray) -> np.ndarray:
    """(n, T, C) -> (n, C, T), the last step repeated where there are fewer than nine."""
    short = max(0, SHORTEST - series.shape[1])
    padded = np.pad(series, ((0, 0), (0, short), (0, 0)), mode="edge")
    return np.ascontiguousarray(padded.transpose(0, 2, 1), dtype=np.float32)
