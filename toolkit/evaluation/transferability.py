r"""How well frozen features suit labels: two scores that train nothing, and the yardstick that they stand for.

LogME is the log evidence of a Bayesian linear model of the 0/1 indicator y of a class, a mean over classes and rows:

.. math:: \max_{\alpha, \beta} \frac1n \log \int \mathcal N(y; X w, \beta^{-1} I) \,
          \mathcal N(w; 0, \alpha^{-1} I) \, \mathrm dw .

With the singular values :math:`\sigma_i` of X, :math:`z_i` the part of y along its left singular vectors and
:math:`\lambda = \alpha / \beta`, the best :math:`1 / \beta` for a given :math:`\lambda` is known,

.. math:: s(\lambda) = \frac1n \Bigl(\lVert y \rVert^2 - \sum_i z_i^2 \frac{\sigma_i^2}{\sigma_i^2 + \lambda}\Bigr),
          \qquad \text{evidence} = -\frac{n}{2} (\log 2 \pi s + 1)
          - \frac12 \sum_i \log \Bigl(1 + \frac{\sigma_i^2}{\lambda}\Bigr),

so that what the paper iterates to (a fixed point in alpha and beta) is found on a line, for all classes at once.

The H-score is how much of the features' variance the classes explain, between 0 and the number of classes less one,

.. math:: (1 - \alpha) \operatorname{tr} \bigl(\Sigma_\alpha^{-1} \operatorname{cov} \mathbb E[x \mid y]\bigr), \qquad
          \Sigma_\alpha = (1 - \alpha) \Sigma + \alpha \frac{\operatorname{tr} \Sigma}{F} I,

with Ledoit and Wolf's shrinkage. Without it (alpha = 0) every backbone with more features than rows is perfect.

References:
    LogME: You, Liu, Wang, Long (2021), https://arxiv.org/abs/2102.11005; the fixed point: You, Liu, Zhang, Wang,
    Jordan, Long (2022), https://arxiv.org/abs/2110.10545
    H-score: Bao, Li, Huang, Zhang, Zheng, Zamir, Guibas (2019), https://arxiv.org/abs/2212.10082; its shrinkage:
    Ibrahim, Ponomareva, Mazumder (2022), https://arxiv.org/abs/2110.06893
    Cross-validation around the choice of C: Varma, Simon (2006), https://doi.org/10.1186/1471-2105-7-91
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, sparse

from toolkit.evaluation.baselines import logistic_regression
from toolkit.evaluation.baselines.folds import folds
from toolkit.evaluation.baselines.linear import checked
from toolkit.evaluation.baselines.threads import threads_for

NUM_FOLDS = 5
RATIOS = np.geomspace(1e-12, 1e6, 361)  # of lambda to the largest squared singular value: 20 a decade


def logme(features: np.ndarray, labels: np.ndarray) -> float:
    """LogME, the log evidence of a linear model a row and class: the larger, the better the features suit the labels.

    Args:
        features: (n, F) real numbers; as in the paper they are neither centred nor scaled.
        labels: (n,) int, not negative, n >= 1; classes without rows do not count.

    Returns:
        the score; it can be compared only among features of the same rows.

    Raises:
        ValueError: if shapes do not fit or a feature is not finite.

    Example:
        >>> labels = np.arange(60) % 3
        >>> useless = np.random.default_rng(0).normal(size=(60, 8))
        >>> logme(useless, labels) < logme(useless + 3 * np.eye(8)[labels], labels)
        True
    """
    found = _spectrum(features, labels, centred=False)
    count = found.class_sizes.sum()
    shrinks = RATIOS / (found.squares[:, None] / max(found.squares.max(initial=0), 1e-300) + RATIOS)  # (r, ratios)
    along = found.projections ** 2
    beyond = np.maximum(found.class_sizes - along.sum(axis=1), 0)  # |y|^2 is the number of ones
    scale = (along @ shrinks + beyond[:, None]) / count
    evidence = 0.5 * (np.log(shrinks).sum(axis=0) / count - np.log(2 * np.pi * np.maximum(scale, 1e-15)) - 1)
    return float(np.mean([_peak(values) for values in evidence]))


def h_score(features: np.ndarray, labels: np.ndarray, *, shrinkage: float | None = None) -> float:
    """H-score: the variance that the classes explain, in [0, C - 1]; the larger, the better.

    Args:
        features: (n, F) real numbers.
        labels: (n,) int, not negative, n >= 1.
        shrinkage: in [0, 1]; 0: the H-score of Bao et al.; None: Ledoit and Wolf's, which falls as rows grow in number.

    Returns:
        the score.

    Raises:
        ValueError: if shapes do not fit or a feature is not finite.

    Example:
        >>> h_score(np.array([[0.0, 1.0], [0.0, 2.0], [1.0, 1.0], [1.0, 2.0]]), np.array([0, 0, 1, 1]), shrinkage=0.0)
        1.0
    """
    found = _spectrum(features, labels, centred=True)
    count, num_features = len(labels), np.shape(features)[1]
    if not len(found.squares):
        return 0.0
    if shrinkage is None:
        shrinkage = _ledoit_wolf(found, count, num_features)
    variances = found.squares / count
    target = variances.sum() / num_features
    explained = variances / ((1 - shrinkage) * variances + shrinkage * target)
    return float((1 - shrinkage) * (found.projections ** 2 @ explained / found.class_sizes).sum())


def held_out_hits(features: np.ndarray, labels: np.ndarray, num_classes: int, *, groups: np.ndarray | None = None,
                  seed: int = 0) -> np.ndarray | None:
    """Which rows logistic regression gets right when it has not seen them: the yardstick of the two scores.

    Each of five folds is predicted by a fit on the other four whose C was chosen by a cross-validation within those
    four, so that no row has a say in the model that predicts it.

    Args:
        features: (n, F) real numbers.
        labels: (n,) int in 0..C-1, n >= 1.
        num_classes: C.
        groups: (n,) names; rows of one group are held out together.
        seed: of the folds, which are the same for other features of the same rows.

    Returns:
        (n,) bool; None where fewer than two classes have three rows (or groups), so that nothing can be held out.

    Raises:
        ValueError: if shapes do not fit, a label is out of range or a feature is not finite.
    """
    features, labels = checked(features, labels, num_classes)
    numbers = folds(labels, groups=groups, num_folds=NUM_FOLDS, seed=seed)
    if numbers is None:
        return None
    hits = np.zeros(len(labels), dtype=bool)
    for fold in np.unique(numbers):
        fitted, held_out = numbers != fold, numbers == fold
        own_groups = None if groups is None else np.asarray(groups)[fitted]
        model = logistic_regression(features[fitted], labels[fitted], num_classes, groups=own_groups, seed=seed)
        hits[held_out] = model.probabilities(features[held_out]).argmax(axis=1) == labels[held_out]
    return hits


@dataclass(frozen=True, eq=False)
class _Spectrum:
    """All that the scores need to know of features and labels.

    Attributes:
        squares: (r,) squared singular values of the features, none of them zero.
        projections: (K, r) the indicator of each class along the left singular vectors.
        class_sizes: (K,) rows of each class that has any.
        row_norms: (n,) squared lengths of the rows.
    """

    squares: np.ndarray
    projections: np.ndarray
    class_sizes: np.ndarray
    row_norms: np.ndarray


def _spectrum(features: np.ndarray, labels: np.ndarray, *, centred: bool) -> _Spectrum:
    """The singular values from the smaller of the two Gram matrices: none of (n, F) vectors is needed."""
    features, labels = checked(features, labels, int(np.max(labels, initial=0)) + 1)
    values = features.astype(np.float64)
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        raise ValueError(f"Row {int(finite.argmin())} holds a feature that is not finite.")
    if centred:
        values -= values.mean(axis=0)
    (rows, columns), (numbers, sizes) = values.shape, np.unique(labels, return_inverse=True, return_counts=True)[1:]
    indicators = sparse.csr_array((np.ones(rows), (numbers, np.arange(rows))), shape=(len(sizes), rows))
    wide = rows < columns
    with threads_for(min(rows, columns) * rows * columns):
        gram = values @ values.T if wide else values.T @ values
        squares, vectors = linalg.eigh(gram, driver="evd", overwrite_a=True)
    kept = squares > max(squares[-1], 0) * max(rows, columns) * np.finfo(np.float64).eps
    squares, vectors = squares[kept], vectors[:, kept]
    projections = indicators @ vectors if wide else indicators @ values @ vectors / np.sqrt(squares)
    return _Spectrum(squares, projections, sizes, (values ** 2).sum(axis=1))


def _ledoit_wolf(found: _Spectrum, count: int, num_features: int) -> float:
    """Ledoit and Wolf's shrinkage in [0, 1], as ``sklearn.covariance.ledoit_wolf_shrinkage`` computes it."""
    variances = found.squares / count
    squares = float((variances ** 2).sum())
    distance = squares - float(variances.sum()) ** 2 / num_features  # F times that to the target
    noise = (float((found.row_norms ** 2).sum()) / count - squares) / count
    return min(1.0, max(noise / distance, 0.0)) if distance > 0 else 1.0


def _peak(values: np.ndarray) -> float:
    """The largest value of a smooth curve from points an equal step apart: the top of a parabola through three."""
    best = int(np.clip(values.argmax(), 1, len(values) - 2))
    before, top, after = values[best - 1:best + 2]
    slope, bend = (after - before) / 2, before - 2 * top + after
    shift = float(np.clip(-slope / bend, -1, 1)) if bend < 0 else 0.0
    return float(max(values.max(), top + slope * shift + bend * shift ** 2 / 2))
