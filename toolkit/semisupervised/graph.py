r"""Labels spread along a nearest-neighbour graph of the features of labelled and unlabelled rows.

Rows are joined to their k nearest neighbours, with weights (Calder et al.)

.. math:: w_{ij} = \exp(-4 \lVert x_i - x_j \rVert^2 / d_k(x_i)^2), \qquad W = (w + w^\top) / 2 ,

:math:`d_k` the distance to the k-th neighbour. With degrees :math:`D`, Laplacian :math:`L = D - W`,
:math:`S = D^{-1/2} W D^{-1/2}` and one-hot labels Y (zero where there is none), the scores U of the classes are

* label spreading: :math:`U = (1 - \alpha) (I - \alpha S)^{-1} Y`;
* Laplace learning, which is what label propagation converges to: :math:`U = Y` at labelled rows, :math:`L U = 0`
  elsewhere;
* Poisson learning: :math:`L U = \sum_j (y_j - \bar y) \delta_j` over the labelled rows j, with
  :math:`\sum_i d_i U_i = 0`. Labels are sources, not boundary values, so that U does not collapse to one constant with
  spikes at the labels when these are few. Where the graph is in parts, :math:`\bar y` is the mean of the labels of the
  part (else no U exists), and what a part's mean has over that of all labels is added to its scores, in units of their
  standard deviation: so a part whose labels are all of one class takes that class, and does no harm to the others.

All are solved by conjugate gradients, all classes at once, to far more digits than the iterations of the papers.

References:
    Zhou, Bousquet, Lal, Weston, Schölkopf (2003), Learning with local and global consistency.
    https://papers.nips.cc/paper/2506-learning-with-local-and-global-consistency
    Zhu, Ghahramani, Lafferty (2003), Semi-supervised learning using Gaussian fields and harmonic functions.
    https://cdn.aaai.org/ICML/2003/ICML03-118.pdf
    Calder, Cook, Thorpe, Slepčev (2020), Poisson learning: graph based semi-supervised learning at very low label
    rates. https://arxiv.org/abs/2006.11184
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

TOLERANCE = 1e-10  # of the residual, relative to the right-hand side
MAX_ITERATIONS = 2000
LEAK = 1e-8  # of the degrees, added to L: a part of the graph without a label has a solution too


def weights(positions: np.ndarray, distances: np.ndarray) -> sparse.csr_array:
    """The symmetric weights of the graph.

    Args:
        positions: (n, k) from ``neighbours.nearest``.
        distances: (n, k).

    Returns:
        (n, n) float64, symmetric, its diagonal empty; each weight in (0, 1].

    Example:
        >>> from toolkit.semisupervised.neighbours import nearest
        >>> weights(*nearest(np.array([[0.0], [1.0], [3.0]]), 1)).toarray().round(3).tolist()
        [[0.0, 0.018, 0.0], [0.018, 0.0, 0.009], [0.0, 0.009, 0.0]]
    """
    rows, count = positions.shape
    widths = distances[:, -1:].astype(np.float64)
    relative = np.divide(distances, widths, out=np.zeros(distances.shape), where=widths > 0)
    starts = np.arange(0, rows * count + 1, count)
    one_way = sparse.csr_array((np.exp(-4 * relative**2).ravel(), positions.ravel(), starts), shape=(rows, rows))
    return ((one_way + one_way.T) / 2).tocsr()


def label_spreading(weights: sparse.csr_array, labels: np.ndarray, num_classes: int, alpha: float = 0.9) -> np.ndarray:
    """Scores by label spreading, what scikit-learn's ``LabelSpreading`` converges to on the same weights.

    Args:
        weights: (n, n) symmetric, none negative.
        labels: (n,) int in 0..C-1, -1 for unlabelled.
        num_classes: C.
        alpha: in (0, 1), how much a row takes over from its neighbours.

    Returns:
        (n, C) in [0, 1], each row summing to one; zeros where no label reaches.
    """
    sources = _one_hot(labels, num_classes)
    roots = _inverse_roots(weights)
    system = sparse.eye_array(len(labels)) - alpha * (sparse.diags_array(roots) @ weights @ sparse.diags_array(roots))
    return _distributions(_solve(system.tocsr(), sources))


def laplace(weights: sparse.csr_array, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Scores by Laplace learning, what scikit-learn's ``LabelPropagation`` converges to on the same weights.

    Args:
        weights: (n, n) symmetric, none negative.
        labels: (n,) int in 0..C-1, -1 for unlabelled.
        num_classes: C.

    Returns:
        (n, C) in [0, 1], each row summing to one, one-hot where labelled; zeros where no label reaches.
    """
    scores = _one_hot(labels, num_classes)
    free = np.flatnonzero(np.asarray(labels) < 0)
    known = np.flatnonzero(np.asarray(labels) >= 0)
    rows = weights[free]
    degrees = np.asarray(weights.sum(axis=1)).ravel()[free]
    roots = np.divide(1, np.sqrt(degrees), out=np.zeros(len(free)), where=degrees > 0)
    scale = sparse.diags_array(roots)
    system = sparse.eye_array(len(free)) * (1 + LEAK) - scale @ rows[:, free] @ scale
    sources = roots[:, None] * (rows[:, known] @ scores[known])
    scores[free] = roots[:, None] * _solve(system.tocsr(), sources)
    return _distributions(scores)


def poisson(weights: sparse.csr_array, labels: np.ndarray, num_classes: int,
            shares: np.ndarray | None = None) -> np.ndarray:
    """Scores by Poisson learning.

    Args:
        weights: (n, n) symmetric, none negative.
        labels: (n,) int in 0..C-1, -1 for unlabelled; at least one label.
        num_classes: C.
        shares: (C,) of the classes among all rows, where known; None: as among the labels.

    Returns:
        (n, C) real numbers, the larger the likelier; zeros where no label reaches.
    """
    sources = _one_hot(labels, num_classes)
    known = np.asarray(labels) >= 0
    mean, parts = sources[known].mean(axis=0), csgraph.connected_components(weights, directed=False)[1]
    means = _means(sources[known], parts[known], int(parts.max()) + 1, mean)[parts]
    sources[known] -= means[known]
    roots = _inverse_roots(weights)
    scale = sparse.diags_array(roots)
    system = sparse.eye_array(len(known)) * (1 + LEAK) - scale @ weights @ scale
    scores = roots[:, None] * _solve(system.tocsr(), roots[:, None] * sources)
    scores += (float(scores.std()) or 1.0) * (means - mean)
    if shares is not None:
        scores *= np.divide(shares, mean, out=np.ones(num_classes), where=mean > 0)
    return scores


def _means(values: np.ndarray, parts: np.ndarray, num_parts: int, otherwise: np.ndarray) -> np.ndarray:
    """The mean (P, C) of the values (m, C) of each part; where a part has none, another (C,)."""
    sums, counts = np.zeros((num_parts, values.shape[1])), np.bincount(parts, minlength=num_parts)[:, None]
    np.add.at(sums, parts, values)
    return np.where(counts > 0, sums / np.maximum(counts, 1), otherwise)


def _one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """(n, C) float64, zeros where unlabelled."""
    return (np.asarray(labels)[:, None] == np.arange(num_classes)).astype(np.float64)


def _inverse_roots(weights: sparse.csr_array) -> np.ndarray:
    """(n,) one over the root of the degrees; 0 for a row without neighbours."""
    degrees = np.asarray(weights.sum(axis=1)).ravel()
    return np.divide(1, np.sqrt(degrees), out=np.zeros(len(degrees)), where=degrees > 0)


def _solve(system: sparse.csr_array, sources: np.ndarray) -> np.ndarray:
    """Conjugate gradients, one matrix product a step for all columns: (n, C)."""
    found, residual, direction = np.zeros_like(sources), sources.copy(), sources.copy()
    squares = np.einsum("ij,ij->j", residual, residual)
    enough = TOLERANCE**2 * squares
    for _ in range(MAX_ITERATIONS):
        going = squares > enough
        if not going.any():
            break
        product = system @ direction
        curvature = np.einsum("ij,ij->j", direction, product)
        step = np.divide(squares, curvature, out=np.zeros_like(squares), where=going & (curvature > 0))
        found += step * direction
        residual -= step * product
        before, squares = squares, np.where(going, np.einsum("ij,ij->j", residual, residual), squares)
        direction *= np.divide(squares, before, out=np.zeros_like(squares), where=going)
        direction += residual
    return found


def _distributions(scores: np.ndarray) -> np.ndarray:
    """Rows that sum to one; zeros where there is nothing."""
    scores = np.maximum(scores, 0)
    sums = scores.sum(axis=1, keepdims=True)
    return np.divide(scores, sums, out=np.zeros_like(scores), where=sums > 1e-12)
