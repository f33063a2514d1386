"""A decoder is chosen only where TensorFlow gives exactly the pixels of `image_files.read`: proved on real pictures."""

import io
import os
import random
import zlib
from pathlib import Path

import numpy as np
import pytest
import sklearn
import tensorflow as tf
from PIL import Image

from toolkit.tables import image_decoders, image_files

REAL = sorted((Path(sklearn.__file__).parent / "datasets" / "images").glob("*.jpg"))
SIZES = [(160, 120), (33, 17), (16, 16), (7, 1), (1, 9), (1, 1)]


def tensorflow_pixels(data, decoder):
    if decoder == image_decoders.JPEG:
        return tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE", fancy_upscaling=True).numpy()
    return tf.io.decode_png(data, channels=3).numpy()


def assert_exact(path, decoder):
    """The file has this decoder, and with it the same pixels."""
    file = image_files.check(str(path))
    assert file.problem is None and file.decoder == decoder
    if decoder != image_decoders.PILLOW:
        assert np.array_equal(tensorflow_pixels(Path(path).read_bytes(), decoder), image_files.read(str(path)))


@pytest.fixture(scope="module")
def photograph():
    with Image.open(REAL[0]) as image:
        return image.resize((160, 120))


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_real_photographs(path):
    assert_exact(path, image_decoders.JPEG)


@pytest.mark.skipif("TOOLKIT_DATA" not in os.environ, reason="needs $TOOLKIT_DATA")
def test_ants_and_bees():
    paths = sorted(Path(os.environ["TOOLKIT_DATA"]).glob("ants_bees/*/*/*.jpg"))
    assert len(paths) == 398
    for path in paths:
        assert_exact(path, image_decoders.JPEG)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg(tmp_path, photograph, mode, progressive, subsampling):
    for size in SIZES:
        image = photograph.resize(size).convert(mode)
        image.save(tmp_path / "a.jpg", quality=83, progressive=progressive, subsampling=subsampling)
        assert_exact(tmp_path / "a.jpg", image_decoders.JPEG)


@pytest.mark.parametrize("options", [{"quality": 1}, {"quality": 100}, {"optimize": True}, {"restart_marker_blocks": 3},
                                     {"keep_rgb": True}, {"icc_profile": bytes(70_000)}, {"comment": b"\xff\xd9"}])
def test_jpeg_options(tmp_path, photograph, options):
    photograph.save(tmp_path / "a.jpg", **options)
    assert_exact(tmp_path / "a.jpg", image_decoders.JPEG)


def test_jpeg_with_chroma_halved_in_height_only(tmp_path, photograph):
    """Nothing here writes 4:4:0, but a 4:2:2 file of a square becomes one when its header says so."""
    data = bytearray(saved(photograph.resize((64, 64)), "JPEG", subsampling="4:2:2"))
    frame = data.index(b"\xff\xc0")
    assert data[frame + 11] == 0x21
    data[frame + 11] = 0x12
    (tmp_path / "a.jpg").write_bytes(data)
    assert_exact(tmp_path / "a.jpg", image_decoders.JPEG)


def test_several_pictures_in_one_jpeg(tmp_path, photograph):
    photograph.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[photograph.rotate(90)])
    assert_exact(tmp_path / "a.jpg", image_decoders.JPEG)


def test_jpeg_that_pillow_reads(tmp_path, photograph):
    whole = saved(photograph, "JPEG", progressive=True)
    last_scan = whole.rindex(b"\xff\xda")
    exif = Image.Exif()
    exif[0x0112] = 3
    for data in (whole[:last_scan] + b"\xff\xd9", saved(photograph.convert("CMYK"), "JPEG"),
                 saved(photograph, "JPEG", exif=exif)):
        (tmp_path / "a.jpg").write_bytes(data)
        assert_exact(tmp_path / "a.jpg", image_decoders.PILLOW)
    assert not image_decoders.jpeg_is_plain(whole[:-2]) and not image_decoders.jpeg_is_plain(b"")


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_png(tmp_path, photograph, mode):
    for size in SIZES:
        for options in ({}, {"optimize": True}, {"compress_level": 0}, {"dpi": (70, 70)}, {"icc_profile": b"x" * 99}):
            photograph.resize(size).convert(mode).save(tmp_path / "a.png", **options)
            assert_exact(tmp_path / "a.png", image_decoders.PNG)


def test_png_that_pillow_reads(tmp_path, photograph):
    plain = saved(photograph, "PNG")
    grey = photograph.convert("L")
    others = [saved(photograph.convert(mode), "PNG") for mode in ("RGBA", "LA", "P", "1")]
    others += [saved(grey, "PNG", transparency=17)]
    others += [saved(Image.fromarray(np.asarray(grey).astype(np.uint16) * 200), "PNG")]
    others += [saved(photograph, "PNG", save_all=True, append_images=[photograph.rotate(9)])]
    others += [plain[:-12]]  # no end, but every pixel
    for data in others:
        (tmp_path / "a.png").write_bytes(data)
        assert_exact(tmp_path / "a.png", image_decoders.PILLOW)
    assert not image_decoders.png_is_plain(plain[:-14] + b"??" + plain[-12:])  # the checksum of the pixels is wrong


def test_gif_under_the_name_of_a_jpeg(tmp_path, photograph):
    photograph.save(tmp_path / "a.jpg", "GIF")
    assert_exact(tmp_path / "a.jpg", image_decoders.PILLOW)


def test_damaged_files_never_get_a_decoder_that_differs(tmp_path, photograph):
    """Random damage: whatever Pillow still reads, the chosen decoder reads to the same pixels."""
    small, generator, usable = photograph.resize((48, 40)), random.Random(0), 0
    files = [saved(small, "JPEG"), saved(small, "JPEG", progressive=True), saved(small, "PNG"),
             saved(small.convert("L"), "PNG")]
    for data in files * 60:
        damaged = bytearray(data)
        for _ in range(generator.choice([1, 1, 3])):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        if generator.random() < 0.5 and data[:4] == b"\x89PNG":
            _mend_checksums(damaged)
        (tmp_path / "a").write_bytes(damaged)
        file = image_files.check(str(tmp_path / "a"))
        if file.problem is None and file.decoder != image_decoders.PILLOW:
            usable += 1
            pixels = tensorflow_pixels(bytes(damaged), file.decoder)
            assert np.array_equal(pixels, image_files.read(str(tmp_path / "a")))
    assert usable > 30


def _mend_checksums(png):
    position = 8
    while position + 12 <= len(png):
        end = position + 8 + int.from_bytes(png[position : position + 4])
        if end + 4 > len(png):
            return
        png[end : end + 4] = zlib.crc32(png[position + 4 : end]).to_bytes(4)
        position = end + 4
