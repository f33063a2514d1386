r"""Features in the units that distances are measured in.

Either all features share one unit (pixels: a faint border stays faint), or each has its own, its standard deviation. In
both, two rows are :math:`\sqrt 2` apart in the root mean square, so that
:math:`\gamma = 1` in :math:`\exp(-\gamma \lVert x - z \rVert^2)` is a width that suits any features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.evaluation.baselines.reduction import moments

ONE, EACH = "one scale for all features", "each feature its own scale"
WAYS = (ONE, EACH)


@dataclass(frozen=True, eq=False)
class Scale:
    """Way from features to scaled ones.

    Attributes:
        mean: (F,) float64.
        factor: (F,) float64, 0 where a feature is constant.
    """

    mean: np.ndarray
    factor: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Scaled features, (n, F) float32."""
        if features.dtype == np.float32:
            return (features - self.mean.astype(np.float32)) * self.factor.astype(np.float32)
        return ((features - self.mean) * self.factor).astype(np.float32)


def scale(features: np.ndarray, way: str) -> Scale:
    """Learn a scale from training rows.

    Args:
        features: (n, F) real numbers, one of them varying.
        way: one of ``WAYS``.

    Example:
        >>> features = np.random.default_rng(0).normal(size=(50, 3)) * [1, 10, 100]
        >>> [round(float(scale(features, way)(features).var(axis=0).sum()), 3) for way in WAYS]
        [1.0, 1.0]
    """
    found = moments(features)
    units = np.ones(len(found.mean)) if way == ONE else np.sqrt(found.variance)
    factor = np.divide(1, units, out=np.zeros(len(units)), where=found.varies)
    return Scale(found.mean, factor / np.sqrt((found.variance * factor ** 2).sum()))
