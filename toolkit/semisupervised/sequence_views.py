"""Changed copies of texts and series, for methods that want a row to mean the same however it is changed a little.

A text loses words; a series is scaled, gets noise and is seen through a window. Copy k of a row is a function of the
row's content, the change, the seed and k alone.

References:
    Word dropout: Iyyer et al. 2015, https://aclanthology.org/P15-1162/; the changes of series: Um et al. 2017,
    https://arxiv.org/abs/1706.00527
"""

from __future__ import annotations

import dataclasses

import numpy as np

from toolkit.inputs import sequences
from toolkit.inputs.sequences import Augmentation
from toolkit.tables import Table

WEAK = Augmentation(jitter=0.03, scaling=0.05)  # the weak view of a text is the text itself
STRONG = Augmentation(word_dropout=0.3, jitter=0.1, scaling=0.2, window=0.9)
CONTENT_DIGITS = 15  # of the checksum, in base 16


def changed(table: Table, rows: np.ndarray, change: Augmentation, *, copy: int = 0, seed: int = 0) -> Table:
    """The table with changed copies in the place of some rows; all else, checksums too, stays as it is.

    Args:
        table: of texts or series.
        rows: (k,) positions in it.
        change: what is drawn; its ``word_dropout`` is the share of a text's words that are left out.
        copy: its number; each names one draw.
        seed: of the draws.
    """
    values = (table.inputs if table.kind == "text" else table.array).copy()
    for row in np.asarray(rows):
        draw = (seed, copy, int(str(table.checksums[row])[:CONTENT_DIGITS], 16))
        if table.kind == "text":
            values[row] = fewer_words(values[row], change.word_dropout, np.random.default_rng(draw))
        else:
            place = table.inputs[row]
            values[place] = sequences.augmented(table.array[place], change, draw)
    return dataclasses.replace(table, **{"inputs" if table.kind == "text" else "array": values})


def fewer_words(text: str, share: float, random: np.random.Generator) -> str:
    """A text without some of its words, each left out with the same probability; one stays at least.

    Args:
        text: any.
        share: that is left out on average, in [0, 1).
        random: where the draws come from.

    Example:
        >>> fewer_words("not one good moment in it", 0.3, np.random.default_rng(0))
        'not in it'
    """
    words = text.split()
    if len(words) < 2:
        return text
    draws = random.random(len(words))
    kept = draws >= min(share, draws.max())
    return " ".join(word for word, keep in zip(words, kept, strict=True) if keep)
