"""Why a file is not a usable image, in words its owner can act on."""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from toolkit.tables.errors import one_line


class Unusable(Exception):
    """A file cannot be used as an image.

    Attributes:
        reason: one word, such as "missing" or "truncated".
        message: what is the matter and what to do, without the file's name.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, one_line(message)


def brief(error: BaseException) -> str:
    """What an error says, in one short line."""
    text = " ".join(str(error).split())
    text = re.sub(r"\s*<_io\.BytesIO object at 0x[0-9a-f]+>", "", text)
    return text[:120] or type(error).__name__


# ---- The file --------------------------------------------------------------------------------------------------------

_NO_SUCH_NAME = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL)


@contextmanager
def of_access(path: str) -> Iterator[None]:
    """Turns what the operating system refuses inside the block into ``Unusable``."""
    try:
        yield
    except (ValueError, UnicodeError) as error:  # a NUL byte, a character that the file system cannot write
        raise Unusable("missing", f"{path!r} cannot be the name of a file: correct the path") from error
    except PermissionError as error:
        raise Unusable("unreadable", "the permissions of the file or of its folder forbid reading it: change them "
                                     "(chmod +r)") from error
    except OSError as error:
        if error.errno in _NO_SUCH_NAME:
            raise Unusable("missing", f"there is no file {path}: correct the path, or the folder it is relative to "
                                      f"(--root)") from error
        if error.errno == errno.ELOOP:
            raise Unusable("unreadable", "the path is a symbolic link that leads back to itself: correct it") from error
        raise Unusable("unreadable", f"the file cannot be read ({error.strerror or brief(error)})") from error


def refuse_special(status: os.stat_result, max_bytes: int) -> None:
    """Raises ``Unusable`` for what is no ordinary file, or holds nothing or too much."""
    if stat.S_ISDIR(status.st_mode):
        raise Unusable("directory", "the path is a folder: name an image file in it")
    if not stat.S_ISREG(status.st_mode):
        raise Unusable("unreadable", "the path is a pipe, socket or device, not an ordinary file")
    if status.st_size == 0:
        raise Unusable("empty", "the file is empty (0 bytes): copy or download it again")
    if status.st_size > max_bytes:
        raise Unusable("too_large", f"the file has {status.st_size:,} bytes; at most {max_bytes:,} are read: reduce it")


# ---- Its content -----------------------------------------------------------------------------------------------------

_SIGNATURES = {b"\xff\xd8\xff": b"\xff\xd9", b"\x89PNG": b"IEND\xaeB`\x82", b"GIF8": b";", b"RIFF": b"", b"II*\0": b"",
               b"MM\0*": b"", b"BM": b""}  # how images begin -> how they end, where that is fixed
_OTHERS = ((b"%PDF", "a PDF document"), (b"%!PS", "a PostScript drawing"), (b"8BPS", "a Photoshop file"),
           (b"\0\0\1\0", "an icon (ICO)"), (b"SIMPLE  =", "a FITS file"), (b"\x89HDF", "an HDF5 file"),
           (b"\xff\x0a", "a JPEG XL image"), (b"\0\0\0\x0cJXL ", "a JPEG XL image"))
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1")


@contextmanager
def of_header(data: bytes) -> Iterator[None]:
    """Turns what is raised when an image is opened into ``Unusable``."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise Unusable("too_large", f"{brief(error).partition(',')[0].replace('Image size', 'the image size')} exceeds "
                                    f"what is read: reduce it") from error
    except UnidentifiedImageError as error:
        raise unidentified(data) from error
    except MemoryError as error:
        raise Unusable("too_large", "there is not enough memory to read the image: reduce it") from error
    except Exception as error:  # as for pixels
        raise (unidentified(data) if _is_text(data) else _damaged(data, error)) from error


@contextmanager
def of_pixels(data: bytes) -> Iterator[None]:
    """Turns what is raised when pixels are decoded into ``Unusable``."""
    try:
        yield
    except Unusable:
        raise
    except MemoryError as error:
        raise Unusable("too_large", "there is not enough memory to decode the image: reduce it") from error
    except Exception as error:  # each of Pillow's decoders raises kinds of its own for damaged data
        raise _damaged(data, error) from error


def unidentified(data: bytes) -> Unusable:
    """What a file is that Pillow does not know as an image."""
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if data.startswith(tuple(_SIGNATURES)) and not _is_text(data) and (data[:4] != b"RIFF" or data[8:12] == b"WEBP"):
        return _damaged(data, ValueError("its header cannot be read"))
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        return Unusable("unsupported", "this is a HEIC photograph, which is not read: convert it to JPEG or PNG")
    for signature, what in _OTHERS:
        if data.startswith(signature):
            return Unusable("unsupported", f"this is {what}, which is not read: convert it to JPEG or PNG")
    if head.startswith(b"version https://git-lfs"):
        return Unusable("not_an_image", "this is a pointer of Git LFS, not the image: run git lfs pull")
    if b"<svg" in head:
        return Unusable("not_an_image", "this is an SVG drawing, not a picture made of pixels: convert it to PNG")
    if head.startswith((b"<!doctype", b"<html")) or b"<html" in head:
        return Unusable("not_an_image", "this is a web page, perhaps a failed download: fetch the image again")
    if _is_text(data):
        return Unusable("not_an_image", "this is a text file, not an image")
    return Unusable("not_an_image", "the file is not an image of a known format")


def _is_text(data: bytes) -> bool:
    """Whether a file begins as UTF-8 text does."""
    head = data[:1024]
    return min(head) >= 9 and "\ufffd" not in head.decode("utf-8", "replace")[:-1]  # the last character may be cut


def _damaged(data: bytes, error: BaseException) -> Unusable:
    """An image whose beginning is right: cut off if its end is missing, else corrupt."""
    if _is_cut(data, error):
        return Unusable("truncated", f"the image is cut off after {len(data):,} bytes ({brief(error)}): copy or "
                                     "download it again")
    return Unusable("corrupt", f"the image is damaged ({brief(error)}): copy or download it again")


def _is_cut(data: bytes, error: BaseException) -> bool:
    """Whether the end of an image is missing, by its format if that tells, else by what the decoder said."""
    end = next((end for signature, end in _SIGNATURES.items() if data.startswith(signature)), b"")
    if end:
        return end not in data[-64:]
    if data.startswith(b"RIFF"):
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    return isinstance(error, EOFError) or any(
        word in str(error).lower() for word in ("truncated", "unexpected end", "not enough", "eof", "buffer"))


# ---- Silence ---------------------------------------------------------------------------------------------------------

_WARNINGS_OF_PILLOW = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
logging.getLogger("PIL").addHandler(logging.NullHandler())  # without a handler, its errors would go to stderr


def silence_pillow() -> None:
    """Ignores warnings raised inside Pillow, from now on and in every thread.

    ``warnings.catch_warnings`` would not do: it changes and restores what all threads share. What Pillow warns of
    (large images, damaged EXIF) is decided here anyway.
    """
    if _WARNINGS_OF_PILLOW not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")
