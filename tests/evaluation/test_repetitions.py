"""Accuracies and differences over seeds, against direct computations and simulated tables."""

import numpy as np
import pytest
from scipy import stats

from toolkit.evaluation import comparison, repetitions
from toolkit.evaluation.repetitions import TestRows, accuracy, difference


def shared(seeds: int, count: int, groups: np.ndarray | None = None) -> TestRows:
    return TestRows([np.arange(count)] * seeds, None if groups is None else [groups] * seeds, [10 * count] * seeds)


def test_one_seed_has_wilsons_interval_and_mcnemars_test() -> None:
    random = np.random.default_rng(0)
    first, second = random.random(60) < 0.8, random.random(60) < 0.6
    found = accuracy([first], shared(1, 60))
    assert found["interval95"] == pytest.approx(comparison.wilson_interval(int(first.sum()), 60))
    assert (found["seeds"], found["deviation"]) == (1, None)
    direct = comparison.compare_hits(first, second, first_name="a", second_name="b")
    assert difference([first], [second], shared(1, 60)) == {
        "difference": direct["difference"], "interval95": direct["interval95"], "p_value": direct["p_value"],
        "seeds": 1}


def test_the_variance_of_crossed_samples_is_that_of_the_formula() -> None:
    scores = np.array([[1, 0, 1, 1, 0, 1], [1, 0, 0, 1, 1, 1], [1, 1, 1, 1, 0, 1]], float)
    seeds, rows = scores.shape
    of_rows = scores.mean(axis=0).var(ddof=1) / rows
    of_seeds = scores.mean(axis=1).var(ddof=1) / seeds
    rest = sum((scores[k, i] - scores[k].mean() - scores[:, i].mean() + scores.mean()) ** 2
               for k in range(seeds) for i in range(rows)) / ((seeds - 1) * (rows - 1))
    variance, freedom = repetitions._variance(list(scores), shared(seeds, rows))
    assert variance == pytest.approx(max(of_rows + of_seeds - rest / (seeds * rows), of_rows, of_seeds))
    assert freedom == pytest.approx(variance ** 2 / (of_rows ** 2 / (rows - 1) + of_seeds ** 2 / (seeds - 1)))


def test_copies_of_rows_in_groups_say_no_more_than_the_rows() -> None:
    random = np.random.default_rng(1)
    hits = [random.random(40) < 0.7 for _ in range(3)]
    alone = accuracy(hits, shared(3, 40, np.array([f"g{i}" for i in range(40)], object)))
    copied = accuracy([own.repeat(5) for own in hits], shared(3, 200, np.repeat([f"g{i}" for i in range(40)], 5)))
    assert copied["interval95"] == pytest.approx(alone["interval95"])
    loose = accuracy([own.repeat(5) for own in hits], shared(3, 200))
    assert loose["interval95"][1] - loose["interval95"][0] < copied["interval95"][1] - copied["interval95"][0]


def test_perfect_and_equal_rows_have_intervals_of_some_width() -> None:
    perfect = [np.ones(50, bool)] * 4
    assert accuracy(perfect, shared(4, 50))["interval95"] == pytest.approx(comparison.wilson_interval(50, 50))
    found = difference(perfect, perfect, shared(4, 50))
    assert (found["difference"], found["p_value"]) == (0, 1)
    assert found["interval95"][0] < 0 < found["interval95"][1]


def test_a_row_that_ran_once_is_paired_with_every_seed() -> None:
    random = np.random.default_rng(2)
    many, once = [random.random(80) < 0.8 for _ in range(3)], random.random(80) < 0.5
    assert difference(many, [once], shared(3, 80)) == difference(many, [once] * 3, shared(3, 80))
    back = difference([once], many, shared(3, 80))
    assert back["difference"] == pytest.approx(-difference(many, [once], shared(3, 80))["difference"])
    assert back["seeds"] == 3


def test_seeds_with_their_own_rows() -> None:
    """A row in two test sets counts in both; rows that are all different and equally good vary as one large set."""
    random = np.random.default_rng(3)
    rows = [np.arange(100 * k, 100 * (k + 1)) for k in range(4)]
    hits = [random.permutation(100) < 80 for _ in rows]
    tests = TestRows(rows, None, [400] * 4)
    assert not tests.shared and shared(4, 5).shared
    variance, freedom = repetitions._variance([own.astype(float) for own in hits], tests)
    assert variance == pytest.approx(0.8 * 0.2 / 400)
    assert freedom > 300
    again = TestRows([np.roll(rows[0], k) for k in range(4)], None, [400] * 4)
    same = repetitions._variance([np.roll(hits[0], k).astype(float) for k in range(4)], again)[0]
    assert same == pytest.approx(0.8 * 0.2 / 100)


def test_groups_across_seeds_with_their_own_rows_are_summed() -> None:
    hits = [np.array([True, True, False, False]), np.array([True, True, True, False])]
    rows = [np.array([1, 2, 3, 4]), np.array([5, 6, 7, 8])]
    alone = repetitions._variance([own.astype(float) for own in hits], TestRows(rows, None, [40, 40]))[0]
    groups = [np.array(["a", "a", "b", "b"], object), np.array(["a", "a", "", ""], object)]
    together = repetitions._variance([own.astype(float) for own in hits], TestRows(rows, groups, [40, 40]))[0]
    assert together > alone


@pytest.mark.parametrize("seeds", [2, 5])
def test_intervals_cover_the_truth_in_simulated_tables(seeds: int) -> None:
    """Rows of different difficulty, seeds of different luck; an interval over five seeds alone covers too little."""
    random = np.random.default_rng(4)
    covered, naive, rejected = 0, 0, 0
    for _ in range(400):
        difficulty = random.normal(0, 1, 200)
        first, second = ([difficulty + random.normal(0, 0.1) + random.normal(0, 0.6, 200) < 1.0 for _ in range(seeds)]
                         for _ in range(2))
        truth = stats.norm.cdf(1 / (1 + 0.1 ** 2 + 0.6 ** 2) ** 0.5)
        low, high = accuracy(first, shared(seeds, 200))["interval95"]
        covered += low <= truth <= high
        means = [own.mean() for own in first]
        naive += abs(np.mean(means) - truth) <= stats.t.ppf(0.975, seeds - 1) * np.std(means, ddof=1) / seeds ** 0.5
        rejected += difference(first, second, shared(seeds, 200))["p_value"] < 0.05
    assert 0.92 <= covered / 400 <= 0.98
    assert seeds == 2 or naive / 400 < 0.9
    assert rejected / 400 <= 0.07
