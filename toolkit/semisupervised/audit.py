r"""Are the pseudo-labels any good? Their coverage and precision, and alarms in words.

The precision of pseudo-labels cannot be seen on the pool, but it can on labelled rows that were hidden in it: of those
that the method would have used, how many did it get right? With h of m right, Wilson's interval says how sure that is;
a row that was hidden several times counts once.

The alarms, each with advice:

* mask rate near zero: next to no row of the pool is used;
* one class swallows the pseudo-labels: of the rows used, the share of a class lies far above its share of the labels;
* low precision: most pseudo-labels are wrong, as after labels were mixed up;
* confirmation bias: the method is far surer than it is right, or takes more and more hidden rows for what they are
  not while its coverage rises;
* foreign pool: the pool's rows lie farther from the labelled ones than hidden labelled rows do, or are far less
  confident.

References:
    Confirmation bias: Arazo, Ortego, Albert, O'Connor, McGuinness (2020), https://arxiv.org/abs/1908.02983
    Wilson (1927), https://doi.org/10.1080/01621459.1927.10502953
    The test of two samples: Mann, Whitney (1947), https://doi.org/10.1214/aoms/1177730491
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from toolkit.evaluation.comparison import wilson_interval

LEAST_COVERAGE = 0.01
SWALLOWED = 0.6  # of the way from a class's share of the labels to all rows
PRECISION_FLOOR = 0.5  # of the way from guessing the largest class to always right
OVERCONFIDENCE = 0.1
FALL = 0.05
FOREIGN = 0.65  # chance that a row of the pool looks more foreign than a hidden labelled row; 0.5 where none is foreign
SIGNIFICANCE = 0.001
CONFIDENCE_DIGITS = 2  # finer differences of confidence are none


def audit(pseudo_labels: np.ndarray, confidences: np.ndarray, used: np.ndarray, *, hidden_labels: np.ndarray,
          hidden_predictions: np.ndarray, hidden_used: np.ndarray, num_classes: int,
          history: Sequence[Mapping[str, Any]] | None = None, hidden_rows: np.ndarray | None = None,
          hidden_confidences: np.ndarray | None = None, distances: np.ndarray | None = None,
          hidden_distances: np.ndarray | None = None, class_names: Sequence[str] | None = None) -> dict[str, Any]:
    """Estimates coverage and precision of pseudo-labels and raises the alarms that apply.

    Args:
        pseudo_labels: (p,) int in 0..C-1, of the pool.
        confidences: (p,) in [0, 1].
        used: (p,) bool, which of them are learnt from.
        hidden_labels: (h,) int, the labels of labelled rows that were hidden in the pool.
        hidden_predictions: (h,) int, their pseudo-labels.
        hidden_used: (h,) bool, which of these would have been used.
        num_classes: C.
        history: a dict each round, with coverage, count of hidden rows, and the precision of all their pseudo-labels
            (that of those used falls of itself, since the most confident come first).
        hidden_rows: (h,) which labelled row each is, where some were hidden several times.
        hidden_confidences: (h,) in [0, 1].
        distances: (p,) from each row of the pool to the nearest labelled row.
        hidden_distances: (h,) from each hidden row to the nearest labelled row that was not hidden.
        class_names: C names, for the alarms.

    Returns:
        dict for JSON: coverage in [0, 1], precision {estimate (None without a hidden row that is used), interval95,
        count, by_class [C dicts: pseudo_labels, share, estimate, interval95, count]}, alarms [sentences], history.

    Example:
        >>> labels = np.arange(40) % 2
        >>> found = audit(labels, np.full(40, 0.9), np.ones(40, bool), hidden_labels=labels[:20],
        ...               hidden_predictions=labels[:20], hidden_used=np.ones(20, bool), num_classes=2)
        >>> found["coverage"], found["precision"]["estimate"], found["alarms"]
        (1.0, 1.0, [])
    """
    used, hidden_used = np.asarray(used, bool), np.asarray(hidden_used, bool)
    weights = once_each(np.arange(len(hidden_labels)) if hidden_rows is None else hidden_rows)
    right = np.asarray(hidden_predictions) == np.asarray(hidden_labels)
    precision = _proportion(right[hidden_used], weights[hidden_used])
    counts = np.bincount(np.asarray(pseudo_labels)[used], minlength=num_classes)
    precision["by_class"] = [
        {"pseudo_labels": int(counts[number]), "share": float(counts[number] / max(counts.sum(), 1)),
         **_proportion(right[of_class := hidden_used & (np.asarray(hidden_predictions) == number)], weights[of_class])}
        for number in range(num_classes)]
    coverage = float(used.mean()) if len(used) else 0.0
    if not len(used):
        return {"coverage": coverage, "precision": precision, "alarms": [], "history": []}
    priors = (np.bincount(hidden_labels, weights, minlength=num_classes) + 1) / (weights.sum() + num_classes)
    alarms = [_mask_rate(used), _swallowed(counts, priors, class_names), _low_precision(precision, priors, num_classes),
              _overconfident(precision, np.asarray(confidences)[used]), falling(history or ()),
              _foreign(confidences, hidden_confidences, distances, hidden_distances, weights)]
    return {"coverage": coverage, "precision": precision, "alarms": [alarm for alarm in alarms if alarm],
            "history": [dict(row) for row in history or ()]}


def once_each(rows: np.ndarray) -> np.ndarray:
    """Weights (h,) that give each labelled row one vote, however often it was hidden.

    Args:
        rows: (h,) which labelled row each is.

    Example:
        >>> once_each(np.array([3, 5, 3])).tolist()
        [0.5, 1.0, 0.5]
    """
    _, numbers, often = np.unique(rows, return_inverse=True, return_counts=True)
    return 1 / often[numbers]


def _proportion(right: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """Share of the weight that is right, with Wilson's 95 % interval; [0, 1] where there is no row."""
    count, total = float(weights.sum()), float(weights[right].sum())
    if not count:
        return {"estimate": None, "interval95": [0.0, 1.0], "count": 0.0}
    effective = max(count, 1.0)
    low, high = wilson_interval(min(total / count * effective, effective), effective)
    return {"estimate": total / count, "interval95": [low, high], "count": count}


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def _mask_rate(used: np.ndarray) -> str:
    if used.mean() >= LEAST_COVERAGE:
        return ""
    return (f"Mask rate near zero: {int(used.sum()):,} of {len(used):,} unlabelled rows are used. A rule that adapts "
            "its threshold uses more (fix-match --rule adamatch or freematch); or label more rows.")


def swallowing(counts: np.ndarray, shares: np.ndarray) -> int | None:
    """The class that holds far more rows than its share of the labels lets expect, or None.

    Args:
        counts: (C,) rows of each class.
        shares: (C,) of the labels.

    Example:
        >>> swallowing(np.array([900, 50, 50]), np.full(3, 1 / 3))
        0
    """
    total = int(counts.sum())
    if not total:
        return None
    number = int(np.argmax(counts / total - shares))
    low, _ = wilson_interval(int(counts[number]), total)
    return number if low > shares[number] + SWALLOWED * (1 - shares[number]) else None


def _swallowed(counts: np.ndarray, priors: np.ndarray, class_names: Sequence[str] | None) -> str:
    number = swallowing(counts, priors)
    if number is None:
        return ""
    name = f"class number {number + 1}" if class_names is None else f"the class '{class_names[number]}'"
    return (f"One class swallows the pseudo-labels: {_percent(counts[number] / counts.sum())} of those used are of "
            f"{name}, which has about {_percent(priors[number])} of the labels. If the unlabelled rows are not mostly "
            "of that class, align the pseudo-labels with the classes' shares, or label more rows of the others.")


def _low_precision(precision: Mapping[str, Any], priors: np.ndarray, num_classes: int) -> str:
    guess = max(1 / num_classes, float(priors.max()))
    high = precision["interval95"][1]
    if precision["estimate"] is None or high >= guess + PRECISION_FLOOR * (1 - guess):
        return ""
    return (f"Low precision: of {precision['count']:.3g} hidden labelled rows that would be used, only "
            f"{_percent(precision['estimate'])} were given their label (95 % interval up to {_percent(high)}). Check "
            "the labels of the labelled rows first, then try a backbone whose features suit these rows.")


def _overconfident(precision: Mapping[str, Any], confidences: np.ndarray) -> str:
    if precision["estimate"] is None or not len(confidences):
        return ""
    mean, high = float(confidences.mean()), precision["interval95"][1]
    if mean - high <= OVERCONFIDENCE:
        return ""
    return (f"Confirmation bias: the pseudo-labels used are held with a mean confidence of {_percent(mean)}, but on "
            f"hidden labelled rows {_percent(precision['estimate'])} are right (95 % interval up to {_percent(high)}). "
            "Raise the temperature or the threshold, or weigh the unlabelled rows less.")


def falling(history: Sequence[Mapping[str, Any]]) -> str:
    """Precision that fell from its best round to the last, more than its noise, while more rows came in, in words.

    Args:
        history: as for ``audit``.

    Example:
        >>> falling([{"coverage": 0.2, "precision": 0.9, "count": 100}, {"coverage": 0.8, "precision": 0.5}])[:18]
        'Confirmation bias:'
    """
    known = [one for one in history if one.get("precision") is not None]
    if len(known) < 2:
        return ""
    last, best = known[-1], max(known[:-1], key=lambda one: one["precision"])
    fall, count = best["precision"] - last["precision"], min(best.get("count", 100), last.get("count", 100))
    middle = (best["precision"] + last["precision"]) / 2
    noise = 1.645 * (2 * middle * (1 - middle) / max(count, 1)) ** 0.5
    if fall <= max(FALL, noise) or last["coverage"] <= best["coverage"]:
        return ""
    (low, high), (before, after) = (tuple(_percent(one[key]) for one in (best, last)) for key in
                                    ("coverage", "precision"))
    return (f"Confirmation bias: while coverage rose from {low} to {high}, the precision on hidden labelled rows fell "
            f"(used or not) from {before} to {after}. Stop earlier, or raise the threshold.")


def _foreign(confidences: np.ndarray, hidden_confidences: np.ndarray | None, distances: np.ndarray | None,
             hidden_distances: np.ndarray | None, weights: np.ndarray) -> str:
    if hidden_confidences is not None:
        confidences, hidden_confidences = (np.round(each, CONFIDENCE_DIGITS) for each in (confidences,
                                                                                          hidden_confidences))
    for values, hidden, sign, words in (
            (distances, hidden_distances, 1, "farther from every labelled row than hidden labelled rows are"),
            (confidences, hidden_confidences, -1, "less confident than hidden labelled rows")):
        if values is None or hidden is None or not len(values) or len(hidden) < 10:
            continue
        chance, p_value = _larger(sign * np.asarray(values), sign * np.asarray(hidden), weights)
        if chance >= FOREIGN and p_value < SIGNIFICANCE:
            return (f"Foreign pool: the unlabelled rows are {words} (in {_percent(chance)} of pairs; 50 % would be "
                    "alike). They may show other things than the classes: look at the rows of least confidence in "
                    "pseudo_labels.csv and take out what does not belong.")
    return ""


def _larger(pool: np.ndarray, hidden: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """The chance that a row of the pool has the larger value, and the p-value of it being no more than a half.

    The normal form of Mann and Whitney's test, with as many hidden rows as there are different ones.
    """
    in_order = np.sort(pool)
    above = 1 - (np.searchsorted(in_order, hidden, "left") + np.searchsorted(in_order, hidden, "right")) / 2 / len(pool)
    chance = float(np.average(above, weights=weights))
    count = float(weights.sum())
    deviation = ((len(pool) + count + 1) / (12 * len(pool) * count)) ** 0.5
    return chance, float(stats.norm.sf((chance - 0.5) / deviation))
