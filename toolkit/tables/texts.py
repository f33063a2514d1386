"""Texts as inputs: what they are called in reports, and which cannot be used."""

from __future__ import annotations

import hashlib

LONGEST_NAME = 200
LARGEST_CELL = 100_000_000
"""Characters that a cell may have."""


def short(text: str) -> str:
    """A text on one line of at most 200 characters.

    Example:
        >>> short("two\\n  lines"), len(short("a" * 500))
        ('two lines', 200)
    """
    line = " ".join(text[: 10 * LONGEST_NAME].split())
    if len(line) <= LONGEST_NAME and len(text) <= 10 * LONGEST_NAME:
        return line
    return line[: LONGEST_NAME - 1] + "…"


def checksum(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def problem(text: str) -> tuple[str, str] | None:
    """Why a text cannot be used, (reason, message), or None."""
    if not text.strip():
        return "empty", "the text is blank: write one, or delete the row"
    if len(text) > LARGEST_CELL:
        return "too_large", f"the text has {len(text):,} characters, and at most {LARGEST_CELL:,} are read: split it"
    return None
