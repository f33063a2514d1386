"""Which decoder gives exactly the pixels of ``image_files.read``: proved by the bytes of a file, not by its name.

TensorFlow decodes JPEG and PNG without holding Python's lock, but not every file as Pillow does. Measured against
Pillow 13 and TensorFlow 2.21 (``tests/tables/test_image_decoders.py`` repeats it): complete baseline and progressive
JPEG files, grey or in three channels, with chroma stored whole or halved, are equal in every pixel with
``dct_method="INTEGER_ACCURATE", fancy_upscaling=True``, and so are 8-bit grey and RGB PNG files. A JPEG without its
end marker, a progressive one with scans missing and a PNG with a wrong checksum are refused or read differently.
"""

from __future__ import annotations

import re
import zlib

from PIL import Image

JPEG, PNG, PILLOW = 0, 1, 2

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_PLAIN_HEADER = re.compile(rb"\x08[\0\x02]\0\0[\0\x01]")  # bits, colour, compression, filter, interlacing
_PNG_CRITICAL = {b"IHDR", b"IDAT", b"IEND"}
_PNG_REFUSED = {b"tRNS", b"acTL", b"fcTL", b"fdAT"}  # transparency and animation
_PNG_LARGEST_EXTRA = 1 << 20
_HUFFMAN_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_MOST_PARTS = 100_000  # segments or chunks of a file: who writes more does so to keep a reader busy
_COEFFICIENTS = 64


def choose(image: Image.Image, data: bytes, orientation: int) -> int:
    """The decoder of a file.

    Args:
        image: the opened file.
        data: its bytes.
        orientation: of EXIF, 1 to 8; TensorFlow does not know it.

    Returns:
        ``JPEG``, ``PNG`` or ``PILLOW``: 0, 1 or 2.
    """
    if orientation == 1 and image.mode in ("L", "RGB"):
        if image.format in ("JPEG", "MPO") and jpeg_is_plain(data):
            return JPEG
        if image.format == "PNG" and png_is_plain(data):
            return PNG
    return PILLOW


def jpeg_is_plain(data: bytes) -> bool:
    """Whether a JPEG file is Huffman-coded, sampled in a usual way and complete: all its scans, and the end marker."""
    precision: dict[int, list[int]] = {}  # component -> bits of each coefficient still missing, -1 if it never came
    progressive, position = False, 2
    for _ in range(_MOST_PARTS):
        found = _NEXT_MARKER.search(data, position)
        if not found:
            break
        marker, position = data[found.end() - 1], found.end()
        if marker == _END_OF_IMAGE:
            return bool(precision) and not any(map(any, precision.values()))
        segment = data[position + 2 : position + int.from_bytes(data[position : position + 2])]
        position += 2 + len(segment)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if precision or marker not in _HUFFMAN_FRAMES or not _sampled_as_usual(segment):
                return False
            progressive = marker == 0xC2
            precision = {identifier: [-1] * _COEFFICIENTS for identifier in segment[6::3]}
        elif marker == _START_OF_SCAN and not _add_scan(precision, segment, progressive):
            return False
    return False


def _sampled_as_usual(frame: bytes) -> bool:
    """Whether the first component of a frame is sampled once or twice in each direction and the others once."""
    first, *others = frame[7::3] or b"\0"
    return first in (0x11, 0x21, 0x12, 0x22) and set(others) <= {0x11}


def _add_scan(precision: dict[int, list[int]], scan: bytes, progressive: bool) -> bool:
    """Notes which bits of which coefficients a scan brings; False if its header makes no sense."""
    count = scan[0] if scan else 0
    components, spectrum = scan[1 : 1 + 2 * count : 2], scan[1 + 2 * count :]
    if len(spectrum) != 3 or not set(components) <= set(precision):
        return False
    first, last, missing = (spectrum[0], spectrum[1], spectrum[2] & 15) if progressive else (0, _COEFFICIENTS - 1, 0)
    if not first <= last < _COEFFICIENTS:
        return False
    for component in components:
        precision[component][first : last + 1] = [missing] * (last + 1 - first)
    return True


def png_is_plain(data: bytes) -> bool:
    """Whether a PNG file is 8-bit grey or RGB, still, opaque, without a palette and free of damage in its chunks."""
    position = len(PNG_SIGNATURE)
    for _ in range(_MOST_PARTS):
        if position + 12 > len(data):
            break
        length = int.from_bytes(data[position : position + 4])
        name, end = data[position + 4 : position + 8], position + 8 + length
        if zlib.crc32(memoryview(data)[position + 4 : end]) != int.from_bytes(data[end : end + 4]):
            return False
        if name == b"IHDR" and not _PNG_PLAIN_HEADER.fullmatch(data, position + 16, end):
            return False
        if name == b"IEND":
            return True
        critical = not name[0] & 0x20
        if name in _PNG_REFUSED or (name not in _PNG_CRITICAL if critical else length > _PNG_LARGEST_EXTRA):
            return False
        position = end + 4
    return False
