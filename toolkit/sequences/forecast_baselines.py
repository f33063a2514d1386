r"""The plain forecasts that a network has to beat.

Each takes the L values before an origin, (k, L), and gives the H after it, (k, H): the last value again; the value one
season before; and linear autoregression,

.. math:: \hat y_{t+h} = y_t + a_h + \sum_{l=1}^{L} b_{hl} \, y_{t-l+1}, \qquad h = 1..H,

fitted to the training windows by ridge regression, whose strength leave-one-out chooses.

References:
    Hyndman and Athanasopoulos 2021, Forecasting: principles and practice, chapter 5.2, https://otexts.com/fpp3/
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Forecaster = Callable[[np.ndarray], np.ndarray]

STRENGTHS = tuple(10.0 ** exponent for exponent in range(-4, 4))


def last_value(horizon: int) -> Forecaster:
    """The last value, ``horizon`` times.

    Example:
        >>> last_value(2)(np.array([[1.0, 3.0]])).tolist()
        [[3.0, 3.0]]
    """
    return lambda known: np.repeat(known[:, -1:], horizon, axis=1)


def seasonal_naive(horizon: int, season: int) -> Forecaster:
    """The value one season before, of a season of at most L steps.

    Example:
        >>> seasonal_naive(3, 2)(np.array([[5.0, 1.0, 2.0]])).tolist()
        [[1.0, 2.0, 1.0]]
    """
    return lambda known: known[:, [known.shape[1] - season + step % season for step in range(horizon)]]


@dataclass(frozen=True, eq=False)
class LinearAutoregression:
    """A linear forecaster: forecasts (k, H) = last value + known (k, L) @ kernel (L, H) + bias (H,)."""

    kernel: np.ndarray
    bias: np.ndarray

    def __call__(self, known: np.ndarray) -> np.ndarray:
        return known[:, -1:] + known @ self.kernel + self.bias


def linear_autoregression(known: np.ndarray, wanted: np.ndarray) -> LinearAutoregression:
    """Ridge regression on the known values.

    Args:
        known: (k, L) of the training windows.
        wanted: (k, H), none missing.
    """
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(alphas=STRENGTHS).fit(known, wanted - known[:, -1:])
    return LinearAutoregression(np.reshape(model.coef_, (wanted.shape[1], -1)).T, np.ravel(model.intercept_))
