r"""Class scores from the decisions between pairs of classes.

.. math:: s_i = -\sum_{j \ne i} \max(0, -d_{ij}), \qquad d_{ij} = -d_{ji}

is what class i loses its duels by. A class that wins all its duels has score 0 and every other one less, so that the
largest score is libsvm's vote wherever one class beats all others; with two classes the difference of the scores is the
decision itself.
"""

from __future__ import annotations

import numpy as np
from sklearn.svm import SVC


def scores(machine: SVC, kernel: np.ndarray) -> np.ndarray:
    """Scores (m, K), at most 0, of rows from their kernel with the support vectors.

    Args:
        machine: fitted; its K classes in order.
        kernel: (m, S) float64, S support vectors.
    """
    ends = np.cumsum(machine.n_support_)
    count = len(ends)
    sign = -1.0 if count == 2 else 1.0  # scikit-learn turns the two-class decision round
    duels = np.zeros((len(kernel), count, count))
    for number, (end, size) in enumerate(zip(ends, machine.n_support_)):
        others = np.delete(np.arange(count), number)
        duels[:, number, others] = kernel[:, end - size:end] @ (sign * machine.dual_coef_[:, end - size:end].T)
    duels += duels.transpose(0, 2, 1).copy()
    above = np.triu_indices(count, 1)
    duels[:, *above] += sign * machine.intercept_
    duels[:, above[1], above[0]] = -duels[:, *above]
    return np.minimum(duels, 0).sum(axis=2)
