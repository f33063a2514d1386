r"""The shares of the classes: what the labels say of them, and pseudo-labels brought in line with them.

Scores s become probabilities whose mean over the unlabelled rows has the expected shares,

.. math:: p_{ic} \propto \exp(s_{ic} + o_c), \qquad \frac1n \sum_i p_{ic} = \pi_c ,

with one offset o a class, found by iterating :math:`o_c \leftarrow o_c + \log(\pi_c / \bar p_c)`. Without it a class
that begins with better placed labels takes rows from the others. Where the unlabelled rows are visibly of other shares
than the labels (``differ``), nothing should be brought in line.

References:
    Class mass normalisation: Zhu, Ghahramani, Lafferty (2003), https://cdn.aaai.org/ICML/2003/ICML03-118.pdf
    Distribution alignment: Berthelot et al. (2020), ReMixMatch, https://arxiv.org/abs/1911.09785
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from toolkit.semisupervised import audit

ITERATIONS = 30


def of_labels(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Shares of the classes among labels, each class counted once more, so that none is impossible.

    Args:
        labels: (n,) int in 0..C-1.
        num_classes: C.

    Example:
        >>> of_labels(np.array([0, 0, 1]), 2).tolist()
        [0.6, 0.4]
    """
    counts = np.bincount(labels, minlength=num_classes) + 1
    return counts / counts.sum()


def aligned(scores: np.ndarray, shares: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Log probabilities of scores, brought in line with the shares of the classes.

    Args:
        scores: (n, C) real numbers.
        shares: (C,) positive, sum to one.
        rows: (m,) positions of the unlabelled rows, over which the mean is taken; m may be 0.

    Returns:
        (n, C), the logarithms of rows that sum to one.

    Example:
        >>> found = aligned(np.array([[2.0, 0.0], [1.0, 0.0]]), np.array([0.5, 0.5]), np.arange(2))
        >>> np.exp(found).mean(axis=0).round(3).tolist()
        [0.5, 0.5]
    """
    offsets = np.zeros(len(shares))
    for _ in range(ITERATIONS if len(rows) else 0):
        means = np.exp(log_softmax(scores[rows] + offsets, axis=1)).mean(axis=0)
        offsets += np.log(shares / np.maximum(means, 1e-12))
    return log_softmax(scores + offsets, axis=1)


def differ(predictions: np.ndarray, shares: np.ndarray) -> bool:
    """Whether one class holds so many unlabelled rows that these cannot have the shares of the labels.

    Args:
        predictions: (p,) int in 0..C-1, of the unlabelled rows, by a classifier of the labelled rows alone.
        shares: (C,) of the labels.
    """
    return audit.swallowing(np.bincount(predictions, minlength=len(shares)), shares) is not None
