"""From a path as somebody wrote it to a path as this machine knows it."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

IMAGE_SUFFIXES = frozenset(
    ".apng .avif .bmp .dib .gif .heic .heif .ico .j2k .jfif .jp2 .jpe .jpeg .jpg .mpo .pbm .pgm .png .pnm .ppm .svg "
    ".tif .tiff .webp".split()
)
"""Endings that say "this is an image", also of kinds that are then refused with a reason."""


def is_image_name(name: str) -> bool:
    """Whether a file's ending is one of an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def is_web_address(text: str) -> bool:
    """Whether a cell names something on a network (nothing is ever downloaded)."""
    return text.lower().startswith(("http://", "https://", "ftp://", "s3://", "gs://"))


def as_text(name: str) -> str:
    """A file name that can be written anywhere: bytes that are no UTF-8 become ``\\xe9``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def resolve(text: str, folder: Path) -> str:
    """The absolute path that a cell means.

    Tried in this order, and the first that exists is taken: the text as it is, its composed and its decomposed Unicode
    form (macOS writes file names decomposed), and the same with backslashes as slashes.

    Args:
        text: absolute or relative path, ``~`` and ``file://`` allowed.
        folder: what relative paths are relative to.

    Returns:
        An absolute path, of a file that may not exist.
    """
    if text.lower().startswith("file://"):
        text = unquote(urlsplit(text).path)
    if is_web_address(text):
        return text
    text = os.path.expanduser(text)
    paths = (os.path.abspath(os.path.join(folder, spelling)) for spelling in _spellings(text))
    first = next(paths)
    return first if os.path.lexists(first) else next(filter(os.path.lexists, paths), first)


def _spellings(text: str) -> Iterator[str]:
    for form in (text, text.replace("\\", "/")):
        yield form
        yield unicodedata.normalize("NFC", form)
        yield unicodedata.normalize("NFD", form)
