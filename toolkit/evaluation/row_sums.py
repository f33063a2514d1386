r"""Every metric as a function of weighted sums over rows.

With row weights :math:`w` (all one: the plain metric; multinomial counts: one bootstrap draw) all metrics follow from a
few sums: hits, rows and predictions of each class, the log loss, the gaps between confidence and truth. Thousands of
bootstrap draws are then one product of matrices.

The area under the ROC curve is not such a sum; its bootstrap uses the linear form of DeLong et al. With the placement
:math:`v_i` of a row, the share of the rows on the other side that it is ranked correctly against,

.. math:: A(w) \approx \frac{\sum_{i+} w_i v_i}{\sum_{i+} w_i} + \frac{\sum_{i-} w_i v_i}{\sum_{i-} w_i} - A,

which is exact for equal weights and differs from the weighted area by a term of order 1/n.

References:
    DeLong, DeLong, Clarke-Pearson (1988), Comparing the areas under two or more correlated receiver operating
    characteristic curves. https://doi.org/10.2307/2531595
    Guo, Pleiss, Sun, Weinberger (2017), On calibration of modern neural networks. https://arxiv.org/abs/1706.04599
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.stats import rankdata

NUM_BINS = 15


class RowSums:
    """What each row adds to the sums, for fixed labels and probabilities."""

    def __init__(self, labels: np.ndarray, probabilities: np.ndarray) -> None:
        """Take the rows apart.

        Args:
            labels: (n,) int in 0..C-1.
            probabilities: (n, C) float64.
        """
        self.num_classes = probabilities.shape[1]
        rows = np.arange(len(labels))
        predictions = probabilities.argmax(axis=1)
        hits = predictions == labels
        epsilon = np.finfo(np.float64).eps
        losses = -np.log(np.clip(probabilities[rows, labels], epsilon, 1 - epsilon))
        confidences = probabilities.max(axis=1)
        bins = np.digitize(confidences, np.linspace(0, 1, NUM_BINS + 1)[1:-1], right=True)
        self.auc_classes = _rankable(labels, self.num_classes)
        own, self.other_placements, self.areas = _placements(labels, probabilities, self.auc_classes)
        self.columns = sparse.vstack([
            _indicator(labels, self.num_classes, hits.astype(np.float64)),
            _indicator(labels, self.num_classes),
            _indicator(predictions, self.num_classes),
            _indicator(labels, self.num_classes, own),
            _indicator(bins, NUM_BINS, hits - confidences),
            sparse.csr_array(losses[None, :]),
        ], format="csr")

    def metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """All metrics under row weights.

        Args:
            weights: (d, n) float64, not negative, each row of it with a positive sum.

        Returns:
            name -> (d,) float64; NaN where the area under the curve is undefined. Macro averages are over the classes
            that occur among labels or predictions, balanced accuracy over those among labels, as in scikit-learn.
        """
        classes = self.num_classes
        sums = self.columns @ np.ascontiguousarray(weights.T)
        hits, rows, predicted, own = (sums[k * classes:(k + 1) * classes] for k in range(4))
        total = weights.sum(axis=1)
        recall, f1 = _ratio(hits, rows), _ratio(2 * hits, rows + predicted)
        return {
            "accuracy": hits.sum(axis=0) / total,
            "balanced_accuracy": _mean(recall),
            "macro_f1": _mean(f1),
            "log_loss": sums[-1] / total,
            "roc_auc": self._roc_auc(weights, rows, own, total),
            "expected_calibration_error": np.abs(sums[4 * classes:-1]).sum(axis=0) / total,
        }

    def _roc_auc(self, weights: np.ndarray, rows: np.ndarray, own: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Mean of the areas of the classes that have rows on both sides; (d,)."""
        if not len(self.auc_classes):
            return np.full(len(weights), np.nan)
        inside = rows[self.auc_classes]
        other = (weights @ self.other_placements).T
        areas = _ratio(own[self.auc_classes], inside) + _ratio(other, total - inside) - self.areas[:, None]
        return np.clip(_mean(areas), 0, 1)


def _indicator(numbers: np.ndarray, height: int, values: np.ndarray | None = None) -> sparse.csr_array:
    """(height, n) matrix with ``values`` (default one) at (numbers[i], i)."""
    values = np.ones(len(numbers)) if values is None else values
    return sparse.csr_array((values, (numbers, np.arange(len(numbers)))), shape=(height, len(numbers)))


def _rankable(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Classes with rows inside and outside; of two classes the second alone, whose area is that of both."""
    counts = np.bincount(labels, minlength=num_classes)
    classes = np.flatnonzero((counts > 0) & (counts < len(labels)))
    return classes[-1:] if num_classes == 2 else classes


def _placements(labels: np.ndarray, probabilities: np.ndarray,
                classes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Placement of each row in its own class (n,), in the others (n, K), and the areas (K,)."""
    own = np.zeros(len(labels))
    other = np.zeros((len(labels), len(classes)))
    areas = np.zeros(len(classes))
    for column, number in enumerate(classes):
        inside = labels == number
        scores = probabilities[:, number]
        ranks = rankdata(scores)
        num_inside, num_outside = inside.sum(), (~inside).sum()
        own_placements = (ranks[inside] - rankdata(scores[inside])) / num_outside
        own[inside] = own_placements
        other[~inside, column] = 1 - (ranks[~inside] - rankdata(scores[~inside])) / num_inside
        areas[column] = own_placements.mean()
    return own, other, areas


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient, NaN where the denominator is zero."""
    return np.divide(numerator, denominator, out=np.full(np.shape(numerator), np.nan), where=denominator > 0)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis of what is not NaN; NaN where nothing is left."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(axis=0), defined.sum(axis=0))
