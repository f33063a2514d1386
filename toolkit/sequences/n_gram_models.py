r"""Interpolated Kneser-Ney models of the next token: the plain baseline of every language model.

A table of order k counts how often a token w follows the k - 1 tokens h. With c these counts, c(h) their sum, N(h) the
number of different tokens after h, and h' what is left of h without its first token,

.. math:: p_k(w | h) = \frac{\max(c(hw) - D_k, 0) + D_k N(h) \, p_{k-1}(w | h')}{c(h)}, \qquad p_0(w) = 1 / V,

and p_k = p_{k-1} where h was never seen. Counts are occurrences at the highest order and, below it, the number of
different tokens before hw. D_k = n_1 / (n_1 + 2 n_2), where n_i of the table's entries are i.

References:
    Kneser, Ney 1995, Improved backing-off for m-gram language modeling; Chen, Goodman 1999,
    https://doi.org/10.1006/csla.1999.0128
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

Counts = dict[tuple[int, ...], Counter[int]]


class NGramModel:
    """p(w | h) of tokens numbered 0..V-1, fitted on rows.

    Args:
        rows: each the numbers of its tokens; what ends a row is a token of its own, and stands at its end.
        order: n, at least 1: a token depends on the n - 1 before it.
        num_tokens: V.
        start: the token that stands before the first of a row, n - 1 times.
    """

    def __init__(self, rows: Iterable[Sequence[int]], *, order: int, num_tokens: int, start: int) -> None:
        self.order, self.num_tokens, self.start = order, num_tokens, start
        self._tables = _tables(rows, order, start)
        self._discounts = [_discount(table) for table in self._tables]
        self._sums = [{context: counts.total() for context, counts in table.items()} for table in self._tables]

    def distribution(self, context: Sequence[int]) -> np.ndarray:
        """p(w | context) of all tokens, (V,), which sum to one.

        Example:
            >>> model = NGramModel([[1, 2, 1, 2, 0]], order=2, num_tokens=3, start=0)
            >>> int(model.distribution([1]).argmax()), round(float(model.distribution([2]).sum()), 12)
            (2, 1.0)
        """
        context = (*[self.start] * (self.order - 1), *context)
        found = np.full(self.num_tokens, 1 / self.num_tokens)
        for k, table in enumerate(self._tables):
            history = tuple(context[len(context) - k:])
            if history in table:
                counts = table[history]
                found *= self._discounts[k] * len(counts)
                found[list(counts)] += np.array(list(counts.values())) - self._discounts[k]
                found /= self._sums[k][history]
        return found

    def bits(self, row: Sequence[int]) -> np.ndarray:
        """-log2 p of each token of a row after those before it, (len(row),)."""
        padded = (*[self.start] * (self.order - 1), *row)
        return np.array([-math.log2(self._probability(padded[:position], padded[position]))
                         for position in range(self.order - 1, len(padded))])

    def _probability(self, context: tuple[int, ...], token: int) -> float:
        found = 1 / self.num_tokens
        for k, table in enumerate(self._tables):
            history = context[len(context) - k:]
            counts = table.get(history)
            if counts is None:
                break  # nor was any longer context seen
            discount, count = self._discounts[k], counts.get(token, 0)
            found = (max(count - discount, 0.0) + discount * len(counts) * found) / self._sums[k][history]
        return found


def _tables(rows: Iterable[Sequence[int]], order: int, start: int) -> list[Counts]:
    """The tables of order 1 to n: context -> token -> count."""
    highest: Counts = {}
    for row in rows:
        padded = (*[start] * (order - 1), *row)
        for position in range(order - 1, len(padded)):
            counts = highest.setdefault(padded[position - order + 1:position], Counter())
            counts[padded[position]] += 1
    tables = [highest]
    for _ in range(order - 1):
        lower: Counts = {}
        for context, counts in tables[0].items():
            lower.setdefault(context[1:], Counter()).update(dict.fromkeys(counts, 1))
        tables.insert(0, lower)
    return tables


def _discount(table: Counts) -> float:
    """n1 / (n1 + 2 n2), kept away from 0 and 1 so that every token can follow every context."""
    of = Counter(count for counts in table.values() for count in counts.values() if count < 3)
    return min(max(of[1] / (of[1] + 2 * of[2]), 0.05), 0.95) if of[1] else 0.5


def chosen(train: Sequence[Sequence[int]], validation: Sequence[Sequence[int]], orders: Sequence[int], *,
           num_tokens: int, start: int) -> NGramModel:
    """The model of the order whose bits on the validation rows are fewest; without such rows of the middle order.

    Args:
        train: rows to count.
        validation: rows to choose by.
        orders: to choose among, ascending.
        num_tokens: V.
        start: as of ``NGramModel``.
    """
    if not validation:
        return NGramModel(train, order=orders[len(orders) // 2], num_tokens=num_tokens, start=start)
    models = (NGramModel(train, order=order, num_tokens=num_tokens, start=start) for order in orders)
    return min(models, key=lambda model: sum(float(model.bits(row).sum()) for row in validation))
