"""The n-gram model is a probability distribution, and that of Kneser and Ney."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.sequences.n_gram_models import NGramModel, chosen

ROWS = st.lists(st.lists(st.integers(1, 5), max_size=12).map(lambda row: [*row, 0]), min_size=1, max_size=12)


@given(ROWS, st.integers(1, 4), st.lists(st.integers(0, 6), max_size=6))
def test_every_distribution_sums_to_one_whatever_the_context(rows: list, order: int, context: list) -> None:
    found = NGramModel(rows, order=order, num_tokens=7, start=0).distribution(context)
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert (found > 0).all()  # also of tokens never seen


@given(ROWS, st.integers(1, 4), st.lists(st.integers(0, 6), min_size=1, max_size=6))
def test_bits_of_a_row_are_those_of_the_distributions(rows: list, order: int, row: list) -> None:
    model = NGramModel(rows, order=order, num_tokens=7, start=0)
    expected = [-math.log2(model.distribution(row[:i])[token]) for i, token in enumerate(row)]
    np.testing.assert_allclose(model.bits(row), expected, rtol=1e-9)


def test_probability_by_hand() -> None:
    """Rows "a b", "a b", "a c": bigrams and the number of different tokens before each, V = 4 with the end."""
    end, a, b, c = range(4)
    model = NGramModel([[a, b, end], [a, b, end], [a, c, end]], order=2, num_tokens=4, start=end)
    # after a: b twice, c once. Bigram counts: 3 of 1? end-a 3, a-b 2, a-c 1, b-end 2, c-end 1 -> n1 = 2, n2 = 2
    high = 2 / (2 + 2 * 2)
    # unigrams by what comes before: a after end; b, c after a; end after b and c -> counts 1, 1, 1, 2; n1 = 3, n2 = 1
    low = 3 / (3 + 2 * 1)
    of_b = (1 - low + low * 4 * (1 / 4)) / 5
    assert model.distribution([a])[b] == pytest.approx((2 - high + high * 2 * of_b) / 3)


def test_held_out_rows_choose_the_order() -> None:
    random = np.random.default_rng(0)
    far = [[int(token) for first in random.integers(1, 4, 8) for token in (first, 4, 5, first)] + [0]
           for _ in range(60)]
    model = chosen(far[:50], far[50:], (1, 2, 4), num_tokens=6, start=0)
    assert model.order == 4  # the last of four tokens repeats the first
    assert chosen(far, [], (1, 2, 4), num_tokens=6, start=0).order == 2
