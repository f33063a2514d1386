"""Intervals, the paired test and its words; and, by simulation, that they keep what they promise."""

import json

import numpy as np
import pytest
from scipy import stats

from toolkit.evaluation.comparison import (compare, compare_hits, holm, mcnemar_exact, p_in_words, points,
                                           sign_flip_exact, verdict, wilson_interval)


@pytest.mark.parametrize(("successes", "count"), [(0, 1), (1, 1), (0, 30), (146, 153), (30, 30), (9_990, 10_000)])
def test_wilson_equals_scipy(successes: int, count: int) -> None:
    expected = stats.binomtest(successes, count).proportion_ci(method="wilson")
    assert wilson_interval(successes, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_refuses_what_is_no_proportion() -> None:
    with pytest.raises(ValueError, match="got 3 of 2"):
        wilson_interval(3, 2)


def test_mcnemar() -> None:
    assert mcnemar_exact(0, 0) == 1
    assert mcnemar_exact(5, 5) == 1
    assert mcnemar_exact(0, 6) == pytest.approx(2 / 64)
    assert mcnemar_exact(7, 1) == mcnemar_exact(1, 7) == pytest.approx(stats.binomtest(1, 8).pvalue)


def test_sign_flips_of_single_rows_are_mcnemar() -> None:
    for only_first, only_second in [(0, 0), (3, 1), (0, 9), (40, 61)]:
        gains = np.repeat([1, -1, 0], [only_first, only_second, 7])
        assert sign_flip_exact(gains) == pytest.approx(mcnemar_exact(only_first, only_second))


def test_sign_flips_of_groups_by_enumeration() -> None:
    gains = np.array([4, -1, 2, 0, 3])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 5)).reshape(5, -1)
    assert sign_flip_exact(gains) == pytest.approx((np.abs(gains @ signs) >= abs(gains.sum())).mean())


def test_holm_equals_its_definition() -> None:
    assert holm([]) == []
    assert holm([0.2]) == [0.2]
    assert holm([0.04, 0.001, 0.5, 0.04]) == pytest.approx([0.12, 0.004, 0.5, 0.12])


def hits(only_first: int, only_second: int, both: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = [only_first, only_second, both, neither]
    return np.repeat([True, False, True, False], counts), np.repeat([False, True, True, False], counts)


def test_compare_counts_and_serialises() -> None:
    labels = np.array([0, 1, 1, 0])
    first, second = np.eye(2)[[0, 1, 1, 1]], np.eye(2)[[0, 0, 1, 0]]
    result = compare(labels, first, second, first_name="a", second_name="b")
    assert (result["only_first_right"], result["only_second_right"], result["count"]) == (1, 1, 4)
    assert (result["first_accuracy"], result["second_accuracy"], result["difference"]) == (0.75, 0.75, 0)
    assert result["p_value"] == 1
    assert json.loads(json.dumps(result)) == result


def test_paired_interval_equals_bonett_and_price() -> None:
    result = compare_hits(*hits(12, 5, 60, 23), first_name="a", second_name="b")
    first, second = 13 / 102, 6 / 102
    half = 1.959964 * np.sqrt((first + second - (first - second) ** 2) / 102)
    assert result["interval95"] == pytest.approx([first - second - half, first - second + half], abs=1e-6)


@pytest.mark.parametrize("counts", [(0, 0, 1, 0), (1, 0, 0, 0), (0, 0, 0, 3), (0, 0, 9, 0), (50, 0, 0, 0)])
@pytest.mark.parametrize("groups", [None, "one", "two", "single"])
def test_degenerate_comparisons_are_defined(counts: tuple[int, ...], groups: str | None) -> None:
    count = sum(counts)
    given = {None: None, "one": np.full(count, "a"), "two": np.array(["a", "b"] * count)[:count],
             "single": np.arange(count).astype(str)}[groups]
    result = compare_hits(*hits(*counts), first_name="a", second_name="b", groups=given)
    low, high = result["interval95"]
    assert -1 <= low <= result["difference"] <= high <= 1 and low < high
    assert 0 < result["p_value"] <= 1


def test_copies_in_groups_are_not_evidence() -> None:
    first, second = hits(9, 2, 20, 9)
    copies = np.repeat(np.arange(40), 5)
    alone = compare_hits(first, second, first_name="a", second_name="b")
    copied = compare_hits(first[copies], second[copies], first_name="a", second_name="b")
    grouped = compare_hits(first[copies], second[copies], first_name="a", second_name="b", groups=copies.astype(str))
    assert copied["p_value"] < 0.001 < grouped["p_value"] == pytest.approx(alone["p_value"])
    assert np.ptp(grouped["interval95"]) == pytest.approx(np.ptp(alone["interval95"]), rel=0.15)
    assert (grouped["num_groups"], alone["num_groups"]) == (40, None)


def test_verdicts() -> None:
    def of(only_first: int, only_second: int) -> dict[str, str]:
        result = compare_hits(*hits(only_first, only_second, 100, 13), first_name="fine-tuning", second_name="LDA")
        return verdict(result, noun="test images")

    assert of(9, 8)["code"] == "not_distinguishable"
    assert of(9, 8)["sentence"] == ("fine-tuning (83.8 %) is not distinguishable from LDA (83.1 %): difference "
                                    "+0.8 points [-5.7, +7.2], p = 1.00, 130 test images.")
    assert of(20, 2)["code"] == "better"
    assert "fine-tuning (88.9 %) is better than LDA (75.6 %): difference +13.3 points" in of(20, 2)["sentence"]
    assert of(2, 20)["code"] == "worse"
    assert ", p < 0.001, 135 test images." in of(2, 20)["sentence"]


def test_verdict_names_the_control_and_the_groups() -> None:
    result = compare_hits(*hits(1, 1, 4, 0), first_name="a", second_name="b", groups=np.array(list("uuvvww")))
    assert "from the control (83.3 %)" in verdict(result, "the control")["sentence"]
    assert verdict(result)["sentence"].endswith("6 rows in 3 groups.")


def test_numbers_in_words() -> None:
    assert [p_in_words(p) for p in (1, 0.204, 0.05, 0.0123, 0.001, 0.0009)] == [
        "p = 1.00", "p = 0.20", "p = 0.050", "p = 0.012", "p = 0.001", "p < 0.001"]
    assert points({"difference": -0.0001, "interval95": [-0.02, 0.012], "count": 99}) == "0.0 points [-2.0, +1.2]"
    assert points({"difference": -0.0001, "interval95": [-0.02, 0], "count": 9999}) == "-0.01 points [-2.00, 0.00]"


def test_wilson_covers_by_simulation() -> None:
    random = np.random.default_rng(0)
    for share, count in [(0.95, 153), (0.8, 100), (0.9, 1000)]:
        intervals = [wilson_interval(int(successes), count) for successes in random.binomial(count, share, 2000)]
        coverage = np.mean([low <= share <= high for low, high in intervals])
        assert 0.93 <= coverage <= 0.97, (share, count)


def test_paired_test_and_interval_keep_their_level_by_simulation() -> None:
    random = np.random.default_rng(0)
    for count in (40, 150, 1000):
        draws = random.multinomial(count, [0.08, 0.08, 0.74, 0.10], 1000)
        results = [compare_hits(*hits(*map(int, draw)), first_name="a", second_name="b") for draw in draws]
        assert np.mean([result["p_value"] < 0.05 for result in results]) <= 0.06
        assert np.mean([result["interval95"][0] <= 0 <= result["interval95"][1] for result in results]) >= 0.93


def test_grouped_test_and_interval_keep_their_level_by_simulation() -> None:
    random = np.random.default_rng(0)
    rejected, covered = [], []
    groups = np.repeat(np.arange(30), 8)
    for _ in range(500):
        lean = np.repeat(random.normal(size=30), 8) + random.normal(size=240)  # who is right goes by group
        first, second = lean > 0.8, lean < -0.8
        result = compare_hits(first, second, first_name="a", second_name="b", groups=groups.astype(str))
        rejected.append(result["p_value"] < 0.05)
        covered.append(result["interval95"][0] <= 0 <= result["interval95"][1])
    assert np.mean(rejected) <= 0.07
    assert np.mean(covered) >= 0.93
