"""The error of this room, and the pieces its sentences are made of."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from toolkit import ToolkitError


_LONG_WORD = re.compile(r"(\S{200})\S{100,}")


class TableError(ToolkitError):
    """A table cannot be used: what was found, where (file, row, column), what was expected and how to fix it.

    Args:
        message: one sentence or a few; what it quotes may hold anything.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def one_line(text: str) -> str:
    """Text that any terminal shows on one line: control characters escaped, endless words cut.

    Example:
        >>> print(one_line("label 'a\\nb'"))
        label 'a\\nb'
    """
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
    return _LONG_WORD.sub(r"\1...", text)


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun.

    Example:
        >>> counted(1, "row"), counted(1200, "row"), counted(2, "class", "classes")
        ('1 row', '1,200 rows', '2 classes')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listed(names: Iterable[object], limit: int = 10) -> str:
    """The first names, and how many more there are.

    Example:
        >>> listed(["cat", "dog"]), listed("abcdef", limit=3)
        ('cat, dog', 'a, b, c and 3 more')
    """
    names = [str(name) for name in names]
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def suggestion(name: str, names: Sequence[str]) -> str:
    """A closing question if one of ``names`` resembles ``name``, else nothing.

    Example:
        >>> suggestion("dgo", ["cat", "dog"]), suggestion("house", ["cat", "dog"])
        (" Did you mean 'dog'?", '')
    """
    folded = {other.casefold(): other for other in names}
    found = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return f" Did you mean '{folded[found[0]]}'?" if found else ""
