"""Which pseudo-labels a round of self-training learns: balanced, and of each class the most confident."""

from __future__ import annotations

import numpy as np

from toolkit.semisupervised import class_shares

SMALLEST = 1e-12
RAMP = 0.7  # of the rounds, until all that shall be taken is


def share_of_round(number: int, rounds: int) -> float:
    """The share of what is taken in the end that a round takes, in [0, 1].

    Args:
        number: of the round, from 1.
        rounds: R.
    """
    return min(1.0, number / (RAMP * rounds))


def most_confident(shares: np.ndarray, coverage: float, prior: np.ndarray) -> np.ndarray:
    """Which rows are taken: of those given to each class the most confident, in proportion to its prior.

    Args:
        shares: (p, C) probabilities.
        coverage: in [0, 1], of the p rows.
        prior: (C,) shares of the classes.

    Returns:
        (p,) bool.

    Example:
        >>> shares = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
        >>> most_confident(shares, 0.5, np.array([0.5, 0.5])).tolist()
        [True, False, True, False]
    """
    labels, taken = shares.argmax(axis=1), np.zeros(len(shares), bool)
    for number, share in enumerate(prior):
        rows = np.flatnonzero(labels == number)
        quota = int(np.ceil(len(shares) * share * coverage - 1e-9))
        taken[rows[np.argsort(-shares[rows, number], kind="stable")[:quota]]] = True
    return taken


def balanced(probabilities: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Probabilities whose mean over the rows is the prior, the order of rows within a class kept.

    Args:
        probabilities: (p, C).
        prior: (C,) shares of the classes.
    """
    scores = np.log(np.maximum(probabilities, SMALLEST))
    return np.exp(class_shares.aligned(scores, prior, np.arange(len(scores))))
