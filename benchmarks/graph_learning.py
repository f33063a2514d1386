"""Poisson learning on MNIST pixels beside the paper's figures, and whether the audit's interval holds the truth.

    python benchmarks/graph_learning.py mnist.npz --splits 20            # errors with 1, 2, 5 and 10 labels a class
    python benchmarks/graph_learning.py mnist.npz --audit --splits 50    # how often the interval holds the precision

The first joins --rows images (the test images among them) by their pixels; no hyper-parameter is chosen. The second
spreads 10 labels a class to 2,000 other training images and compares the interval from hidden labelled rows with the
share of the 2,000 that is right.
"""

import argparse
import time

import numpy as np

from toolkit.semisupervised import graph, pools, spreading
from toolkit.semisupervised.audit import audit

PUBLISHED = {1: 9.8, 5: 4.7}  # Calder 2020, on codes of a variational autoencoder, all 70,000 images


def drawn(labels: np.ndarray, per_class: int, random: np.random.Generator) -> np.ndarray:
    """Positions of so many rows of each class."""
    return np.concatenate([random.permutation(np.flatnonzero(labels == number))[:per_class] for number in range(10)])


def errors(images: np.ndarray, labels: np.ndarray, splits: int, neighbours: int) -> None:
    """Prints the error of Poisson and Laplace learning on the unlabelled images."""
    started = time.monotonic()
    weights = graph.weights(*graph.nearest(images.reshape(len(images), -1) / np.float32(255), neighbours))
    print(f"graph of {len(images):,} images, {neighbours} neighbours: {time.monotonic() - started:.0f} s", flush=True)
    for per_class in (1, 2, 5, 10):
        found: dict[str, list[float]] = {"Poisson": [], "Laplace": []}
        for seed in range(splits):
            known = drawn(labels, per_class, np.random.default_rng(seed))
            given = np.full(len(labels), -1)
            given[known] = labels[known]
            for name, method in (("Poisson", graph.poisson), ("Laplace", graph.laplace)):
                wrong = method(weights, given, 10).argmax(axis=1) != labels
                found[name].append(100 * float(wrong[given < 0].mean()))
        words = ", ".join(f"{name} {np.mean(values):.1f} +- {np.std(values):.1f} (worst {max(values):.1f})"
                          for name, values in found.items())
        published = f"; published: Poisson {PUBLISHED[per_class]}" if per_class in PUBLISHED else ""
        print(f"{10 * per_class} labels, {splits} splits, error in %: {words}{published}", flush=True)


def coverage(images: np.ndarray, labels: np.ndarray, splits: int, neighbours: int) -> None:
    """Prints how often the audit's interval holds the true precision of the pseudo-labels."""
    held, alarms, gaps = [], 0, []
    for seed in range(splits):
        random = np.random.default_rng(seed)
        known = drawn(labels, 10, random)
        pool = random.permutation(np.setdiff1d(np.arange(len(labels)), known))[:2000]
        chosen, count = np.concatenate([known, pool]), len(known)
        own = np.where(np.arange(len(chosen)) < count, labels[chosen], -1)
        values = images[chosen].reshape(len(chosen), -1).astype(np.float32)
        rows = spreading.join(values, own, 10, neighbours=neighbours, align=True)
        folds = pools.hidden_folds(own[:count], 10, seed=seed)
        hidden = np.concatenate([out for _, out in folds])
        answers = []
        for _, out in folds:
            given = own.copy()
            given[out] = -1
            answers.append(np.exp(spreading.spread(rows, given, "poisson"))[out])
        parts, pseudo = np.concatenate(answers), np.exp(spreading.spread(rows, own, "poisson"))[count:]
        used, used_hidden = pseudo.max(axis=1) >= 0.5, parts.max(axis=1) >= 0.5
        found = audit(pseudo.argmax(axis=1), pseudo.max(axis=1), used, hidden_labels=own[hidden],
                      hidden_predictions=parts.argmax(axis=1), hidden_used=used_hidden, num_classes=10,
                      hidden_rows=hidden, hidden_confidences=parts.max(axis=1))
        true = float((pseudo.argmax(axis=1) == labels[pool])[used].mean())
        low, high = found["precision"]["interval95"]
        held.append(low <= true <= high)
        gaps.append(found["precision"]["estimate"] - true)
        alarms += bool(found["alarms"])
    print(f"{splits} runs: the interval holds the true precision in {100 * np.mean(held):.0f} %, estimate minus truth "
          f"{100 * np.mean(gaps):+.1f} points on average; {alarms} runs with an alarm")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mnist")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--rows", type=int, default=70_000)
    parser.add_argument("--neighbours", type=int, default=10)
    parser.add_argument("--audit", action="store_true")
    arguments = parser.parse_args()
    with np.load(arguments.mnist) as archive:
        pixels = np.concatenate([archive["x_test"], archive["x_train"]])[:arguments.rows]
        classes = np.concatenate([archive["y_test"], archive["y_train"]])[:arguments.rows].astype(np.int64)
    if arguments.audit:
        with np.load(arguments.mnist) as archive:
            pixels, classes = archive["x_train"][:10_000], archive["y_train"][:10_000].astype(np.int64)
    (coverage if arguments.audit else errors)(pixels, classes, arguments.splits, arguments.neighbours)
