"""Fitting a baseline through the toolkit against scikit-learn called directly on the same arrays, in interleaved pairs.

    python benchmarks/baseline_speed.py $TOOLKIT_DATA/mnist.npz --rows 2000 --pairs 5

A: ``baselines.METHODS[name](features, labels, 10)``: everything is chosen, probabilities are calibrated.
B: what a careful user would write: ``GridSearchCV`` over the same candidates on the same folds with scikit-learn's own
estimators on features scaled beforehand, then the fit to all rows with the settings that A has chosen. Where A walks a
grid and stops early, B is given only the candidates that A can have tried; nothing calibrates B.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import click
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.cluster import MiniBatchKMeans
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from threadpoolctl import threadpool_limits

from toolkit.evaluation.baselines import (METHODS, boosting, choosing, discriminant, linear_machine, logistic,
                                          neighbours)

Direct = Callable[[np.ndarray, np.ndarray, dict], None]


def searched(estimator: BaseEstimator, grid: dict, features: np.ndarray, labels: np.ndarray, folds: int) -> None:
    """The search, and the fit that follows it."""
    GridSearchCV(estimator, grid, cv=choosing.on_a_sample(labels, None, 0, size=len(labels), num_folds=folds).pairs,
                 error_score="raise").fit(features, labels)


def logistic_regression(features: np.ndarray, labels: np.ndarray, details: dict) -> None:
    known = StandardScaler().fit_transform(features)
    tried = [strength for strength in logistic.GRID if strength <= details["C"] * 10.001]
    estimator = LogisticRegression(max_iter=logistic.CHOOSING_ITERATIONS)
    searched(estimator, {"C": tried}, known, labels, details["folds"])


def discriminant_analysis(features: np.ndarray, labels: np.ndarray, details: dict) -> None:
    known = StandardScaler().fit_transform(features)
    searched(LinearDiscriminantAnalysis(solver="lsqr"), {"shrinkage": ["auto", *discriminant.GRID]}, known, labels, 5)


def nearest(features: np.ndarray, labels: np.ndarray, details: dict) -> None:
    for known in (features, StandardScaler().fit_transform(features)):
        searched(KNeighborsClassifier(algorithm="brute"),
                 {"n_neighbors": neighbours.GRID, "weights": ["uniform", "distance"]}, known, labels, 5)


def radial(features: np.ndarray, labels: np.ndarray, details: dict) -> None:
    classes = np.eye(labels.max() + 1)[labels]
    for known in (features / np.sqrt(features.var(axis=0).sum()), StandardScaler().fit_transform(features) / 28):
        centres = MiniBatchKMeans(min(1000, len(known)), random_state=0, n_init=1, batch_size=4096, max_iter=20)
        centres.fit(known)
        for gamma in (0.25, 0.5, 1.0, 2.0):
            activations = rbf_kernel(known, centres.cluster_centers_, gamma=gamma)
            GridSearchCV(Ridge(), {"alpha": [1e-4, 1e-2, 1, 100]}, cv=3).fit(activations, classes)


def linear_machines(features: np.ndarray, labels: np.ndarray, details: dict) -> None:
    known = StandardScaler().fit_transform(features)
    tried = [strength for strength in linear_machine.GRID if strength <= details["C"] * 10.001]
    searched(LinearSVC(dual=False), {"C": tried}, known, labels, linear_machine.NUM_FOLDS)


def gaussian_machine(features: np.ndarray, labels: np.ndarray, details: dict) -> None:
    known = features / np.sqrt(features.var(axis=0).sum())
    searched(SVC(C=10, gamma=1), {"kernel": ["rbf"]}, StandardScaler().fit_transform(features) / 28, labels, 3)
    searched(SVC(C=10), {"gamma": [0.25, 0.5, 1, 1.5, 2, 4]}, known, labels, 3)
    searched(SVC(gamma=details["gamma"]), {"C": [0.1, 1, 100]}, known, labels, 3)


def boosted(name: str) -> Direct:
    def fit(features: np.ndarray, labels: np.ndarray, details: dict) -> None:
        kind = boosting.KINDS[name]
        fitted, out = choosing.on_all_rows(labels, None, 0, num_folds=boosting.NUM_FOLDS).pairs[0]
        options = {"learning_rate": kind.learning_rate, "max_leaf_nodes": kind.leaves, "random_state": 0,
                   "min_samples_leaf": int(np.clip(len(labels) // 20, 1, 20)), "l2_regularization": boosting.PENALTY,
                   "max_features": max(boosting.SHARE_OF_FEATURES, boosting.LEAST_FEATURES / features.shape[1])}
        patience = {"early_stopping": True, "n_iter_no_change": boosting.PATIENCE}
        HistGradientBoostingClassifier(**options, max_iter=kind.rounds, **patience).fit(
            features[fitted], labels[fitted], X_val=features[out], y_val=labels[out])
        again = HistGradientBoostingClassifier(**options, max_iter=details["rounds"], early_stopping=False)
        again.fit(features, labels)

    return fit


DIRECT: dict[str, Direct] = {
    "logistic regression": logistic_regression, "LDA": discriminant_analysis, "nearest neighbours": nearest,
    "radial basis functions": radial, "linear SVM": linear_machines, "Gaussian SVM": gaussian_machine,
    **{name: boosted(name) for name in boosting.KINDS}}


@click.command(context_settings={"show_default": True})
@click.argument("archive")
@click.option("--rows", default=2000, help="Training rows, of an archive laid out as mnist.npz.")
@click.option("--pairs", default=5, help="Interleaved repetitions.")
@click.option("--method", "methods", multiple=True, type=click.Choice(list(DIRECT)), help="Repeatable; default: all.")
@click.option("--threads", type=int, help="Limit both sides to so many; the threads of B's many small products "
              "otherwise wait for each other, which A avoids.")
def main(archive: str, rows: int, pairs: int, methods: tuple[str, ...], threads: int | None) -> None:
    with np.load(archive) as data:
        features = (data["x_train"][:rows].reshape(rows, -1) / 255).astype(np.float32)
        labels = data["y_train"][:rows].astype(np.int64)
    warnings.simplefilter("ignore")  # of scikit-learn's searches: fits that stop early, constant pixels
    for name in methods or DIRECT:
        ratios, seconds = [], []
        for _ in range(pairs):
            with threadpool_limits(limits=threads):
                start = time.monotonic()
                classifier = METHODS[name](features, labels, 10)
                middle = time.monotonic()
                DIRECT[name](features, labels, classifier.details)
            seconds.append(middle - start)
            ratios.append((time.monotonic() - middle) / seconds[-1])
        print(f"{name}: median {np.median(seconds):.2f} s; {np.median(ratios):.2f} times the speed of scikit-learn "
              f"called directly ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)


if __name__ == "__main__":
    main()
