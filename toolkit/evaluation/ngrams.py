r"""Texts as counts of their words and pieces: what a classifier that knows no language can see.

TF-IDF of single words and pairs beside TF-IDF of two to five characters within words, each row of each scaled to length
one:

.. math:: x_j = (1 + \log n_j) \left(1 + \log \frac{1 + N}{1 + N_j}\right)

where :math:`n_j` counts the n-gram in the text and :math:`N_j` the training texts (of N) that hold it. All is learnt
from the texts given, by scikit-learn's vectorisers.

References:
    Salton, Buckley (1988), Term-weighting approaches in automatic text retrieval.
    https://doi.org/10.1016/0306-4573(88)90021-0
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits

WORDS = r"(?u)\b\w+\b|[^\w\s]"
"""A word is a run of letters and digits, or another sign that is no blank."""
LONGEST = 100_000
"""Characters of a text that are looked at."""
MOST_CHARACTERS = 20_000_000
"""Characters of all training texts above which only words are counted."""
MANY_TEXTS = 1000
"""Training texts above which an n-gram of a single text is left out."""
NUM_COMPONENTS = 300


@dataclass(frozen=True, eq=False)
class Ngrams:
    """n-grams known from training texts.

    Attributes:
        vectorizers: fitted, of words and of characters.
        details: for the report.
    """

    vectorizers: tuple[TfidfVectorizer, ...]
    details: dict

    def __call__(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Texts as (n, F) float32, sparse."""
        some = [text[:LONGEST] for text in texts]
        parts = [vectorizer.transform(some) for vectorizer in self.vectorizers]
        return sparse.hstack(parts, format="csr", dtype=np.float32)


def words_and_characters(texts: Sequence[str]) -> Ngrams:
    """Learn the n-grams of training texts.

    Args:
        texts: n >= 1 of them.

    Example:
        >>> known = words_and_characters(["a good film", "a bad film"])
        >>> known(["good !"]).shape[0], known.details["words"]
        (1, 8)
    """
    some = [text[:LONGEST] for text in texts]
    words = _fitted(some, token_pattern=WORDS, ngram_range=(1, 2), sublinear_tf=True)
    details: dict = {"words": len(words.vocabulary_)}
    if sum(map(len, some)) > MOST_CHARACTERS:
        details |= {"approximation": "only words and pairs of words are counted, no characters",
                    "reason": f"the training texts have more than {MOST_CHARACTERS:,} characters"}
        return Ngrams((words,), details)
    characters = _fitted(some, analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    return Ngrams((words, characters), {**details, "characters": len(characters.vocabulary_)})


def binary_words(texts: Sequence[str]) -> Ngrams:
    """Learn the single words and pairs of training texts; a text holds each of them or does not, 1 or 0.

    Args:
        texts: n >= 1 of them.
    """
    some = [text[:LONGEST] for text in texts]
    words = _fitted(some, token_pattern=WORDS, ngram_range=(1, 2), binary=True, use_idf=False, norm=None)
    return Ngrams((words,), {"words": len(words.vocabulary_)})


def _fitted(texts: list[str], **options: Any) -> TfidfVectorizer:
    """A vectoriser that knows the n-grams of the texts, among many only those of two texts or more."""
    known = TfidfVectorizer(dtype=np.float32, **options)
    if len(texts) > MANY_TEXTS:
        with contextlib.suppress(ValueError):  # no n-gram is in two texts
            return known.set_params(min_df=2).fit(texts)
    return known.set_params(min_df=1).fit(texts)


def components(features: sparse.csr_matrix, seed: int) -> TruncatedSVD:
    """Fit the truncated singular value decomposition of n-grams, at most 300 components; ``transform`` applies it.

    Args:
        features: (n, F) of training rows.
        seed: of the algorithm's random start.
    """
    number = max(1, min(NUM_COMPONENTS, *(size - 1 for size in features.shape)))
    with np.errstate(invalid="ignore"), threadpool_limits(limits=1):  # equal rows; the pools would wait for each other
        return TruncatedSVD(number, n_iter=2, random_state=seed).fit(features)
