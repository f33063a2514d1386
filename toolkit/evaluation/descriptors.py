r"""Histograms of oriented gradients: what a picture's edges look like, cell by cell.

The gradient of the channel where it is strongest votes with its length for two of nine orientations in
:math:`[0, \pi)` and for the cells around it, linearly interpolated in all three; the histograms of 2 x 2 neighbouring
cells form a block, normalised by L2-Hys:

.. math:: v \leftarrow v / \sqrt{\lVert v \rVert^2 + \epsilon^2}, \quad v \leftarrow \min(v, 0.2), \quad
          v \leftarrow v / \sqrt{\lVert v \rVert^2 + \epsilon^2} .

Unlike the original there is no Gaussian window over a block, so that a cell's histogram is computed once.

References:
    Dalal, Triggs (2005), Histograms of oriented gradients for human detection.
    https://doi.org/10.1109/CVPR.2005.177
"""

from __future__ import annotations

import numpy as np

NUM_ORIENTATIONS = 9
CLIP = 0.2
EPSILON = 0.01
MOST_CELLS = 14
SMALLEST_CELL = 4
PIXELS_AT_ONCE = 4_000_000


def cell_size(height: int, width: int) -> int:
    """Side of a cell in pixels: 4 or more, at most some 14 cells along the shorter side, at least 2.

    Example:
        >>> [cell_size(side, side) for side in (8, 28, 32, 64, 224)]
        [4, 4, 4, 5, 16]
    """
    side = min(height, width)
    return min(max(SMALLEST_CELL, round(side / MOST_CELLS)), side // 2)


def hog(images: np.ndarray, *, cell: int | None = None) -> np.ndarray:
    """Histograms of oriented gradients of many images of one size.

    Args:
        images: (n, H, W) or (n, H, W, channels), uint8, or real numbers in [0, 1].
        cell: side of a cell in pixels; None: ``cell_size(H, W)``. Where cells do not fill the image, a rim is left out.

    Returns:
        (n, F) float32 in [0, 1], F = (H // cell - 1) * (W // cell - 1) * 36.

    Raises:
        ValueError: if the shape is another one, or two cells do not fit along a side.

    Example:
        >>> stripes = np.zeros((1, 8, 8)) + (np.arange(8) // 2 % 2)  # gradients along x only: the first and last bins
        >>> hog(stripes).reshape(4, 9)[0].astype(float).round(2).tolist()
        [0.35, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.35]
    """
    images = np.asarray(images)
    if images.ndim not in (3, 4) or not all(images.shape[1:]):
        raise ValueError(f"Expected images (n, H, W) or (n, H, W, channels), got shape {images.shape}.")
    images = images if images.ndim == 4 else images[..., None]
    height, width = images.shape[1:3]
    cell = cell_size(height, width) if cell is None else cell
    if cell < 1 or min(height, width) < 2 * cell:
        raise ValueError(f"Expected images of at least 2 x 2 cells, got {height} x {width} pixels and cells of {cell}.")
    down, across = _to_cells(height, cell), _to_cells(width, cell)
    result = np.empty((len(images), (len(down) - 1) * (len(across) - 1) * 4 * NUM_ORIENTATIONS), np.float32)
    size = max(1, PIXELS_AT_ONCE // (height * width * images.shape[3]))
    for start in range(0, len(images), size):
        result[start:start + size] = _blocks(_histograms(images[start:start + size], down, across))
    return result


def _to_cells(length: int, cell: int) -> np.ndarray:
    """Weight (cells, pixels) of each pixel in each cell along one side: 1 at the cell's centre, 0 one cell further."""
    count = length // cell
    rim = (length - count * cell) / 2
    centres = rim + cell * (np.arange(count) + 0.5)
    distances = np.abs(np.arange(length) + 0.5 - centres[:, None]) / cell
    return np.maximum(0, 1 - distances).astype(np.float32)


def _histograms(images: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Histogram (n, rows of cells, columns of cells, orientations) of each cell."""
    lengths, positions = _gradients(images)
    cells = []
    for orientation in range(NUM_ORIENTATIONS):
        distances = np.abs(positions - np.float32(orientation + 0.5))
        np.minimum(distances, NUM_ORIENTATIONS - distances, out=distances)
        cells.append(down @ (lengths * np.maximum(0, 1 - distances)) @ across.T)
    return np.stack(cells, axis=-1)


def _gradients(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Length (n, H, W) of the longest channel's gradient, central differences, and its orientation in [0, 9]."""
    values = images.astype(np.float32)
    if images.dtype == np.uint8:
        values /= 255
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    along_x = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    along_y = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    squares = along_x ** 2 + along_y ** 2
    strongest = squares.argmax(axis=-1)[..., None]
    along_x, along_y, squares = (np.take_along_axis(part, strongest, axis=-1)[..., 0]
                                 for part in (along_x, along_y, squares))
    angles = np.arctan2(along_y, along_x)
    angles[angles < 0] += np.float32(np.pi)
    return np.sqrt(squares), angles * np.float32(NUM_ORIENTATIONS / np.pi)


def _blocks(cells: np.ndarray) -> np.ndarray:
    """Normalised blocks of 2 x 2 cells, (n, F)."""
    blocks = np.concatenate([cells[:, :-1, :-1], cells[:, :-1, 1:], cells[:, 1:, :-1], cells[:, 1:, 1:]], axis=-1)
    blocks /= np.sqrt((blocks ** 2).sum(axis=-1, keepdims=True) + np.float32(EPSILON ** 2))
    np.minimum(blocks, CLIP, out=blocks)
    blocks /= np.sqrt((blocks ** 2).sum(axis=-1, keepdims=True) + np.float32(EPSILON ** 2))
    return blocks.reshape(len(cells), -1)
