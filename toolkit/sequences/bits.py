"""Scores of language models over rows: bits a character and perplexity a token, with intervals; which is better."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolkit.evaluation import bootstrap
from toolkit.evaluation import groups as groups_

DRAWS = 2000


def scores(bits: np.ndarray, characters: np.ndarray, tokens: np.ndarray, *, groups: np.ndarray | None = None,
           seed: int = 0) -> dict[str, Any]:
    """Scores n rows.

    Args:
        bits: (n,) -log2 p of each.
        characters: (n,) of each.
        tokens: (n,) of each.
        groups: (n,) names of groups of rows that are drawn together, or None.
        seed: of the bootstrap.

    Returns:
        dict for JSON: rows, count (of tokens), bits_per_character, perplexity (2 to the bits a token), intervals.

    Example:
        >>> scores(np.array([8.0, 4.0]), np.array([4, 2]), np.array([2, 1]))["bits_per_character"]
        2.0
    """
    sums = _drawn(np.stack([bits, characters, tokens], axis=1), groups, seed)
    intervals: dict[str, list[float] | None] = {"bits_per_character": None, "perplexity": None}
    if sums is not None:
        intervals = {"bits_per_character": _interval(sums[:, 0] / sums[:, 1]),
                     "perplexity": _interval(2 ** (sums[:, 0] / sums[:, 2]))}
    return {"rows": len(bits), "count": int(tokens.sum()),
            "bits_per_character": float(bits.sum() / characters.sum()),
            "perplexity": float(2 ** (bits.sum() / tokens.sum())), "intervals": intervals}


def compare(first: np.ndarray, second: np.ndarray, characters: np.ndarray, *, first_name: str, second_name: str,
            groups: np.ndarray | None = None, seed: int = 0) -> dict[str, Any]:
    """Compares two models on the same rows.

    Args:
        first: (n,) bits of each row.
        second: likewise.
        characters: (n,) of each row.
        first_name: in words.
        second_name: in words.
        groups: (n,) as for ``scores``.
        seed: of the bootstrap.

    Returns:
        dict for JSON: first, second, difference (bits a character, first minus second), interval95 or None, code
        ("better", "worse" or "not_distinguishable"), sentence.
    """
    values = [float(part.sum() / characters.sum()) for part in (first, second)]
    drawn = _drawn(np.stack([first - second, characters], axis=1), groups, seed)
    interval, code = None, "not_distinguishable"
    if drawn is not None:
        interval = _interval(drawn[:, 0] / drawn[:, 1])
        code = "better" if interval[1] < 0 else "worse" if interval[0] > 0 else code
    words = {"better": "is better than", "worse": "is worse than",
             "not_distinguishable": "is not distinguishable from"}[code]
    spread = f" [{interval[0]:+.3f}, {interval[1]:+.3f}]" if interval else ", a single row"
    return {"first": first_name, "second": second_name, "difference": values[0] - values[1], "interval95": interval,
            "code": code,
            "sentence": f"{first_name} ({values[0]:.3f} bits a character) {words} {second_name} ({values[1]:.3f}): "
                        f"difference {values[0] - values[1]:+.3f}{spread}, {len(first):,} test texts."}


def _drawn(sums: np.ndarray, groups: np.ndarray | None, seed: int) -> np.ndarray | None:
    """What sums (n, K) come to in each draw of rows or groups, (draws, K); None where there is one only."""
    return bootstrap.drawn_sums(sums, groups_.numbers(groups, len(sums)), draws=DRAWS, seed=seed)


def _interval(values: np.ndarray) -> list[float]:
    return [float(bound) for bound in np.quantile(values, [0.025, 0.975])]
