"""The plain taggers that a network has to beat.

``most_frequent`` gives a token the tag it had most often in training; ``on_neighbours`` is logistic regression on the
token, its neighbours up to two places away, their pairs, and how the token is written. Neither looks at a whole row.

References:
    Ratnaparkhi 1996, A maximum entropy model for part-of-speech tagging, https://aclanthology.org/W96-0213
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Rows = Sequence[Sequence[str]]
Tagger = Callable[[Rows], list[np.ndarray]]
"""Rows of tokens -> an array of class numbers for each."""

STRENGTHS = (0.1, 1.0, 10.0)
MAX_TOKENS_TO_CHOOSE, MANY_TOKENS = 20_000, 1_000


def most_frequent(tokens: Rows, tags: Sequence[np.ndarray]) -> Tagger:
    """The most frequent tag of each token; of a token never seen, the most frequent of all.

    Args:
        tokens: n rows.
        tags: n arrays of class numbers, as long.

    Example:
        >>> tagger = most_frequent([["a", "b", "a"]], [np.array([1, 0, 1])])
        >>> [row.tolist() for row in tagger([["b", "a", "c"]])]
        [[0, 1, 1]]
    """
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for row, row_tags in zip(tokens, tags, strict=True):
        for token, tag in zip(row, row_tags.tolist(), strict=True):
            counts[token][tag] += 1
    usual = _most(sum(counts.values(), Counter()))
    of_token = {token: _most(found) for token, found in counts.items()}
    return lambda rows: [np.array([of_token.get(token, usual) for token in row], np.int64) for row in rows]


def _most(counts: Counter[int]) -> int:
    return min(counts, key=lambda tag: (-counts[tag], tag))


def on_neighbours(tokens: Rows, tags: Sequence[np.ndarray], *, seed: int = 0) -> tuple[Tagger, dict[str, Any]]:
    """Logistic regression on the n-grams around a token.

    Args:
        tokens: n rows.
        tags: n arrays of class numbers, as long.
        seed: of the fifth of the rows held out to choose C.

    Returns:
        The tagger, and for the report C, the number of tokens and of features.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    described, flat = _described(tokens), np.concatenate(tags)
    twice = 2 if len(flat) > MANY_TOKENS else 1  # what occurs once says little, and is most of all features
    vectorizer = CountVectorizer(analyzer=list, binary=True, dtype=np.float64, min_df=twice)
    features = vectorizer.fit_transform(described)
    if len(np.unique(flat)) == 1:
        return (lambda rows: [np.full(len(row), flat[0], np.int64) for row in rows]), {"tokens": len(flat)}
    rows = np.repeat(np.arange(len(tokens)), [len(row) for row in tokens])
    strength = _strength(features, flat, rows, seed)
    model = _fit(features, flat, strength)

    def tagger(given: Rows) -> list[np.ndarray]:
        ends = np.cumsum([len(row) for row in given])[:-1]
        found = model.predict(vectorizer.transform(_described(given))) if len(given) else np.zeros(0, np.int64)
        return np.split(found, ends) if len(given) else []

    return tagger, {"C": strength, "tokens": len(flat), "features": features.shape[1]}


def _described(rows: Rows) -> list[list[str]]:
    """The features of every token of every row."""
    return [_features(row, position) for row in rows for position in range(len(row))]


def _features(row: Sequence[str], position: int) -> list[str]:
    token = row[position]
    near = {offset: row[position + offset].lower() if 0 <= position + offset < len(row) else "\0"
            for offset in (-2, -1, 0, 1, 2)}
    pairs = [f"{first}:{near[first]} {near[first + 1]}" for first in (-2, -1, 0, 1)]
    spelling = [f"ends:{token[-size:].lower()}" for size in (1, 2, 3)] + [f"begins:{token[:2].lower()}"]
    form = "".join("A" if letter.isupper() else "0" if letter.isdigit() else "a" if letter.isalpha() else letter
                   for letter in token[:8])
    return [*(f"{offset}:{word}" for offset, word in near.items()), *pairs, *spelling, f"form:{form}"]


def _strength(features: Any, tags: np.ndarray, rows: np.ndarray, seed: int) -> float:
    """C of the smallest log loss on a fifth of the rows, fitted on the others; of a sample where there are many."""
    order = np.random.default_rng(seed).permutation(int(rows.max()) + 1)
    kept = np.isin(rows, order[:max(5, len(order) * MAX_TOKENS_TO_CHOOSE // len(tags))])
    held = np.isin(rows, order[:max(1, int(0.2 * len(np.unique(rows[kept]))))])
    fitting = kept & ~held
    if len(np.unique(tags[fitting])) < 2 or not held.any():
        return 1.0
    losses = []
    for strength in STRENGTHS:
        model = _fit(features[fitting], tags[fitting], strength)
        log_probabilities = model.predict_log_proba(features[held])
        column = {tag: i for i, tag in enumerate(model.classes_.tolist())}
        losses.append(-np.mean([max(row[column[tag]], -20.0) if tag in column else -20.0
                                for row, tag in zip(log_probabilities, tags[held].tolist(), strict=True)]))
    return STRENGTHS[int(np.argmin(losses))]


def _fit(features: Any, tags: np.ndarray, strength: float) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=100, tol=1e-3).fit(features, tags)
