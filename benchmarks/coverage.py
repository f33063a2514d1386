"""Do the 95 % intervals of a benchmark cover the truth, and does its paired test reject a true null too often?

    python benchmarks/coverage.py --tables 1000

A simulated table is a draw of two classes of points, N(-m, 1) and N(+m, 1) in 10 dimensions, and two methods that are
exactly equally good: linear rules on the first and on the last half of the dimensions. Each row of the output is a way
in which a benchmark can be run: one seed; seeds that change the rule but not the test rows; groups of test rows that
share their point; and seeds that draw their own training and test rows, on which the rules are learned.
"""

from __future__ import annotations

from collections.abc import Callable

import click
import numpy as np
from scipy import stats

from toolkit.evaluation import comparison, repetitions

HALF = 5  # dimensions a method sees
MARGIN = np.full(2 * HALF, 0.4)
Simulation = tuple[list[np.ndarray], list[np.ndarray], repetitions.TestRows]
SEES = (slice(0, HALF), slice(HALF, 2 * HALF))


def points(count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points (count, 10) and their classes, -1 or 1."""
    labels = random.choice([-1, 1], count)
    return labels[:, None] * MARGIN + random.normal(size=(count, 2 * HALF)), labels


def rule(seed_noise: float, random: np.random.Generator) -> np.ndarray:
    """Weights of a linear rule: the best ones, turned at random by a seed."""
    return MARGIN[:HALF] + seed_noise * random.normal(size=HALF)


def learned(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Weights of the linear rule that training rows suggest: the difference of the class means."""
    return (features * labels[:, None]).mean(axis=0)


def right(weights: np.ndarray, features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.sign(features @ weights) == labels


def accuracy_of(weights: np.ndarray) -> float:
    """The true accuracy of a linear rule."""
    return float(stats.norm.cdf(weights @ MARGIN[:HALF] / np.linalg.norm(weights)))


def same_test_rows(random: np.random.Generator, *, seeds: int, num_test: int, seed_noise: float, copies: int = 1
                   ) -> Simulation:
    features, labels = points(num_test // copies, random)
    groups = np.repeat([f"g{number}" for number in range(len(labels))], copies)
    features, labels = features.repeat(copies, axis=0), labels.repeat(copies)
    features = features + 0.3 * random.normal(size=features.shape) * (copies > 1)
    hits = [[right(rule(seed_noise, random), features[:, sees], labels) for _ in range(seeds)] for sees in SEES]
    rows = [np.arange(len(labels))] * seeds
    return *hits, repetitions.TestRows(rows, [groups] * seeds if copies > 1 else None, [num_test] * seeds)


def own_test_rows(random: np.random.Generator, *, seeds: int, num_rows: int) -> Simulation:
    features, labels = points(num_rows, random)
    hits, rows = ([], []), []
    for _ in range(seeds):
        order = random.permutation(num_rows)
        test, train = order[:num_rows // 5], order[num_rows // 5:]
        rows.append(test)
        for own, sees in zip(hits, SEES):
            own.append(right(learned(features[train, sees], labels[train]), features[test, sees], labels[test]))
    return *hits, repetitions.TestRows(rows, None, [num_rows - num_rows // 5] * seeds)


def true_accuracy(name: str, make: dict, random: np.random.Generator) -> float:
    """What the mean over seeds estimates, by simulation of the rules alone."""
    if "num_rows" in make:
        train = make["num_rows"] - make["num_rows"] // 5
        drawn = (points(train, random) for _ in range(4000))
        return float(np.mean([accuracy_of(learned(features[:, SEES[0]], labels)) for features, labels in drawn]))
    if make.get("copies", 1) > 1:  # the noise of a copy is noise of the point
        scale = (1 + 0.3 ** 2) ** 0.5
        rules = (rule(make["seed_noise"], random) for _ in range(4000))
        return float(np.mean([stats.norm.cdf(own @ MARGIN[:HALF] / np.linalg.norm(own) / scale) for own in rules]))
    return float(np.mean([accuracy_of(rule(make["seed_noise"], random)) for _ in range(40_000)]))


CASES: dict[str, tuple[Callable[..., Simulation], dict]] = {
    "one seed, 300 test rows": (same_test_rows, {"seeds": 1, "num_test": 300, "seed_noise": 0.0}),
    "one seed, 60 groups of 5": (same_test_rows, {"seeds": 1, "num_test": 300, "seed_noise": 0.0, "copies": 5}),
    "2 seeds, same 300 test rows": (same_test_rows, {"seeds": 2, "num_test": 300, "seed_noise": 0.1}),
    "5 seeds, same 300 test rows": (same_test_rows, {"seeds": 5, "num_test": 300, "seed_noise": 0.1}),
    "5 seeds that differ much, same 2,000 rows": (same_test_rows, {"seeds": 5, "num_test": 2000, "seed_noise": 0.15}),
    "5 seeds, same 60 groups of 5": (same_test_rows, {"seeds": 5, "num_test": 300, "seed_noise": 0.1, "copies": 5}),
    "5 seeds, own splits of 500 rows": (own_test_rows, {"seeds": 5, "num_rows": 500}),
    "10 seeds, own splits of 500 rows": (own_test_rows, {"seeds": 10, "num_rows": 500}),
    "5 seeds, own splits of 100 rows": (own_test_rows, {"seeds": 5, "num_rows": 100}),
}


@click.command(context_settings={"show_default": True})
@click.option("--tables", default=1000, help="Simulated tables a case.")
@click.option("--seed", default=0)
def main(tables: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    print("| how it is run | 95 % intervals of an accuracy that contain it | of a difference | paired test rejects | "
          "McNemar on the first seed rejects |\n|---|---|---|---|---|")
    for name, (simulate, make) in CASES.items():
        truth, counts = true_accuracy(name, make, random), np.zeros(4)
        for _ in range(tables):
            first, second, tests = simulate(random, **make)
            own, found = repetitions.accuracy(first, tests), repetitions.difference(first, second, tests)
            alone = comparison.compare_hits(first[0], second[0], first_name="", second_name="",
                                            groups=None if tests.groups is None else tests.groups[0])
            counts += [own["interval95"][0] <= truth <= own["interval95"][1],
                       found["interval95"][0] <= 0 <= found["interval95"][1],
                       found["p_value"] < comparison.SIGNIFICANCE, alone["p_value"] < comparison.SIGNIFICANCE]
        print(f"| {name} | " + " | ".join(f"{100 * share:.1f} %" for share in counts / tables) + " |", flush=True)


if __name__ == "__main__":
    main()
