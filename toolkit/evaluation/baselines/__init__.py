"""The plain classifiers that every recipe has to beat, on the same rows.

``METHODS`` holds them by name, each a function ``(features (n, F), labels (n,), num_classes, *, groups, seed) ->
classifier``; a classifier has a ``name``, ``details`` for the report and ``probabilities(features)``. All settings are
chosen on the rows given. Where a table is too large for the exact method, ``details`` hold ``approximation`` and
``reason``. ``on_sequences`` fits them, and methods that only texts or only series have, to texts and series.
"""

from __future__ import annotations

from toolkit.evaluation.baselines import on_sequences
from toolkit.evaluation.baselines.classifiers import Classifier
from toolkit.evaluation.baselines.discriminant import linear_discriminant_analysis
from toolkit.evaluation.baselines.linear import LinearClassifier, majority_class
from toolkit.evaluation.baselines.logistic import logistic_regression
from toolkit.evaluation.baselines.methods import METHODS

__all__ = ["METHODS", "Classifier", "LinearClassifier", "linear_discriminant_analysis", "logistic_regression",
           "majority_class", "on_sequences"]
