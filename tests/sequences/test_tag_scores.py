"""Scores of tags are those of scikit-learn and of seqeval."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from toolkit.sequences import tag_scores

NAMES = ("B-place", "B-person", "I-place", "I-person", "E-place", "S-person", "O")
TAGS = st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=8), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-x I-x O", {("x", 0, 1)}),
        ("B-x B-x", {("x", 0, 0), ("x", 1, 1)}),
        ("I-x I-y", {("x", 0, 0), ("y", 1, 1)}),  # broken: nothing began
        ("O I-x I-x", {("x", 1, 2)}),
        ("B-x O I-x", {("x", 0, 0), ("x", 2, 2)}),
        ("S-x E-x", {("x", 0, 0), ("x", 1, 1)}),
        ("O O", set()),
    ],
)
def test_entities(tags: str, expected: set) -> None:
    assert tag_scores.entities(tags.split()) == expected


@given(TAGS)
def test_entities_are_those_of_seqeval(rows: list) -> None:
    labelling = pytest.importorskip("seqeval.metrics.sequence_labeling")
    for row in rows:
        assert tag_scores.entities(row) == set(labelling.get_entities(row))


def numbers(rows: list) -> list[np.ndarray]:
    return [np.array([NAMES.index(tag) for tag in row]) for row in rows]


def test_scores_equal_scikit_learn_and_count_entities() -> None:
    true = [["B-place", "I-place", "O"], ["O", "B-person", "O", "B-place"]]
    guess = [["B-place", "I-place", "O"], ["O", "B-person", "I-person", "O"]]
    found = tag_scores.scores(numbers(true), numbers(guess), NAMES, draws=50)
    flat, flat_guess = np.concatenate(numbers(true)), np.concatenate(numbers(guess))
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(flat, flat_guess))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(flat, flat_guess, average="macro", zero_division=0))
    assert found["entity_f1"] == pytest.approx(2 * 1 / (2 + 3))  # only the first place; the person is too long
    assert (found["entity_precision"], found["entity_recall"]) == (pytest.approx(1 / 2), pytest.approx(1 / 3))
    assert found["count"] == 7 and found["rows"] == 2


def test_tags_that_mark_no_entities_have_no_entity_score() -> None:
    found = tag_scores.scores([np.array([0, 1])], [np.array([0, 0])], ("noun", "verb"), draws=10)
    assert found["entity_f1"] is None and found["intervals"]["entity_f1"] is None


def test_intervals_draw_whole_rows() -> None:
    """Of two rows, one all right and one all wrong, a draw holds 0, 1 or 2 right ones: nothing in between."""
    true, guess = [np.zeros(50, int), np.zeros(50, int)], [np.zeros(50, int), np.ones(50, int)]
    found = tag_scores.scores(true, guess, ("a", "b"), draws=400)
    assert found["interval95"] == [0.0, 1.0]
