"""Each operation on small images, against arithmetic by hand or Pillow."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from toolkit.inputs.operations import OPERATIONS


def _image(side: int = 17) -> np.ndarray:
    return np.random.default_rng(side).integers(40, 200, (side, side, 3)).astype(np.float32)


def _apply(name: str, image: np.ndarray, level: float) -> np.ndarray:
    return OPERATIONS[name](tf.constant(image, tf.float32), tf.constant(level)).numpy()


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("level", [-1.0, -0.3, 0.0, 1.0])
def test_shape_type_and_range_stay(name, level):
    for image in (_image(), np.zeros((8, 8, 3)), np.full((8, 8, 3), 255.0), _image() * 0.31):
        result = _apply(name, image, level)
        assert result.shape == image.shape and result.dtype == np.float32
        assert 0 <= result.min() and result.max() <= 255


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"autocontrast", "equalize"}))
def test_level_zero_changes_nothing(name):
    np.testing.assert_allclose(_apply(name, _image(), 0.0), _image(), atol=1e-3)


@pytest.mark.parametrize(("name", "enhancer"), [("colour", ImageEnhance.Color), ("contrast", ImageEnhance.Contrast),
                                                ("brightness", ImageEnhance.Brightness),
                                                ("sharpness", ImageEnhance.Sharpness)])
@pytest.mark.parametrize("level", [-1.0, 0.5])
def test_enhancements_are_those_of_pillow(name, enhancer, level):
    expected = enhancer(Image.fromarray(_image().astype(np.uint8))).enhance(1 + 0.9 * level)
    np.testing.assert_allclose(_apply(name, _image(), level), np.asarray(expected), atol=2)


def test_autocontrast_stretches_each_channel():
    result = _apply("autocontrast", _image(), 0.5)
    assert (result.min((0, 1)) == 0).all() and (result.max((0, 1)) == 255).all()
    np.testing.assert_allclose(result, ImageOps.autocontrast(Image.fromarray(_image().astype(np.uint8))), atol=1)
    np.testing.assert_array_equal(_apply("autocontrast", np.full((4, 4, 3), 9.0), 0.5), 9)


def test_equalize_spreads_the_levels_evenly():
    ramp = np.repeat(np.arange(16.0).reshape(4, 4)[..., None] + 100, 3, axis=2)
    np.testing.assert_allclose(_apply("equalize", ramp, 0.5), (ramp - 100) * 17)
    np.testing.assert_array_equal(_apply("equalize", np.full((4, 4, 3), 9.0), 0.5), 9)


def test_posterize_and_solarize():
    image = np.array([0.0, 15, 16, 100, 128, 255]).reshape(1, 6, 1) * np.ones((6, 1, 3))
    np.testing.assert_array_equal(_apply("posterize", image, -1.0)[0, :, 0], [0, 0, 16, 96, 128, 240])
    np.testing.assert_array_equal(_apply("posterize", image, 0.5)[0, :, 0], [0, 12, 16, 100, 128, 252])
    np.testing.assert_array_equal(_apply("solarize", image, 0.5)[0, :, 0], [0, 15, 16, 100, 127, 0])
    np.testing.assert_array_equal(_apply("solarize", image, -1.0), 255 - image)


def test_translation_moves_by_its_magnitude_and_repeats_the_edge():
    image = _image(20)
    moved = _apply("translate_x", image, 0.5)  # 0.5 * 0.3 * 20 = 3 pixels to the right
    np.testing.assert_allclose(moved[:, 3:], image[:, :-3], atol=1e-3)
    np.testing.assert_allclose(moved[:, :3], np.repeat(image[:, :1], 3, axis=1), atol=1e-3)
    moved = _apply("translate_y", image, -0.5)
    np.testing.assert_allclose(moved[:-3], image[3:], atol=1e-3)
    np.testing.assert_allclose(moved[-3:], np.repeat(image[-1:], 3, axis=0), atol=1e-3)


def test_rotation_turns_about_the_centre():
    image = np.zeros((21, 21, 3), np.float32)
    image[10, 10] = image[10, 18] = 255  # centre, and eight pixels to the right of it
    turned = _apply("rotate", image, 1.0)[..., 0]  # 30 degrees counterclockwise
    assert turned[10, 10] == pytest.approx(255, abs=1)
    turned[8:13, 8:13] = 0
    rows, columns = np.indices(turned.shape)
    place = [(turned * grid).sum() / turned.sum() - 10 for grid in (rows, columns)]
    np.testing.assert_allclose(place, [-8 * np.sin(np.pi / 6), 8 * np.cos(np.pi / 6)], atol=0.2)


@pytest.mark.parametrize("name", ["shear_x", "shear_y"])
def test_shear_keeps_the_middle_line_and_moves_the_border(name):
    image = np.zeros((21, 21, 3), np.float32)
    image[:, 10] = 255
    if name == "shear_y":
        image = image.transpose(1, 0, 2)
    result = _apply(name, image, 1.0)[..., 0]
    result = result.T if name == "shear_y" else result
    assert result[10].argmax() == 10
    assert {int(result[0].argmax()), int(result[20].argmax())} == {7, 13}  # 0.3 * 10 to either side


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("level", [-1.0, 1.0])
def test_no_operation_mirrors(name, level):
    if name in ("rotate", "shear_x", "shear_y", "translate_x", "translate_y"):
        ramp = np.broadcast_to(np.arange(21.0).reshape(1, 21, 1) * 10, (21, 21, 3))  # brighter to the right
        result = _apply(name, ramp, level)[..., 0]
        assert np.corrcoef(result.ravel(), np.indices(result.shape)[1].ravel())[0, 1] > 0.5
    else:  # the others treat left and right alike
        image = _image()
        np.testing.assert_allclose(_apply(name, image[:, ::-1], level), _apply(name, image, level)[:, ::-1], atol=1e-2)
