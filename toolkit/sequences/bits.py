"""Scores of language models over rows: bits a character and perplexity a token, with intervals; which is better."""

from __future__ import annotations

from typing import Any

import numpy as np

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
    drawn = _drawn(groups, len(bits), seed)
    intervals: dict[str, list[float] | None] = {"bits_per_character": None, "perplexity": None}
    if drawn is not None:
        sums = drawn @ np.stack([bits, characters, tokens], axis=1).astype(np.float64)
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
    drawn, interval, code = _drawn(groups, len(first), seed), None, "not_distinguishable"
    if drawn is not None:
        interval = _interval((drawn @ (first - second)) / (drawn @ characters))
        code = "better" if interval[1] < 0 else "worse" if interval[0] > 0 else code
    words = {"better": "is better than", "worse": "is worse than",
             "not_distinguishable": "is not distinguishable from"}[code]
    spread = f" [{interval[0]:+.3f}, {interval[1]:+.3f}]" if interval else ", a single row"
    return {"first": first_name, "second": second_name, "difference": values[0] - values[1], "interval95": interval,
            "code": code,
            "sentence": f"{first_name} ({values[0]:.3f} bits a character) {words} {second_name} ({values[1]:.3f}): "
                        f"difference {values[0] - values[1]:+.3f}{spread}, {len(first):,} test texts."}


def _drawn(groups: np.ndarray | None, count: int, seed: int) -> np.ndarray | None:
    """How often each draw holds each row, (draws, n); None where there is one unit only."""
    units, random = groups_.numbers(groups, count), np.random.default_rng(seed)
    total = int(units.max()) + 1
    if total == 1:
        return None
    drawn = np.stack([np.bincount(random.integers(0, total, total), minlength=total) for _ in range(DRAWS)])
    return drawn[:, units].astype(np.float32)


def _interval(values: np.ndarray) -> list[float]:
    return [float(bound) for bound in np.quantile(values, [0.025, 0.975])]
