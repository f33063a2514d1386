"""Plain text for a terminal: aligned columns, printable names, numbers with intervals."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence

from toolkit.evaluation.comparison import decimals

WIDTH = 98
NUMBERS = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1",
           "roc_auc": "ROC AUC", "log_loss": "log loss", "expected_calibration_error": "calibration error"}
IN_PERCENT = ("accuracy", "balanced_accuracy", "macro_f1")


def aligned(rows: Sequence[Sequence[str]], alignment: str, *, indent: int = 2) -> list[str]:
    """Lines of columns, two spaces apart.

    Args:
        rows: of cells; every row as many as ``alignment`` has characters.
        alignment: "<" or ">" for each column.
        indent: spaces in front.

    Example:
        >>> aligned([["cat", "9"], ["gnu", "10"]], "<>", indent=0)
        ['cat   9', 'gnu  10']
    """
    widths = [max(map(columns, cells)) for cells in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = (" " * (width - columns(cell)) + cell if side == ">" else cell + " " * (width - columns(cell))
                 for cell, side, width in zip(row, alignment, widths, strict=True))
        lines.append((" " * indent + "  ".join(cells)).rstrip())
    return lines


def columns(text: str) -> int:
    """Columns of a terminal that a text takes: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
               for character in text)


def printable(text: str) -> str:
    r"""The text with what would break a line or a terminal written as an escape ("\n", "\udcff")."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else character.encode("unicode_escape").decode()
                   for character in text)


def shortened(text: str, width: int) -> str:
    """A printable text of at most ``width`` columns, cut with an ellipsis."""
    text = printable(text)
    if columns(text) <= width:
        return text
    while columns(text) > width - 1:
        text = text[:-1]
    return text + "…"


def wrapped(text: str, *, indent: int = 2, mark: str = "") -> list[str]:
    """Lines of a sentence, not wider than the report; a word that is wider, such as a path, stays whole."""
    return textwrap.wrap(printable(text), WIDTH, initial_indent=" " * indent + mark,
                         subsequent_indent=" " * (indent + len(mark)), break_long_words=False, break_on_hyphens=False)


def percent(value: float | None) -> str:
    """ "95.4 %", or "-" for None."""
    return "-" if value is None else f"{100 * value:.1f} %"


def score(scores: dict, metric: str) -> str:
    """A metric with its interval: "95.4 % [90.9, 97.8]", "0.993 [0.981, 0.999]", or "-"."""
    factor, digits, unit = (100, decimals(scores["count"]), " %") if metric in IN_PERCENT else (1, 3, "")
    interval = scores["interval95"] if metric == "accuracy" else scores["intervals"].get(metric)
    if scores[metric] is None:
        return "-"
    text = f"{factor * scores[metric]:.{digits}f}{unit}"
    return text if interval is None else f"{text} [{', '.join(f'{factor * bound:.{digits}f}' for bound in interval)}]"
