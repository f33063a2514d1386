"""Is this file a usable image, why not, and which pixels does it hold.

Every file is read once and decoded completely before it enters a table: only so is a cut-off picture found. What is not
an ordinary file (a pipe, a device) is never opened; what claims to be huge is refused by its header, before it is
decoded; and the files in memory at one moment share a budget, so that neither many nor large ones exhaust it.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image

from toolkit.tables import image_decoders, image_problems
from toolkit.tables.errors import TableError
from toolkit.tables.image_problems import Unusable
from toolkit.tables.paths import is_web_address

MAX_PIXELS = 89_478_485
"""Pixels an image may have by default, where Pillow starts to warn: 256 MiB as RGB."""
LARGEST_MAX_PIXELS = 2 * MAX_PIXELS
"""Pixels an image may have at most: with more, Pillow refuses to open it."""
MAX_BYTES = 1 << 28
"""Bytes a file may have."""
_MAX_SCANS = 100  # of a progressive JPEG: common encoders write 10, an attack thousands
_PIXELS_AT_ONCE = 1 << 25
_BYTES_AT_ONCE = MAX_BYTES
_STRIP_PIXELS = 1 << 18
_FILES_A_ROUND = 256
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM")


@dataclass(frozen=True, slots=True)
class ImageFile:
    """What is known about one file.

    Attributes:
        checksum: SHA-256 of its bytes, in hexadecimal; "" if they could not be read.
        decoder: 0, 1 or 2, see ``image_decoders``.
        height: in pixels, after the turn that EXIF asks for.
        width: likewise.
        channels: 1 if every pixel is grey, else 3.
        problem: None, or why the file cannot be used: (reason, message).
    """

    checksum: str = ""
    decoder: int = image_decoders.PILLOW
    height: int = 0
    width: int = 0
    channels: int = 3
    problem: tuple[str, str] | None = None


# ---- Checking --------------------------------------------------------------------------------------------------------


def check_all(paths: Sequence[str], *, max_pixels: int = MAX_PIXELS,
              progress: Callable[[int, int], None] | None = None) -> list[ImageFile]:
    """Checks files in parallel, each path once.

    Args:
        paths: absolute; may repeat.
        max_pixels: images with more are refused.
        progress: called as ``progress(done, total)`` from this thread.

    Returns:
        What ``check`` says of each path.
    """
    distinct = list(dict.fromkeys(paths))
    known: dict[str, ImageFile] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(distinct), _FILES_A_ROUND):
            some = distinct[start : start + _FILES_A_ROUND]
            for path, file in zip(some, pool.map(lambda path: check(path, max_pixels), some)):
                known[path] = file
                if progress:
                    progress(len(known), len(distinct))
    return [known[path] for path in paths]


def check(path: str, max_pixels: int = MAX_PIXELS) -> ImageFile:
    """Reads and decodes one file.

    Args:
        path: absolute.
        max_pixels: an image with more is refused before it is decoded.

    Returns:
        What was found. Nothing is raised for a file, whatever it holds.
    """
    checksum = ""
    try:
        with _BYTES.share(_size(path)):
            data = _content(path)
            checksum = hashlib.sha256(data).hexdigest()
            with _opened(data, max_pixels) as image, _PIXELS.share(image.width * image.height):
                return _decoded(image, data, checksum)
    except Unusable as unusable:
        return ImageFile(checksum, problem=(unusable.reason, unusable.message))
    except Exception as error:  # a hostile file may make a decoder raise anything, and must not stop the others
        return ImageFile(checksum, problem=("corrupt", f"the image cannot be decoded ({image_problems.brief(error)})"))


def _size(path: str) -> int:
    """Bytes of an ordinary file that is neither empty nor too large."""
    if not path:
        raise Unusable("missing", "the path is blank: write the path of an image")
    if is_web_address(path):
        raise Unusable("missing", "this is a web address, and nothing is downloaded: save the image as a file")
    with image_problems.of_access(path):
        status = os.stat(path)
    image_problems.refuse_special(status, MAX_BYTES)
    return status.st_size


def _content(path: str) -> bytes:
    with image_problems.of_access(path), open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if not data:
        raise Unusable("empty", "the file is empty (0 bytes): copy or download it again")
    if len(data) > MAX_BYTES:
        raise Unusable("too_large", "the file grew while it was read")
    return data


def _opened(data: bytes, max_pixels: int) -> Image.Image:
    """An image whose header was read, but no pixel."""
    image_problems.silence_pillow()
    with image_problems.of_header(data):
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    if image.width * image.height > max_pixels:
        raise Unusable("too_large", f"the image has {image.width:,} x {image.height:,} pixels, and at most "
                                    f"{max_pixels:,} are read: reduce it")
    if image.format in ("JPEG", "MPO") and data.count(b"\xff\xda") > _MAX_SCANS:
        raise Unusable("too_large", f"the image has more than {_MAX_SCANS} progressive scans: save it anew")
    return image


def _decoded(image: Image.Image, data: bytes, checksum: str) -> ImageFile:
    with image_problems.of_pixels(data):
        image.load()
        grey = all((pixels == pixels[..., :1]).all() for _, pixels in _strips(image))
    orientation = _orientation(image)
    decoder = image_decoders.choose(image, data, orientation)
    height, width = (image.width, image.height) if orientation > 4 else (image.height, image.width)
    return ImageFile(checksum, decoder, height, width, 1 if grey else 3)


# ---- Reading ---------------------------------------------------------------------------------------------------------


def read(path: str) -> np.ndarray:
    """The pixels of an image file, the one authority of what they are.

    EXIF orientation is applied; transparency is laid over white; of an animation the first frame is taken; CMYK,
    palettes and such become RGB, grey three equal channels; of 16 bits the upper 8 are kept.

    Args:
        path: of a file that ``check`` found usable.

    Returns:
        (H, W, 3) uint8.

    Raises:
        TableError: the file is no longer the usable image it was.
    """
    try:
        return pixels_of(_content(path))
    except Unusable as unusable:
        raise TableError(f"{path}: {unusable.message}. It was a readable image when it was checked.") from unusable


def pixels_of(data: bytes, max_pixels: int | None = None) -> np.ndarray:
    """``read`` for the bytes of a file.

    Args:
        data: of a whole file.
        max_pixels: as in ``check``; None for no limit but Pillow's own.

    Returns:
        (H, W, 3) uint8.

    Raises:
        Unusable: they are not an image that can be read.
    """
    with _opened(data, max_pixels or LARGEST_MAX_PIXELS) as image, image_problems.of_pixels(data):
        image.load()
        pixels = np.empty((image.height, image.width, 3), np.uint8)
        for top, strip in _strips(image):
            pixels[top : top + len(strip)] = strip
        return _turned(pixels, _orientation(image))


def _strips(image: Image.Image) -> Iterator[tuple[int, np.ndarray]]:
    """Top row and RGB pixels of one horizontal strip after another: a large image is never there twice."""
    height = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, height):
        strip = image.crop((0, top, image.width, min(top + height, image.height)))
        strip.format = image.format
        yield top, _rgb(strip)


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16") or image.mode == "I":
        return _from_16_bits(image)
    if image.mode == "F":
        raise Unusable("unsupported", "its pixels are floating-point numbers, with no fixed white: save 8 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def _from_16_bits(image: Image.Image) -> np.ndarray:
    values = np.asarray(image)
    if image.mode == "I" and image.format == "TIFF":  # others only store 16 bits in it
        raise Unusable("unsupported", "its pixels are 32-bit numbers without a fixed white: save it with 8 or 16 bits")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        values = np.where(values == transparent, 0xFFFF, values)
    return np.repeat((values >> 8).astype(np.uint8)[..., None], 3, axis=-1)


def _orientation(image: Image.Image) -> int:
    """How EXIF wants a loaded image turned: 1 (not at all) to 8. Damaged EXIF is no EXIF."""
    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:  # Pillow's EXIF reader raises many kinds, and the pixels do not depend on it
        return 1
    return orientation if orientation in _TURNS else 1


_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: pixels.transpose(1, 0, 2)[:, ::-1],
    7: lambda pixels: pixels.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda pixels: pixels.transpose(1, 0, 2)[::-1],
}


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    return np.ascontiguousarray(_TURNS[orientation](pixels))


# ---- Memory ----------------------------------------------------------------------------------------------------------


class _Budget:
    """An amount that threads share: who asks for more than is left waits, who asks for more than all goes alone."""

    def __init__(self, amount: int) -> None:
        self._amount = self._left = amount
        self._changed = threading.Condition()

    @contextmanager
    def share(self, amount: int) -> Iterator[None]:
        """Holds an amount while the ``with`` block runs."""
        amount = min(amount, self._amount)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= amount)
            self._left -= amount
        try:
            yield
        finally:
            with self._changed:
                self._left += amount
                self._changed.notify_all()


_BYTES, _PIXELS = _Budget(_BYTES_AT_ONCE), _Budget(_PIXELS_AT_ONCE)
