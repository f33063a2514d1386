"""Histograms of oriented gradients against the definition, pixel by pixel, and on pictures whose edges are known."""

import math
import tracemalloc

import numpy as np
import pytest

from toolkit.evaluation import descriptors
from toolkit.evaluation.descriptors import cell_size, hog


def slow_hog(image: np.ndarray, cell: int) -> np.ndarray:
    """The definition in loops, of one (H, W, channels) image in [0, 1]."""
    height, width, channels = image.shape
    down, across = height // cell, width // cell
    top, left = (height - down * cell) / 2, (width - across * cell) / 2
    cells = np.zeros((down, across, 9))
    for y in range(height):
        for x in range(width):
            gradients = [(image[y, min(x + 1, width - 1), c] - image[y, max(x - 1, 0), c],
                          image[min(y + 1, height - 1), x, c] - image[max(y - 1, 0), x, c]) for c in range(channels)]
            along_x, along_y = max(gradients, key=lambda gradient: math.hypot(*gradient))
            position = math.atan2(along_y, along_x) % math.pi / math.pi * 9 - 0.5
            row, column = (y + 0.5 - top) / cell - 0.5, (x + 0.5 - left) / cell - 0.5
            for j in (math.floor(row), math.floor(row) + 1):
                for i in (math.floor(column), math.floor(column) + 1):
                    for k in (math.floor(position), math.floor(position) + 1):
                        if 0 <= j < down and 0 <= i < across:
                            near = (1 - abs(row - j)) * (1 - abs(column - i)) * (1 - abs(position - k))
                            cells[j, i, k % 9] += near * math.hypot(along_x, along_y)
    blocks = []
    for j in range(down - 1):
        for i in range(across - 1):
            block = np.concatenate([cells[j, i], cells[j, i + 1], cells[j + 1, i], cells[j + 1, i + 1]])
            block = np.minimum(block / math.sqrt((block ** 2).sum() + 1e-4), 0.2)
            blocks.append(block / math.sqrt((block ** 2).sum() + 1e-4))
    return np.concatenate(blocks)


@pytest.mark.parametrize(("shape", "cell"), [((13, 18, 3), 4), ((12, 9, 1), 3), ((8, 8, 3), 4)])
def test_equals_the_definition(shape: tuple[int, int, int], cell: int) -> None:
    images = np.random.default_rng(0).random((3, *shape))
    ours = hog(images, cell=cell)
    assert ours.dtype == np.float32 and ours.shape == (3, (shape[0] // cell - 1) * (shape[1] // cell - 1) * 36)
    np.testing.assert_allclose(ours, [slow_hog(image, cell) for image in images], atol=1e-4)


def test_kinds_of_images_agree() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16), dtype=np.uint8)
    expected = hog(images)
    np.testing.assert_allclose(hog(images / 255), expected, atol=1e-5)
    np.testing.assert_allclose(hog(images[..., None]), expected, atol=1e-6)
    np.testing.assert_allclose(hog(np.repeat(images[..., None], 3, axis=3)), expected, atol=1e-6)
    assert hog(images[:0]).shape == (0, expected.shape[1])


@pytest.mark.parametrize("angle", [10, 50, 90, 130, 170])
def test_an_edge_votes_for_its_own_orientation(angle: int) -> None:
    """Bin k is centred on 20 k + 10 degrees."""
    y, x = np.mgrid[:32, :32] - 15.5
    ramp = 0.5 + 0.01 * (x * math.cos(math.radians(angle)) + y * math.sin(math.radians(angle)))
    histogram = hog(ramp[None]).reshape(7, 7, 4, 9)[3, 3].sum(axis=0)  # away from the rim, where gradients are halved
    assert histogram[(angle - 10) // 20] > 0.95 * histogram.sum()


def test_light_and_contrast_do_not_matter_and_flat_pictures_are_zero() -> None:
    images = np.random.default_rng(0).random((2, 24, 24))
    np.testing.assert_allclose(hog(0.3 * images + 0.5), hog(images), atol=0.01)
    np.testing.assert_allclose(hog(1 - images), hog(images), atol=1e-5)  # orientations have no sign
    assert (hog(np.full((1, 16, 16), 0.7)) == 0).all()


def test_the_strongest_channel_decides() -> None:
    image = np.zeros((1, 16, 16, 3))
    image[0, :, :, 1] = np.linspace(0, 1, 16)  # along x, strong
    image[0, :, :, 0] = np.linspace(0, 0.4, 16)[:, None]  # along y, weak
    np.testing.assert_allclose(hog(image), hog(image[..., 1]), atol=1e-6)


def test_blocks_of_images_are_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).random((7, 16, 16, 3))
    expected = hog(images)
    monkeypatch.setattr(descriptors, "PIXELS_AT_ONCE", 2000)
    np.testing.assert_allclose(hog(images), expected, atol=1e-6)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "PIXELS_AT_ONCE", 32 * 32 * 3 * 10)
    images = np.zeros((500, 32, 32, 3), dtype=np.uint8)
    tracemalloc.start()
    result = hog(images)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < result.nbytes + 40 * 4 * 32 * 32 * 10 * 3


@pytest.mark.parametrize(("side", "cell"), [(2, 1), (6, 3), (8, 4), (28, 4), (32, 4), (64, 5), (224, 16)])
def test_cells_suit_the_size(side: int, cell: int) -> None:
    assert cell_size(side, 2 * side) == cell_size(side, side) == cell
    assert np.isfinite(hog(np.zeros((1, side, side)))).all()


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected images .* got shape \(5, 784\)"):
        hog(np.zeros((5, 784)))
    for images, cell in ((np.zeros((1, 1, 9)), None), (np.zeros((1, 8, 8)), 5)):
        with pytest.raises(ValueError, match="Expected images of at least 2 x 2 cells"):
            hog(images, cell=cell)
