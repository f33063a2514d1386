r"""Intervals, the paired test of two classifiers on the same rows, and its verdict in words.

The test is McNemar's exact test: of the rows that only one of the two gets right, each is equally likely to go either
way if the two are equally accurate. The interval of the difference of the accuracies is Bonett and Price's,

.. math:: \tilde p_1 - \tilde p_2 \pm z \sqrt{(\tilde p_1 + \tilde p_2 - (\tilde p_1 - \tilde p_2)^2) / (n + 2)},
          \qquad \tilde p_1 = \frac{b + 1}{n + 2}, \; \tilde p_2 = \frac{c + 1}{n + 2},

with b and c the rows that only the first and only the second gets right.

Rows of one group are not independent. With groups the test lets each group, not each row, go either way (for groups
of one row that is McNemar's test again), and the interval counts effective rows: n, b and c are divided by the design
effect (Rao and Scott), and Student's t with G - 1 degrees of freedom replaces z.

References:
    Wilson (1927), Probable inference, the law of succession, and statistical inference.
    https://doi.org/10.1080/01621459.1927.10502953
    McNemar (1947), Note on the sampling error of the difference between correlated proportions or percentages.
    https://doi.org/10.1007/BF02295996
    Bonett, Price (2012), Adjusted Wald confidence interval for a difference of binomial proportions based on paired
    data. https://doi.org/10.3102/1076998611411915
    Rao, Scott (1992), A simple method for the analysis of clustered binary data. https://doi.org/10.2307/2532311
    Holm (1979), A simple sequentially rejective multiple test procedure. https://www.jstor.org/stable/4615733
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from toolkit.evaluation import groups as groups_

SIGNIFICANCE = 0.05


def wilson_interval(successes: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion.

    Args:
        successes: 0..count.
        count: at least 1.

    Example:
        >>> [round(bound, 4) for bound in wilson_interval(146, 153)]
        [0.9086, 0.9777]
    """
    if not 0 <= successes <= count or count < 1:
        raise ValueError(f"Expected 0 <= successes <= count and count >= 1, got {successes} of {count}.")
    z = float(stats.norm.ppf(0.975))
    share, spread = successes / count, z * z / count
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * (share * (1 - share) / count + spread / (4 * count)) ** 0.5
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == count else centre + half)


def mcnemar_exact(only_first_right: int, only_second_right: int) -> float:
    """Two-sided p-value of McNemar's exact test; 1 where the two never differ.

    Example:
        >>> round(mcnemar_exact(1, 7), 4)
        0.0703
    """
    discordant = only_first_right + only_second_right
    return float(stats.binomtest(only_first_right, discordant).pvalue) if discordant else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted by Holm for being several, in the same order.

    Example:
        >>> [round(p, 2) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)), 1)
    return adjusted.tolist()


def adjust(comparisons: Sequence[dict]) -> None:
    """Adds to each of several comparisons p_value_holm, its p_value adjusted for all of them."""
    for own, adjusted in zip(comparisons, holm([own["p_value"] for own in comparisons]), strict=True):
        own["p_value_holm"] = adjusted


def compare(labels: np.ndarray, first: np.ndarray, second: np.ndarray, *, first_name: str, second_name: str,
            groups: np.ndarray | None = None) -> dict:
    """Compare two classifiers on the same rows.

    Args:
        labels: (n,) int in 0..C-1.
        first: (n, C) probabilities.
        second: (n, C) probabilities.
        first_name: in words, for the verdict.
        second_name: in words, for the verdict.
        groups: (n,) names of groups of rows that belong together.

    Returns:
        JSON-serialisable dict: first, second (names), count, first_accuracy, second_accuracy, difference (first minus
        second), interval95, only_first_right, only_second_right, p_value, num_groups (None without groups).
    """
    labels = np.asarray(labels)
    first_right = np.asarray(first).argmax(axis=1) == labels
    second_right = np.asarray(second).argmax(axis=1) == labels
    return compare_hits(first_right, second_right, first_name=first_name, second_name=second_name, groups=groups)


def compare_hits(first_right: np.ndarray, second_right: np.ndarray, *, first_name: str, second_name: str,
                 groups: np.ndarray | None = None) -> dict:
    """As ``compare``, from which rows each of the two gets right, (n,) bool each."""
    gains = first_right.astype(np.int64) - second_right.astype(np.int64)
    only_first, only_second = int((gains > 0).sum()), int((gains < 0).sum())
    if groups is None:
        num_groups, p_value = None, mcnemar_exact(only_first, only_second)
        interval = paired_interval(only_first, only_second, len(gains), float(stats.norm.ppf(0.975)))
    else:
        numbers = groups_.numbers(groups, len(gains))
        num_groups, p_value = int(numbers.max()) + 1, sign_flip_exact(np.bincount(numbers, weights=gains))
        interval = _grouped_interval(gains, numbers)
    return {
        "first": first_name, "second": second_name, "count": len(gains),
        "first_accuracy": float(first_right.mean()), "second_accuracy": float(second_right.mean()),
        "difference": (only_first - only_second) / len(gains), "interval95": interval,
        "only_first_right": only_first, "only_second_right": only_second,
        "p_value": p_value, "num_groups": num_groups,
    }


def sign_flip_exact(gains: np.ndarray) -> float:
    """Two-sided p-value of the sum of ``gains`` if each were as likely to have the other sign.

    Args:
        gains: (G,) whole numbers: in each group, the rows that only the first gets right minus those that only the
            second gets right.

    Example:
        >>> sign_flip_exact([1, 1, 1, -1]) == mcnemar_exact(3, 1)
        True
    """
    sizes = np.abs(np.asarray(gains, dtype=np.int64))
    total, observed = int(sizes.sum()), abs(int(np.sum(gains, dtype=np.int64)))
    chances = np.zeros(2 * total + 1)  # of the sums -total..total
    chances[total] = 1
    for size in sizes[sizes > 0]:
        chances = (np.roll(chances, size) + np.roll(chances, -size)) / 2
    return float(min(1.0, chances[np.abs(np.arange(-total, total + 1)) >= observed].sum()))


def verdict(comparison: dict, control: str | None = None, *, noun: str = "rows") -> dict[str, str]:
    """Say in words what a comparison shows.

    Args:
        comparison: from ``compare``; its second is the control.
        control: another name for the control.
        noun: what a row is, in the plural ("images").

    Returns:
        code: "better", "worse" or "not_distinguishable" (p >= 0.05), of the first against the second; sentence.

    Example:
        >>> result = compare_hits(np.arange(153) >= 7, np.arange(153) < 145, first_name="fine-tune", second_name="LDA")
        >>> print(verdict(result, noun="images")["sentence"])
        fine-tune (95.4 %) is not distinguishable from LDA (94.8 %): difference +0.7 points [-4.6, +5.9], p = 1.00, \
153 images.
    """
    if comparison["p_value"] >= SIGNIFICANCE:
        code, words = "not_distinguishable", "is not distinguishable from"
    elif comparison["difference"] > 0:
        code, words = "better", "is better than"
    else:
        code, words = "worse", "is worse than"
    groups = "" if comparison["num_groups"] is None else f" in {comparison['num_groups']:,} groups"
    first, second = (f"{100 * comparison[key]:.{decimals(comparison['count'])}f} %"
                     for key in ("first_accuracy", "second_accuracy"))
    sentence = (f"{comparison['first']} ({first}) {words} {control or comparison['second']} ({second}): difference "
                f"{points(comparison)}, {p_in_words(comparison['p_value'])}, {comparison['count']:,} {noun}{groups}.")
    return {"code": code, "sentence": sentence}


def points(comparison: dict) -> str:
    """The difference and its interval in points: "+0.7 points [-1.9, +3.2]"."""
    difference, low, high = (_signed(100 * value, decimals(comparison["count"]))
                             for value in (comparison["difference"], *comparison["interval95"]))
    return f"{difference} points [{low}, {high}]"


def decimals(count: int) -> int:
    """Decimals of a percentage of so many rows: as many as there is something to see in."""
    return 1 if count < 5000 else 2


def p_in_words(p_value: float) -> str:
    """A p-value for reading: "p = 0.80", "p = 0.012", "p < 0.001"."""
    if p_value < 0.001:
        return "p < 0.001"
    return f"p = {p_value:.3f}" if p_value < 0.1 else f"p = {p_value:.2f}"


def _signed(value: float, digits: int) -> str:
    """A number with its sign; no sign for zero."""
    text = f"{value:+.{digits}f}"
    return text if float(text) else text[1:]


def paired_interval(only_first: float, only_second: float, count: float, quantile: float) -> list[float]:
    """Bonett and Price's interval of the difference of two paired proportions."""
    first, second = (only_first + 1) / (count + 2), (only_second + 1) / (count + 2)
    half = quantile * ((first + second - (first - second) ** 2) / (count + 2)) ** 0.5
    return [max(-1.0, first - second - half), min(1.0, first - second + half)]


def _grouped_interval(gains: np.ndarray, numbers: np.ndarray) -> list[float]:
    """The same for rows in groups, with effective instead of counted rows."""
    count, groups = len(gains), int(numbers.max()) + 1
    if groups == 1:
        return [-1.0, 1.0]
    residuals = gains - gains.mean()
    between = (np.bincount(numbers, weights=residuals) ** 2).sum() * groups / (groups - 1)
    within = (residuals ** 2).sum() * count / (count - 1)
    design_effect = max(1.0, between / within) if within > 0 else count / groups
    only_first, only_second = (gains > 0).sum() / design_effect, (gains < 0).sum() / design_effect
    quantile = float(stats.t.ppf(0.975, groups - 1))
    return paired_interval(only_first, only_second, count / design_effect, quantile)
