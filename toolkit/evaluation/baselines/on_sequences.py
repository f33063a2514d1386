"""Baselines that take texts or series themselves: they learn from the training rows what to make of them.

``METHODS`` of this room see texts as n-grams (sparse for logistic regression, reduced to 300 components by a singular
value decomposition for all others) and series as values of one length. ``OWN_METHODS`` are those that only texts or
only series have.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.evaluation import ngrams, series_features
from toolkit.evaluation.baselines import methods, naive_bayes, rocket, warping
from toolkit.evaluation.baselines.classifiers import Classifier
from toolkit.tables import Table

SPACES = {"text": "n-grams", "series": "values"}
"""Kind of the table -> what its inputs are seen as."""
OWN_METHODS = {"text": (naive_bayes.NAME,), "series": (warping.NAME, rocket.NAME)}
CONTROLS = {"text": ("logistic regression", "LDA", naive_bayes.NAME),
            "series": ("logistic regression", "LDA", "nearest neighbours", warping.NAME, rocket.NAME)}
"""Methods that stand beside every run; the first is its main control."""


@dataclass(frozen=True, eq=False)
class OnInputs:
    """A baseline with the way from inputs to what it looks at.

    Attributes:
        name: in words, with the space.
        details: how it was fitted.
        features: inputs -> what the classifier takes.
        classifier: fitted.
        num_classes: C.
    """

    name: str
    details: dict
    features: Callable[[Sequence[Any]], Any]
    classifier: Classifier
    num_classes: int

    def probabilities(self, inputs: Sequence[Any]) -> np.ndarray:
        """Class probabilities.

        Args:
            inputs: n texts, or n series (T, C).

        Returns:
            (n, C) float64, rows sum to one.
        """
        if not len(inputs):
            return np.zeros((0, self.num_classes))
        return self.classifier.probabilities(self.features(inputs))


def contents(table: Table, indices: np.ndarray) -> list[Any]:
    """The texts, or the series (T, C), of rows of a table.

    Args:
        table: of kind text or series.
        indices: (n,) rows.
    """
    if table.kind == "text":
        return table.inputs[indices].tolist()
    return [table.array[position] for position in table.inputs[indices].tolist()]


def named(method: str, kind: str) -> str:
    """A method in words, with what it sees.

    Args:
        method: a key of ``methods.METHODS``, or one of ``OWN_METHODS``.
        kind: "text" or "series".

    Example:
        >>> named("LDA", "text"), named("dynamic time warping", "series")
        ('LDA on n-grams', 'dynamic time warping')
    """
    return method if kind == "series" and method in OWN_METHODS[kind] else f"{method} on {SPACES[kind]}"


def fit(method: str, kind: str, inputs: Sequence[Any], labels: np.ndarray, num_classes: int, *,
        groups: np.ndarray | None = None, seed: int = 0) -> OnInputs:
    """Fit one baseline on training rows.

    Args:
        method: a key of ``methods.METHODS``, or one of ``OWN_METHODS`` of the kind.
        kind: "text" or "series".
        inputs: n >= 1 texts, or series (T, C), from ``contents``.
        labels: (n,) int in 0..C-1.
        num_classes: C.
        groups: (n,) names; rows of one group are held out together.
        seed: of samples, folds and all else.

    Raises:
        ToolkitError: if the method needs a package that is not installed.

    Example:
        >>> texts = ["good film", "good fun", "so good", "bad film", "bad fun", "so bad"]
        >>> model = fit("logistic regression", "text", texts, np.array([1, 1, 1, 0, 0, 0]), 2)
        >>> model.name, model.probabilities(["a good one", "too bad"]).argmax(axis=1).tolist()
        ('logistic regression on n-grams', [1, 0])
    """
    features, about = (_of_texts if kind == "text" else _of_series)(method, inputs, seed)
    own = {naive_bayes.NAME: naive_bayes.naive_bayes_logistic_regression, rocket.NAME: rocket.mini_rocket,
           warping.NAME: warping.dynamic_time_warping}
    learn = own.get(method) or methods.METHODS[method]
    classifier = learn(features(inputs), labels, num_classes, groups=groups, seed=seed)
    return OnInputs(named(method, kind), {**about, **classifier.details}, features, classifier, num_classes)


def _of_texts(method: str, texts: Sequence[str], seed: int) -> tuple[Callable[[Sequence[str]], Any], dict]:
    """What a method sees of texts, and what the report says of that."""
    if method == naive_bayes.NAME:
        known = ngrams.binary_words(texts)
        return known, known.details
    known = _ngrams(tuple(texts))
    if method == "logistic regression":
        return known, known.details
    reduced = ngrams.components(known(texts), seed)
    about = {**known.details, "components": len(reduced.singular_values_)}
    return lambda texts: reduced.transform(known(texts)).astype(np.float32), about


@functools.lru_cache(maxsize=1)
def _ngrams(texts: tuple[str, ...]) -> ngrams.Ngrams:
    """The n-grams of training texts, learnt once for the methods that follow each other on the same rows."""
    return ngrams.words_and_characters(texts)


def _of_series(method: str, series: Sequence[np.ndarray], seed: int
               ) -> tuple[Callable[[Sequence[np.ndarray]], np.ndarray], dict]:
    """Likewise of series."""
    frame = series_features.frame(series)
    return frame if method in OWN_METHODS["series"] else frame.flat, {"time_steps": frame.length}


def controls(kind: str) -> list[str]:
    """The methods that stand beside every run on texts or series and can be fitted here, the main control first.

    Args:
        kind: "text" or "series".
    """
    return installed(CONTROLS[kind])


def installed(methods: Sequence[str]) -> list[str]:
    """Those of some methods whose packages are there.

    Args:
        methods: names.
    """
    return [method for method in methods if method != rocket.NAME or rocket.is_installed()]
