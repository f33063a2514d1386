"""The plain taggers learn what they can see, and no more."""

import numpy as np

from toolkit.sequences import tag_baselines


def rows_and_tags() -> tuple[list[list[str]], list[np.ndarray]]:
    """The tag of "bank" depends on the word before it."""
    random = np.random.default_rng(0)
    rows, tags = [], []
    for number in range(120):
        river = random.random() < 0.6
        rows.append(["the", "river" if river else "money", "bank", f"word{number % 7}"])
        tags.append(np.array([0, 0, 1 if river else 2, 0]))
    return rows, tags


def test_the_most_frequent_tag_knows_no_context() -> None:
    rows, tags = rows_and_tags()
    tagger = tag_baselines.most_frequent(rows, tags)
    assert [row.tolist() for row in tagger([["money", "bank"], ["never", "seen"], []])] == [[0, 1], [0, 0], []]


def test_logistic_regression_sees_the_neighbours() -> None:
    rows, tags = rows_and_tags()
    tagger, details = tag_baselines.on_neighbours(rows[:80], tags[:80])
    found = tagger(rows[80:])
    assert all((guess == true).all() for guess, true in zip(found, tags[80:], strict=True))
    assert details["tokens"] == 320 and details["C"] in tag_baselines.STRENGTHS
    assert tagger([]) == []


def test_one_tag_only_is_no_error() -> None:
    tagger, _ = tag_baselines.on_neighbours([["a", "b"]], [np.array([2, 2])])
    assert tagger([["c"]])[0].tolist() == [2]
