"""What a file is, why it cannot be used, and which pixels it holds."""

import hashlib
import io
import os
import socket
import struct
import sys
import threading
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from toolkit.tables import TableError, image_files
from toolkit.tables.image_files import check, check_all, read

RED = np.full((4, 6, 3), (255, 0, 0), np.uint8)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def colours(height=20, width=30):
    """A smooth colour picture."""
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([rows * 9 % 256, columns * 8 % 256, (rows + columns) * 4 % 256], -1)
    return Image.fromarray(pixels.astype(np.uint8))


def as_pillow_reads(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of_size(width, height):
    """A PNG whose header promises a size, with hardly any data."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


@pytest.fixture
def write(tmp_path):
    def to_file(data, name="file.jpg"):
        path = tmp_path / name
        if isinstance(data, Image.Image):
            data = encoded(data, "PNG")
        path.write_bytes(data)
        return str(path)

    return to_file


# ---- Usable ----------------------------------------------------------------------------------------------------------


def test_a_usable_file(write):
    data = encoded(colours(), "PNG")
    file = check(write(data))
    assert file == image_files.ImageFile(hashlib.sha256(data).hexdigest(), 1, 20, 30, 3, None)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "MPO"])
def test_formats_are_known_by_content_not_by_name(write, kind):
    path = write(encoded(colours(), kind), "picture.jpg")
    file = check(path)
    assert file.problem is None and (file.height, file.width) == (20, 30)
    assert np.array_equal(read(path), as_pillow_reads(path))


@pytest.mark.parametrize(("mode", "channels"), [
    ("1", 1), ("L", 1), ("LA", 1), ("I;16", 1), ("P", 3), ("RGB", 3), ("RGBA", 3)])
def test_grey_is_known_by_its_pixels(write, mode, channels):
    grey = Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30))
    image = Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)) if mode == "I;16" else grey.convert(mode)
    assert check(write(image)).channels == 1  # also three equal channels
    if channels == 3:
        assert check(write(colours().convert(mode))).channels == 3


def test_one_coloured_pixel_makes_a_colour_picture(write):
    pixels = np.full((700, 700, 3), 9, np.uint8)
    assert check(write(Image.fromarray(pixels))).channels == 1
    pixels[699, 699] = 9, 9, 10
    assert check(write(Image.fromarray(pixels))).channels == 3


# ---- Not usable ------------------------------------------------------------------------------------------------------


JPEG, PNG = (encoded(colours(90, 70), kind) for kind in ("JPEG", "PNG"))
DAMAGED = [
    ("empty", b""),
    ("truncated", JPEG[: len(JPEG) // 2]), ("truncated", JPEG[:-2]), ("truncated", JPEG[:20]),
    ("truncated", PNG[: len(PNG) // 2]), ("truncated", PNG[:30]), ("truncated", PNG[:9]),
    ("truncated", encoded(colours(90, 70), "BMP")[:-900]), ("truncated", encoded(colours(90, 70), "GIF")[:-900]),
    ("truncated", encoded(colours(90, 70), "TIFF")[:-900]), ("truncated", encoded(colours(90, 70), "PPM")[:-900]),
    ("truncated", encoded(colours(90, 70), "WEBP")[:-90]),
    ("corrupt", PNG[:60] + bytes(40) + PNG[100:]),
    ("not_an_image", b"\n<!DOCTYPE html><html><body>404</body></html>"),
    ("not_an_image", b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'),
    ("not_an_image", b"path,label\na.png,cat\n"), ("not_an_image", bytes(range(256)) * 9),
    ("not_an_image", b"BMW, Audi and others\n"), ("not_an_image", b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0"),
    ("not_an_image", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"),
    ("unsupported", b"%PDF-1.7\n"), ("unsupported", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    ("unsupported", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
    ("unsupported", encoded(Image.fromarray(np.ones((5, 5), np.float32)), "TIFF")),
    ("unsupported", encoded(Image.fromarray(np.ones((5, 5), np.int32)), "TIFF")),
    ("too_large", png_of_size(30_000, 30_000)), ("too_large", png_of_size(2**31 - 1, 2**31 - 1)),
    ("too_large", png_of_size(10_000, 10_000)),
]


@pytest.mark.parametrize(("reason", "data"), DAMAGED, ids=[f"{reason}{i}" for i, (reason, _) in enumerate(DAMAGED)])
def test_reasons(write, reason, data):
    path = write(data)
    found, message = check(path).problem
    assert found == reason, message
    assert "\n" not in message and "0x" not in message and len(message) < 300
    if reason != "empty":
        assert check(path).checksum == hashlib.sha256(data).hexdigest()
    if reason != "too_large":
        with pytest.raises(TableError, match="file.jpg"):
            read(path)


def test_nothing_but_ordinary_files_is_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    os.symlink(tmp_path / "loop.png", tmp_path / "loop.png")
    os.symlink(tmp_path / "nowhere.png", tmp_path / "dangling.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket.png"))
        reasons = {name: check(str(tmp_path / name)).problem[0] for name in os.listdir(tmp_path)}
    assert reasons == {"pipe.png": "unreadable", "folder.png": "directory", "loop.png": "unreadable",
                       "dangling.png": "missing", "socket.png": "unreadable"}
    others = {"/dev/zero": "unreadable", "": "missing", "/no/such": "missing", f"{tmp_path}/a\0b": "missing",
              "/" + "x" * 300: "missing", "/" + "x/" * 3000: "missing", "/\ud800": "missing",
              "/etc/passwd/x": "missing",
              "https://example.org/a.png": "missing"}
    assert {path: check(path).problem[0] for path in others} == others


def test_no_permission(write, monkeypatch):
    path = write(JPEG)

    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", forbidden)
    assert check(path).problem[0] == "unreadable" and "permissions" in check(path).problem[1]


def test_a_huge_file_is_never_read(tmp_path):
    with open(tmp_path / "huge.jpg", "wb") as file:
        file.truncate(image_files.MAX_BYTES + 1)  # a hole, no space on disk
    assert check(str(tmp_path / "huge.jpg")).problem[0] == "too_large"


def test_the_limit_of_pixels_counts_the_header(write):
    path = write(colours(20, 30))
    assert check(path, 600).problem is None
    assert check(path, 599).problem == ("too_large", "the image has 30 x 20 pixels, and at most 599 are read: reduce "
                                                     "it")


def test_a_jpeg_of_a_thousand_scans_is_refused(write):
    data = encoded(colours(), "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    start = time.monotonic()
    assert check(write(data[:-2] + data[scan:-2] * 1000 + data[-2:])).problem[0] == "too_large"
    assert time.monotonic() - start < 5


def test_whatever_a_decoder_raises_stays_with_its_file(write, monkeypatch):
    path = write(PNG)
    for error in (RecursionError("deep"), ZeroDivisionError(), struct.error("short"), MemoryError()):
        def load(self, error=error):
            raise error

        monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
        assert check(path).problem[0] in ("corrupt", "too_large")


def test_pillow_stays_silent(write, capfd):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(colours(), "JPEG", exif=exif)
    broken = data.replace(exif.tobytes(), exif.tobytes()[:12] + b"\xff" * (len(exif.tobytes()) - 12))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check(write(broken)).problem is None
        assert check(write(png_of_size(12_000, 12_000))).problem[0] == "too_large"
        assert check(write(encoded(colours(), "TIFF", compression="tiff_deflate")[:-40])).problem
    assert capfd.readouterr() == ("", "")


# ---- Many files ------------------------------------------------------------------------------------------------------


def test_check_all_keeps_the_order_and_tells_its_progress(write):
    paths = [write(Image.new("RGB", (i + 1, 1)), f"{i}.png") for i in range(30)]
    steps = []
    files = check_all([*paths, "/no/such", paths[3]], progress=lambda *step: steps.append(step))
    assert [file.width for file in files] == [*range(1, 31), 0, 4]
    assert steps == [(i + 1, 31) for i in range(31)]  # a path that is named twice is checked once
    assert check_all([]) == []


def test_large_images_share_a_budget():
    budget, inside, most = image_files._Budget(10), [], []
    turn = threading.Barrier(6)

    def work(amount):
        turn.wait()
        with budget.share(amount):
            inside.append(amount)
            most.append(sum(inside))
            time.sleep(0.01)
            inside.remove(amount)

    threads = [threading.Thread(target=work, args=(amount,)) for amount in (4, 5, 6, 3, 10, 99)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(most) == 6 and all(total <= 10 for total in most if total < 99)
    assert [total for total in most if total >= 99] == [99]  # larger than the budget: alone


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_the_number_of_files(write):
    path = write(colours(1000, 1000))
    paths = [path] + [write(colours(1000, 1000), f"{i}.png") for i in range(12)]

    def peak():
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024

    check_all(paths[:4])
    before = peak()
    check_all(paths)
    assert peak() - before < 60  # MiB; 13 decoded images would be 52 each in RGB and arrays


# ---- Pixels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(0, 10))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation(write, orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write(encoded(colours(), kind, exif=exif))
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    file = check(path)
    assert np.array_equal(read(path), expected)
    assert (file.height, file.width) == expected.shape[:2] == ((30, 20) if 5 <= orientation <= 8 else (20, 30))
    assert 2 <= orientation <= 8 or kind in ("TIFF", "WEBP") or file.decoder in (0, 1)
    assert not 2 <= orientation <= 8 or file.decoder == 2


def test_sixteen_bits_are_scaled_not_clipped(write):
    values = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    expected = np.repeat((values >> 8).astype(np.uint8)[..., None], 3, -1)
    for kind in ("PNG", "TIFF", "PPM", "JPEG2000"):
        path = write(encoded(Image.fromarray(values), kind))
        assert np.array_equal(read(path), expected) and check(path).decoder == 2 and check(path).channels == 1


def test_sixteen_bit_colour(write):
    values = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), np.uint16)
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    path = write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 7, 5, 16, 2, 0, 0, 0))
                 + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))
    assert np.array_equal(read(path), values >> 8) and check(path).decoder == 2


def test_transparency_lies_over_white(write):
    rgba = np.zeros((4, 6, 4), np.uint8)
    rgba[..., 0], rgba[:, 2:4, 3], rgba[:, 4:, 3] = 255, 128, 255
    expected = np.broadcast_to(np.repeat([[255, 255, 255], [255, 127, 127], [255, 0, 0]], 2, axis=0), (4, 6, 3))
    for kind in ("PNG", "TIFF"):
        assert np.array_equal(read(write(encoded(Image.fromarray(rgba), kind))), expected)
    assert np.array_equal(read(write(Image.fromarray(rgba[..., [0, 3]], "LA")))[:, 4:], np.full((4, 2, 3), 255))


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "1"])
def test_a_transparent_colour_becomes_white(write, mode):
    image = Image.fromarray(RED).convert("L" if mode == "1" else mode).convert(mode)
    value = image.getpixel((0, 0))
    path = write(encoded(image, "PNG", transparency=value))
    assert (read(path) == 255).all() and check(path).decoder == 2
    assert not (read(write(image)) == 255).all() or mode == "1"


def test_palettes_cmyk_and_other_modes(write):
    image = colours()
    for mode, kind in (("P", "PNG"), ("P", "GIF"), ("CMYK", "JPEG"), ("CMYK", "TIFF"), ("YCbCr", "TIFF"), ("1", "PNG")):
        path = write(encoded(image.convert(mode), kind))
        assert np.array_equal(read(path), as_pillow_reads(path)), (mode, kind)
        assert check(path).decoder == 2
    assert np.abs(read(write(encoded(Image.fromarray(RED).convert("CMYK"), "JPEG"))).astype(int) - RED).max() < 5


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame(write, kind):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    path = write(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    assert np.array_equal(read(path), RED) and check(path).decoder == 2


def test_large_pictures_are_read_in_strips(write):
    image = colours(900, 700)
    assert np.array_equal(read(write(image)), np.asarray(image))


def test_a_file_that_changed_since_it_was_checked(write):
    path = write(PNG)
    os.unlink(path)
    with pytest.raises(TableError, match="file.jpg: there is no file"):
        read(path)
