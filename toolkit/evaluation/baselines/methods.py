"""The baselines on features, by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from toolkit.evaluation.baselines.boosting import boosted_stumps, boosted_trees
from toolkit.evaluation.baselines.classifiers import Classifier
from toolkit.evaluation.baselines.discriminant import linear_discriminant_analysis
from toolkit.evaluation.baselines.gaussian_machine import gaussian_support_vectors
from toolkit.evaluation.baselines.linear import LinearClassifier, majority_class
from toolkit.evaluation.baselines.linear_machine import linear_support_vectors
from toolkit.evaluation.baselines.logistic import logistic_regression
from toolkit.evaluation.baselines.neighbours import nearest_neighbours
from toolkit.evaluation.baselines.radial import radial_basis_functions
from toolkit.evaluation.baselines.ridge import ridge_regression


def _majority(features: np.ndarray, labels: np.ndarray, num_classes: int, *, groups: np.ndarray | None = None,
              seed: int = 0) -> LinearClassifier:
    return majority_class(labels, num_classes)


METHODS: dict[str, Callable[..., Classifier]] = {
    "majority class": _majority,
    "logistic regression": logistic_regression,
    "LDA": linear_discriminant_analysis,
    "nearest neighbours": nearest_neighbours,
    "radial basis functions": radial_basis_functions,
    "linear SVM": linear_support_vectors,
    "Gaussian SVM": gaussian_support_vectors,
    "boosted stumps": boosted_stumps,
    "boosted trees": boosted_trees,
    "ridge regression": ridge_regression,
}
"""Baselines by name."""
