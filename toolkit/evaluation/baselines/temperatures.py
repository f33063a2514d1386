r"""The temperature T in :math:`p = \mathrm{softmax}(s / T)`, chosen on held-out scores; it changes no prediction.

References:
    Guo, Pleiss, Sun, Weinberger (2017), On calibration of modern neural networks. https://arxiv.org/abs/1706.04599
    Platt (1999), Probabilistic outputs for support vector machines and comparisons to regularized likelihood methods:
    held-out rows that are all predicted right do not make a classifier certain.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize
from scipy.special import log_softmax

MAX_TEMPERATURE = 1e6


def temperature(scores: np.ndarray, labels: np.ndarray, *, least: float = 1.0,
                doubt: float = 0.0) -> tuple[float, float]:
    """The smallest mean log loss and the temperature that reaches it.

    Args:
        scores: (n, K), -inf for a class that the fit did not know.
        labels: (n,) int in 0..K-1, of known classes.
        least: smallest temperature.
        doubt: number of rows that are counted as spread evenly over the known classes, beside the n.

    Example:
        >>> loss, found = temperature(np.array([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0]]), np.array([0, 1, 1]))
        >>> round(found, 1), round(loss, 3)  # two of three right: 2 / 3 is claimed
        (5.8, 0.637)
    """
    rows = np.arange(len(labels))
    shares = np.isfinite(scores)
    shares = shares / shares.sum(axis=1, keepdims=True)

    def loss(log_temperature: float) -> float:
        logs = log_softmax(scores / np.float32(np.exp(log_temperature)), axis=1)
        own = -float(logs[rows, labels].mean())
        if not doubt:
            return own
        even = -float((shares * np.where(shares > 0, logs, 0)).sum(axis=1).mean())
        return (len(labels) * own + doubt * even) / (len(labels) + doubt)

    result = optimize.minimize_scalar(loss, bounds=(np.log(least), np.log(MAX_TEMPERATURE)), method="bounded",
                                      options={"xatol": 0.02})
    return max(0.0, float(result.fun)), float(np.exp(result.x))
