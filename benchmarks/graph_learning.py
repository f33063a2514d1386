"""Poisson and Laplace learning on MNIST, on pixels and on frozen features, beside the paper's figures.

    python benchmarks/graph_learning.py $TOOLKIT_DATA/mnist.npz --splits 20 --features 96

All --rows images are joined, each to its 10 nearest ones: by their pixels, and by the angles between standardised
features of the embedded backbone at --features pixels. Labels of 1, 2, 5 and 10 images a class are drawn --splits times
and spread to all others; nothing is chosen. The search for neighbours is made once and kept in the cache.
"""

import argparse
import time

import numpy as np
from scipy import sparse

from toolkit.evaluation.baselines.reduction import reduction
from toolkit.models import backbones
from toolkit.semisupervised import graph, neighbours
from toolkit.tables import Table, read_table
from toolkit.training import features

PUBLISHED = {1: 9.8, 5: 4.7}  # Calder 2020, on codes of a variational autoencoder, all 70,000 images
TOLERANCE = 1e-6  # of the conjugate gradients; that of the library is finer than any error here shows
METHODS = {"Poisson": graph.poisson, "Laplace": graph.laplace}


def drawn(labels: np.ndarray, per_class: int, random: np.random.Generator) -> np.ndarray:
    """Positions of so many rows of each class."""
    return np.concatenate([random.permutation(np.flatnonzero(labels == number))[:per_class] for number in range(10)])


def joined(values: np.ndarray, count: int, title: str) -> sparse.csr_array:
    """The graph of rows (n, F)."""
    started = time.monotonic()
    weights = graph.weights(*neighbours.remembered(values, count))
    print(f"{title}: graph of {len(values):,} images, {count} neighbours: {time.monotonic() - started:.0f} s",
          flush=True)
    return weights


def errors(weights: sparse.csr_array, labels: np.ndarray, splits: int, title: str) -> None:
    """Prints the error of both methods on the unlabelled images."""
    for per_class in (1, 2, 5, 10):
        started = time.monotonic()
        found: dict[str, list[float]] = {name: [] for name in METHODS}
        for seed in range(splits):
            known = drawn(labels, per_class, np.random.default_rng(seed))
            given = np.full(len(labels), -1)
            given[known] = labels[known]
            for name, method in METHODS.items():
                wrong = method(weights, given, 10).argmax(axis=1) != labels
                found[name].append(100 * float(wrong[given < 0].mean()))
        words = ", ".join(f"{name} {np.mean(values):.2f} +- {np.std(values):.2f} (worst {max(values):.1f})"
                          for name, values in found.items())
        published = f"; published: Poisson {PUBLISHED[per_class]}" if per_class in PUBLISHED else ""
        print(f"{title}, {10 * per_class} labels, {splits} splits, error in %: {words}{published}; "
              f"{(time.monotonic() - started) / splits:.0f} s a split", flush=True)


def units(table: Table, image_size: int) -> np.ndarray:
    """Standardised frozen features at length one, as ``spread-labels`` joins them."""
    values = reduction(features.extract(backbones.build("efficientnet_lite0", image_size=image_size), table)).features
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mnist")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--rows", type=int, default=70_000)
    parser.add_argument("--neighbours", type=int, default=10)
    parser.add_argument("--features", type=int, default=0, help="image size of the backbone; 0: pixels only")
    arguments = parser.parse_args()
    graph.TOLERANCE = TOLERANCE
    own = read_table(arguments.mnist)
    own = own.select(np.arange(len(own))[:arguments.rows])
    plain = own.array[own.inputs].reshape(len(own), -1) / np.float32(255)
    errors(joined(plain, arguments.neighbours, "pixels"), own.labels, arguments.splits, "pixels")
    if arguments.features:
        title = f"features at {arguments.features}"
        errors(joined(units(own, arguments.features), arguments.neighbours, title), own.labels, arguments.splits, title)
