"""The plain classifiers that every recipe has to beat, on the same rows.

Each is a function ``(features (n, F), labels (n,), num_classes, *, groups, seed) -> classifier``; a classifier has a
``name``, ``details`` for the report and ``probabilities(features)``.
"""

from toolkit.evaluation.baselines.discriminant import linear_discriminant_analysis
from toolkit.evaluation.baselines.linear import LinearClassifier, majority_class
from toolkit.evaluation.baselines.logistic import logistic_regression

__all__ = ["LinearClassifier", "linear_discriminant_analysis", "logistic_regression", "majority_class"]
